import type { Provenance, Publisher } from '#attest/reference/provenance.js'
import { runtimeFileShape } from '#attest/reference/runtime-file.js'
import { verifyNewest, verifyReference } from '#attest/reference/verify.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'

/** Failures of what was typed about reference values. */
export type ReferenceValuesUsageCode = 'usage/reference-trust' | 'usage/reference-values'

/** What a reader compares with. */
export interface Values {
  readonly values: ReferenceValues | null
  /** who vouches for them; null for values that the reader wrote or trusts by hand */
  readonly provenance: Provenance | null
  readonly simulatedRoots: readonly string[]
}

/** The files, as bytes; null for one that was not given. */
export interface ValuesInput {
  /** reference values, the file of a runtime, or a signed document */
  readonly reference: Uint8Array | null
  /** values beside a signed document */
  readonly values: Uint8Array | null
  /** what the reader calls the two files */
  readonly names?: { readonly reference: string; readonly values: string }
}

const plainNames = {
  reference: 'the file of reference values',
  values: 'the file of values beside the signed document',
}
const ways = {
  reference:
    'expected is JSON: reference values, what ./claviger runtime values writes, or a signed set or statement; or a CoRIM',
  values:
    'expected is JSON of reference values: the file that the statement names, or that whose lists the CoRIM replaces',
}

/** Whose signatures count, asked for once a document is found to be signed; null where the reader gave no trust file. */
export type Publishers = (() => Promise<readonly Publisher[]>) | null

/** What the reader took in before, of which nothing older counts; null where the reader keeps nothing, as in a browser. */
export type Seen = ((publishers: readonly Publisher[]) => Promise<readonly Provenance[]>) | null

/** What a file of another form fails with, under its name and with what was expected; every other failure as it is. */
function named(error: unknown, part: keyof typeof ways, names: ValuesInput['names'] = plainNames): unknown {
  if (!isFailure(error) || !/^(json|bytes|shape)\//.test(error.code)) return error
  const message = `${names[part]} holds no reference values: ${error.message}`
  return new Failure(error.code, message, { cause: error, detail: { ...error.detail, hint: ways[part] } })
}

function refuse(code: ReferenceValuesUsageCode, message: string, hint: string): Failure<ReferenceValuesUsageCode> {
  return new Failure<ReferenceValuesUsageCode>(code, message, { detail: { hint } })
}

/** A document that somebody signed; `needsValues`: reference values have to stand beside it. */
interface SignedForm {
  readonly title: string
  readonly needsValues: boolean
}

const isObject = (one: Json): one is { readonly [name: string]: Json } =>
  one !== null && typeof one === 'object' && !Array.isArray(one)

/** COSE_Sign1 under its tag, with the tag around it that older drafts have, or without one. */
const isCose = ([first, second, third]: Uint8Array) =>
  first === 0xd2 || first === 0x84 || (first === 0xd9 && second === 0x01 && third !== undefined)

/** What the file begins as; null for a document that nobody signed. */
function signedForm(bytes: Uint8Array): SignedForm | null {
  if (isCose(bytes)) return { title: 'a CoRIM', needsValues: true }
  const document = parseJson(bytes)
  if (!isObject(document) || !Object.hasOwn(document, 'payloadType')) return null
  const isStatement = document.payloadType === 'application/vnd.in-toto+json'
  return { title: isStatement ? 'a provenance statement' : 'a signed set', needsValues: isStatement }
}

/**
 * Reference values, the file of a runtime that `claviger runtime values` writes, or a document that a publisher of the trust
 * file signed: a set, a provenance statement or a CoRIM, the last two with the file of values beside them.
 *
 * throws  json/..., shape/..., reference/..., usage/reference-trust, usage/reference-values
 */
export async function readValues(
  input: ValuesInput,
  publishers: Publishers,
  now: UnixSeconds,
  seen: Seen = null,
): Promise<Values> {
  const { reference, values: beside, names } = input
  if (reference === null) {
    if (beside === null) return { values: null, provenance: null, simulatedRoots: [] }
    const hint = 'give the statement or CoRIM with --reference-values, or these values alone with it'
    throw refuse('usage/reference-values', '--values stands beside a signed document, and there is none', hint)
  }
  const form = formOf(reference, names)
  if (form === null && beside !== null)
    throw refuse(
      'usage/reference-values',
      'the reference values are not signed, and --values stands beside a signed document alone',
      'leave --values out, or give the signed document with --reference-values',
    )
  if (form !== null) return signedValues(form, { ...input, reference }, { publishers, seen }, now)
  try {
    return unsignedValues(parseJson(reference))
  } catch (error) {
    throw named(error, 'reference', names)
  }
}

function formOf(reference: Uint8Array, names: ValuesInput['names']): SignedForm | null {
  try {
    return signedForm(reference)
  } catch (error) {
    throw named(error, 'reference', names)
  }
}

function unsignedValues(document: Json): Values {
  if (isObject(document) && Object.hasOwn(document, 'values')) {
    const runtime = runtimeFileShape(document, 'runtime')
    return { values: runtime.values, provenance: null, simulatedRoots: runtime.simulatedRoots ?? [] }
  }
  return { values: referenceValuesShape(document, 'referenceValues'), provenance: null, simulatedRoots: [] }
}

async function signedValues(
  { title, needsValues }: SignedForm,
  { reference: signed, values, names }: ValuesInput & { readonly reference: Uint8Array },
  { publishers, seen }: { readonly publishers: Publishers; readonly seen: Seen },
  now: UnixSeconds,
): Promise<Values> {
  if (publishers === null)
    throw refuse(
      'usage/reference-trust',
      `the reference values are ${title}: whose signature counts is not said`,
      "add --trust FILE, with the publisher's key among runtimePublishers",
    )
  if (needsValues && values === null)
    throw refuse(
      'usage/reference-values',
      `the reference values are ${title}, which needs a file of values beside it`,
      'add --values FILE: the file that the statement names, or the values whose lists the CoRIM replaces',
    )
  const trusted = await publishers()
  const found = await verifyReference({ signed, values }, trusted, now).catch((error: unknown) => {
    throw named(error, values === null ? 'reference' : 'values', names)
  })
  if (found.provenance.version !== null && seen !== null) verifyNewest(found.provenance, await seen(trusted))
  return { values: found.values, provenance: found.provenance, simulatedRoots: [] }
}
