import type { NamedFile } from '#attest/pool.js'
import { besideCountMax, besideSizeMax, type FoundEvidence, filesIn } from '#attest/reader/beside.js'
import { judgeForReader } from '#attest/reader/judge.js'
import { hintsFor, type Outcome, outcomeOf } from '#attest/reader/outcome.js'
import type { Typed } from '#attest/reader/typed.js'
import { readValues } from '#attest/reader/values.js'
import type { Provenance } from '#attest/reference/provenance.js'
import type { AttestationResult } from '#attest/result.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { bindingShape } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import { trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'

/** Failures of what was put into the form. */
export type ConsoleCode =
  | 'console/no-evidence'
  /** a file and a pasted text */
  | 'console/two-evidences'
  /** more or larger files than are read */
  | 'console/size'

/** Evidence, and each document beside it, in bytes. */
export const fileSizeMax = 16 * MiB

/** The form as it was filled in: the arguments of `claviger attest verify`, with files as their bytes. */
export interface FormInput {
  readonly evidence: NamedFile
  readonly collateral: readonly NamedFile[]
  /** AMD's certificates, which come with the page */
  readonly shipped: readonly NamedFile[]
  readonly typed: Typed
  readonly binding: NamedFile | null
  readonly referenceValues: NamedFile | null
  readonly values: NamedFile | null
  readonly trust: NamedFile | null
  readonly allowSimulated: boolean
}

/** What is shown of evidence that was judged. */
export interface Judged {
  readonly found: Pick<FoundEvidence, 'recognised' | 'notes'>
  readonly provenance: Provenance | null
  readonly result: AttestationResult<AnyEvidence>
  readonly outcome: Outcome
  readonly hints: readonly string[]
}

/** The sizes of files, before they are read. @throws console/size */
export function verifySizes(files: readonly { readonly size: number }[], sizeMax: number, countMax: number): void {
  const size = files.reduce((sum, file) => sum + file.size, 0)
  if (files.length > countMax || size > sizeMax)
    throw new Failure<ConsoleCode>(
      'console/size',
      `${files.length} files of ${size} bytes, at most ${countMax} of ${sizeMax} bytes are read here`,
      { detail: { hint: 'the command takes a folder: ./claviger attest verify FILE --collateral DIR' } },
    )
}
export const collateralMax = { size: besideSizeMax, count: besideCountMax }

/**
 * The verdict on what stands in the form: what `claviger attest verify` says of the same files, but that no trust file is
 * remembered from one time to the next, and that KBS messages are not taken apart.
 *
 * throws  what judgeForReader and readValues throw; json/..., shape/..., trust-file/..., collateral/...
 */
export async function judgeForm(form: FormInput, now: UnixSeconds): Promise<Judged | { readonly refused: Failure }> {
  try {
    return await judge(form, now)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'evidence/unverified-form') throw error
    const hint = 'this page does not speak that protocol: judge it with ./claviger attest verify'
    throw new Failure(error.code, error.message, { cause: error, detail: { hint } })
  }
}

async function judge(form: FormInput, now: UnixSeconds): Promise<Judged | { readonly refused: Failure }> {
  const { trust: trustFile, typed } = form
  const trust =
    trustFile === null
      ? null
      : (await verifyTrustFile(trustFileShape(parseJson(trustFile.bytes), 'trust file'), null, now)).trust
  const files = { reference: form.referenceValues?.bytes ?? null, values: form.values?.bytes ?? null }
  const values = await readValues(files, trust && (async () => trust.runtimePublishers), now)
  const verdict = await judgeForReader({
    bytes: form.evidence.bytes,
    beside: {
      given: async () => form.collateral.flatMap(filesIn),
      shipped: async () => form.shipped,
      takeApart: null,
    },
    hasBeside: form.collateral.length > 0,
    typed,
    binding: form.binding && bindingShape(parseJson(form.binding.bytes), 'binding'),
    values,
    trusted: trust ?? { simulatedRoots: [] },
    now,
  })
  if ('refused' in verdict) return verdict
  const { found, result, dates } = verdict
  const outcome = outcomeOf(result, form.allowSimulated)
  const hints = [...hintsFor(result, outcome.accepted, form.allowSimulated), ...(dates === null ? [] : [dates])]
  return { found, provenance: values.provenance, result, outcome, hints }
}
