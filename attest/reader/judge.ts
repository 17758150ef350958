import type { Anchors } from '#attest/anchors.js'
import { examineEvidence } from '#attest/examine.js'
import { type Beside, envelopeOf, type FoundEvidence, findEvidence } from '#attest/reader/beside.js'
import { dateHint } from '#attest/reader/dates.js'
import { carriedBy, readTyped, refuseTyped, type Typed } from '#attest/reader/typed.js'
import type { Values } from '#attest/reader/values.js'
import type { AttestationResult } from '#attest/result.js'
import { type Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Binding } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** All that a reader gave, and the time now. */
export interface ReaderInput {
  readonly bytes: Uint8Array
  readonly beside: Beside
  /** the reader named files beside the evidence, if only an empty folder */
  readonly hasBeside: boolean
  readonly typed: Typed
  readonly binding: Binding | null
  readonly values: Values
  /** of the reader's trust file; without one nothing beyond what was typed */
  readonly trusted: Anchors
  readonly now: UnixSeconds
}

/** A verdict, or why the bytes are none that one could be given on: which is a verdict against too. */
export type ReaderVerdict =
  | {
      readonly found: FoundEvidence
      readonly result: AttestationResult<AnyEvidence>
      /** what can be done about a date that failed; null where none did */
      readonly dates: string | null
    }
  | { readonly refused: Failure }

/** The evidence as the verifier takes it; without files beside it the way to give some is usage. */
function envelope(found: FoundEvidence, hasBeside: boolean): AnyEvidence {
  try {
    return envelopeOf(found)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'evidence/incomplete' || hasBeside) throw error
    throw refuseTyped('usage/collateral', error.message, 'put these files into a folder and add --collateral DIR')
  }
}

/** What is no evidence, or cannot be read as the evidence that it begins like, is judged like evidence that is wrong. */
function isAgainst(error: unknown, found: FoundEvidence | null): error is Failure {
  if (!isFailure(error)) return false
  if (['evidence/unrecognised', 'evidence/size'].includes(error.code) || error.code.startsWith('kbs/')) return true
  return found !== null && /^(json|bytes|shape)\//.test(error.code)
}

/**
 * The verdict on what a reader gave. It is the same for every surface: bytes that are no evidence are a verdict against, what
 * was typed wrongly or is missing is trouble.
 *
 * throws  usage/..., evidence/incomplete, evidence/unverified-form, and what `beside` throws
 */
export async function judgeForReader(input: ReaderInput): Promise<ReaderVerdict> {
  const { bytes, beside, hasBeside, typed, binding, values, trusted, now } = input
  const at = readTyped(typed, binding !== null, now)
  let found: FoundEvidence | null = null
  let evidence: AnyEvidence
  try {
    found = await findEvidence(bytes, beside)
    evidence = envelope(found, hasBeside)
  } catch (error) {
    if (isAgainst(error, found)) return { refused: error }
    throw error
  }
  const named = (typed.simulatedRoot ?? []).map((text) => text.toLowerCase())
  const anchors = { ...trusted, simulatedRoots: [...named, ...values.simulatedRoots, ...trusted.simulatedRoots] }
  const result = await examineEvidence(evidence, anchors, {
    ...carriedBy(typed, binding, found.bindingOf, evidence.kind),
    ...(binding === null ? {} : { binding }),
    referenceValues: values.values,
    // Simulated evidence is judged like any other, and then refused unless the reader allows it.
    tenantClass: 'development',
    at,
  })
  return { found, result, dates: await dateHint(evidence, result) }
}
