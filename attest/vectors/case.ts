/**
 * What belongs in attest/vectors: running published vectors through the code that the service runs, under the policy
 * `vectors`. Nothing else may use that policy: a tidy test sees to it.
 */

import type { AppraisalPolicy } from '#attest/appraise-under.js'
import type { TracedStep } from '#attest/trace.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import {
  either,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  record,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { PartEvidence } from '#core/wire/evidence.js'
import { type CollateralFloor, collateralFloorsShape } from '#core/wire/trust-file.js'

/** Failures of reading a case. */
export type CaseCode = 'case/form' | 'case/file' | 'case/variant'

/** A file of the case's folder, or of a folder beside it, so that cases may share what they have in common. */
const fileName = string({ max: 200, form: /^(\.\.\/[A-Za-z0-9][A-Za-z0-9._-]*\/)?[A-Za-z0-9][A-Za-z0-9._-]*$/ })
/** What a variant puts in a file's place: a file of the folder, or words that say what to take. */
const replacement = string({ max: 300 })
/** Fractions of a second, which published cases have, are cut off. */
const time: Shape<UnixSeconds> = (value, path) => {
  const text = string({ form: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$/ })(value, path)
  const at = Math.floor(Date.parse(text) / 1000)
  if (!Number.isInteger(at)) throw new Failure<CaseCode>('case/form', `${path} is no time`)
  return at
}
const outcome = oneOf('pass', 'fail')

/** An object of which these members are read; a case says much more, for people. */
function reading<const M extends { readonly [name: string]: Shape<unknown> }>(members: M) {
  const strict = object(members)
  return (value: Json | undefined, path: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return strict(value, path)
    return strict(Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(members, name))), path)
  }
}

const byteChange = object({ file: string(), offset: integer({ max: 2 ** 24 }), xor: hex(1) })
const textChange = object({ file: string(), replace: list(string(), { min: 2, max: 2 }) })
/** A change in the words of who published it. */
const noteChange = object({ file: string(), note: literal('flip one hex digit of a selected PCR') })
const variantShape = reading({
  name: string(),
  expect: outcome,
  code: optional(string()),
  validAt: optional(time),
  nonce: optional(hex()),
  mutate: optional(either(byteChange, either(textChange, noteChange))),
  replaceFile: optional(record(replacement, { max: 8 })),
})
export type Variant = Shaped<typeof variantShape>

/**
 * One case. `code`, `skips`, `simulatedRoots`, `collateralFloors`, `rimIds` and `tenantClass` stand in our own minted cases
 * only: the failure code or the check that must decide, the steps that must be skipped and no others, the throwaway roots it is minted under, the oldest lists that the reader
 * takes, ids of RIMs by their role where they are other than what the devices ask for, and the class of the tenant it is
 * appraised for.
 */
const caseShape = reading({
  tee: string(),
  product: string(),
  files: record(fileName, { max: 32 }),
  validAt: time,
  nonce: optional(nullable(hex(undefined, 2 * 1024))),
  reportData: nullable(hex(undefined, 2 * 1024)),
  ocspWindows: optional(record(list(time, { min: 2, max: 2 }), { max: 8 })),
  expect: outcome,
  expectCrypto: optional(outcome),
  code: optional(string()),
  skips: optional(list(string(), { max: 64 })),
  simulatedRoots: optional(list(hex(32), { max: 4 })),
  collateralFloors: optional(collateralFloorsShape),
  rimIds: optional(record(string({ max: 100 }), { max: 8 })),
  tenantClass: optional(oneOf('production', 'development')),
  expected: optional((value) => value ?? null),
  variants: optional(list(variantShape, { max: 100 })),
})
export type Case = Shaped<typeof caseShape>

/** The kind of a case.json, whatever else it says. @throws json/..., shape/... */
export function caseKind(bytes: Uint8Array): string {
  return reading({ tee: string() })(parseJson(bytes), 'case').tee
}

/** @throws json/..., shape/..., case/form */
export function parseCase(bytes: Uint8Array): Case {
  return caseShape(parseJson(bytes), 'case')
}

/** How a case came out. */
export interface Judgement {
  readonly crypto: 'pass' | 'fail'
  readonly overall: 'pass' | 'fail'
  /** the failure code, or the id of the first check that refused */
  readonly code: string | null
  /** the trace of each part, its machine first; none where its envelope was refused before it was any evidence */
  readonly parts: readonly { readonly kind: PartEvidence['kind']; readonly steps: readonly TracedStep[] }[]
}

/** Everything one run of a case depends on. A variant changes one member. */
export interface CaseInput {
  readonly roles: ReadonlyMap<string, Uint8Array>
  readonly at: number
  readonly reportData: Uint8Array | null
  /** what the evidence answers, where the case says it and not the report data */
  readonly nonce: Uint8Array | null
  /** first and last time of answers that were not fetched at one time; none where all are to be judged at `at` */
  readonly ocspWindows: readonly (readonly number[])[]
  readonly simulatedRoots: readonly string[]
  readonly rimIds: Readonly<Record<string, string>>
  readonly collateralFloors: readonly CollateralFloor[]
  readonly tenantClass: 'production' | 'development'
  readonly policy: AppraisalPolicy
}
