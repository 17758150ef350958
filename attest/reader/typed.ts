/**
 * What belongs in attest/reader: what a person who judges a piece of evidence gives beside it, and how the verdict is told to
 * that person. Command line and console are two faces of it, so that both mean the same and say the same. What evidence is
 * worth is decided in the folders of its kinds.
 */
import type { Examination } from '#attest/examine.js'
import { fromHex } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { parseTime, type UnixSeconds } from '#core/time.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** Failures of what was typed; messages call it by the options of `claviger attest verify`, which the console's fields name too. */
export type AttestUsageCode = 'usage/time' | 'usage/hex' | 'usage/binding' | 'usage/collateral'

/** What a reader types beside files. Absent: nothing to compare with, which is a skip by name. */
export interface Typed {
  readonly at?: string | undefined
  readonly nonce?: string | undefined
  readonly reportData?: string | undefined
  readonly simulatedRoot?: readonly string[] | undefined
}

export type ExpectedBinding = Pick<Examination, 'expectedReportData' | 'expectedNonce'>

export function refuseTyped(code: AttestUsageCode, message: string, hint?: string): Failure<AttestUsageCode> {
  return new Failure<AttestUsageCode>(code, message, hint === undefined ? {} : { detail: { hint } })
}

/** A time in UTC, `2026-11-25T09:13:25Z`, or in Unix seconds. A fraction of a second is cut off. @throws usage/time */
function timeOf(text: string): UnixSeconds {
  const at = /^\d{1,11}$/.test(text) ? Number(text) : parseTime(text.replace(/\.\d{1,9}Z$/, 'Z'))
  if (at === undefined)
    throw refuseTyped('usage/time', `--at is ${text}, expected a time such as 2026-11-25T09:13:25Z or Unix seconds`)
  return at
}

/** Hex of either case, `size` bytes where it is fixed. @throws usage/hex */
function hexOf(name: string, text: string, size?: number): Uint8Array {
  if (text === '') throw refuseTyped('usage/hex', `--${name} is empty`)
  try {
    return fromHex(text.toLowerCase().replace(/^0x/, ''), size)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuseTyped('usage/hex', `--${name} is no hex${size === undefined ? '' : ` of ${size} bytes`}`)
  }
}

/**
 * The time to judge at, once all that was typed has its form.
 *
 * hasBinding  a binding was given too
 * throws      usage/time, usage/hex, usage/binding
 */
export function readTyped(typed: Typed, hasBinding: boolean, now: UnixSeconds): UnixSeconds {
  const { at, nonce, reportData, simulatedRoot } = typed
  if (Number(nonce !== undefined) + Number(reportData !== undefined) + Number(hasBinding) > 1)
    throw refuseTyped('usage/binding', '--nonce, --report-data and --binding are three ways to say one thing: give one')
  if (reportData !== undefined) hexOf('report-data', reportData, 64)
  if (nonce !== undefined) hexOf('nonce', nonce)
  for (const root of simulatedRoot ?? []) hexOf('simulated-root', root, 32)
  return at === undefined ? now : timeOf(at)
}

/** Kinds whose device takes a nonce as it is. */
export const kindsWithNonce: readonly AnyEvidence['kind'][] = ['nitro', 'azure-snp', 'azure-tdx', 'gpu']

/**
 * What the evidence has to carry, whole; nothing when nothing was typed.
 *
 * bindingOf  what evidence has to carry which answers a nonce, where its form says so; otherwise null
 * throws     usage/binding, usage/hex
 */
export function carriedBy(
  { nonce, reportData }: Typed,
  binding: Binding | null,
  bindingOf: ((nonce: Uint8Array) => ExpectedBinding) | null,
  kind: AnyEvidence['kind'],
): ExpectedBinding {
  if (binding !== null) return { expectedReportData: reportDataOf(binding), expectedNonce: null }
  if (reportData !== undefined) return { expectedReportData: hexOf('report-data', reportData, 64), expectedNonce: null }
  if (nonce === undefined) return { expectedReportData: null, expectedNonce: null }
  const bytes = hexOf('nonce', nonce)
  if (bindingOf !== null) return bindingOf(bytes)
  if (kindsWithNonce.includes(kind)) return { expectedReportData: null, expectedNonce: bytes }
  // A binding value is compared whole, never padded: how a nonce becomes report data is the protocol's to say.
  throw refuseTyped(
    'usage/binding',
    `evidence of kind ${kind} carries 64 bytes of report data and no nonce`,
    'give the whole value: --report-data HEX, 64 bytes',
  )
}
