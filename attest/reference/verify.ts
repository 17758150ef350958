import { type Corim, readCorim, type Validity, verifySignedCorim } from '#attest/reference/corim.js'
import { verifyPublished } from '#attest/reference/envelope.js'
import type { Provenance, Publisher, ReferenceCode, VerifiedReference } from '#attest/reference/provenance.js'
import { readReferenceSet, setPayloadType } from '#attest/reference/set.js'
import { readProvenance, statementPayloadType } from '#attest/reference/statement.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import { type ReferenceValues, referenceValuesShape, type SnpReferenceValues } from '#core/wire/reference-values.js'

/** A signed document, and the file beside it where it needs one. */
export interface ReferenceInput {
  /** a DSSE envelope in JSON, or a signed CoRIM */
  readonly signed: Uint8Array
  /** reference values in JSON: those that a provenance statement names, or those whose lists a CoRIM replaces */
  readonly values: Uint8Array | null
}

function refuse(code: ReferenceCode, message: string): Failure<ReferenceCode> {
  return new Failure<ReferenceCode>(code, message)
}

/**
 * Reference values that one of the publishers vouches for, at `at`, and who that is.
 *
 * publishers  those of the reader's own trust file
 * throws      ReferenceCode; json/..., shape/... for values that are none
 */
export function verifyReference(
  input: ReferenceInput,
  publishers: readonly Publisher[],
  at: UnixSeconds,
): Promise<VerifiedReference> {
  return read(input, publishers, at)
}

/**
 * The same whatever its time: what was seen before, of which nothing older is accepted. Not for judging evidence by.
 *
 * throws  as verifyReference
 */
export async function verifyReferenceSeen(
  input: ReferenceInput,
  publishers: readonly Publisher[],
): Promise<Pick<VerifiedReference, 'values' | 'provenance'>> {
  return read(input, publishers, null)
}

async function read(
  { signed, values }: ReferenceInput,
  publishers: readonly Publisher[],
  at: UnixSeconds | null,
): Promise<VerifiedReference> {
  if (signed.find((byte) => byte > 0x20) !== 0x7b) return verifyCorim(signed, values, publishers, at)
  const { payloadType, payload, publisher } = await verifyPublished(readDocument(signed), publishers)
  if (payloadType === setPayloadType) return ofSet(payload, values, publisher, at)
  if (payloadType === statementPayloadType) return ofStatement(payload, values, publisher)
  throw refuse('reference/form', `envelope is of type ${payloadType.slice(0, 100)}, which holds no reference values`)
}

function readDocument(signed: Uint8Array) {
  try {
    return parseJson(signed)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ReferenceCode>('reference/form', `no signed document: ${cause.message}`, { cause })
  }
}

function vouched(
  title: string,
  values: ReferenceValues,
  payload: Uint8Array,
  publisher: Publisher,
  more: Pick<Provenance, 'source'> & Partial<Provenance>,
): VerifiedReference {
  const provenance: Provenance = {
    publisher: publisher.alias,
    key: thumbprint(publisher.key),
    name: null,
    version: null,
    signedAt: null,
    expiresAt: null,
    digest: toHex(sha256(payload)),
    builder: null,
    ...more,
  }
  return { title, values, valuesDigest: documentDigest(values), provenance } as VerifiedReference
}

function ofSet(
  payload: Uint8Array,
  beside: Uint8Array | null,
  publisher: Publisher,
  at: UnixSeconds | null,
): VerifiedReference {
  if (beside !== null) throw refuse('reference/values', 'the set has its values in it: none may stand beside it')
  const { title, values, name, version, issuedAt, expiresAt } = readReferenceSet(payload, at)
  return vouched(title, values, payload, publisher, {
    source: 'claviger',
    name,
    version,
    signedAt: issuedAt,
    expiresAt,
  })
}

function ofStatement(payload: Uint8Array, beside: Uint8Array | null, publisher: Publisher): VerifiedReference {
  if (beside === null) throw refuse('reference/values', 'the statement names a file of values: give it beside it')
  const { builder, finishedAt } = readProvenance(payload, beside)
  const values = referenceValuesShape(parseJson(beside), 'referenceValues')
  return vouched(`built by ${builder}`.slice(0, 200), values, payload, publisher, {
    source: 'slsa',
    signedAt: finishedAt,
    builder,
  })
}

async function verifyCorim(
  signed: Uint8Array,
  beside: Uint8Array | null,
  publishers: readonly Publisher[],
  at: UnixSeconds | null,
): Promise<VerifiedReference> {
  const { payload, publisher, signedFor } = await verifySignedCorim(signed, publishers)
  const manifest = readCorim(payload)
  const validity = within(manifest, signedFor)
  if (at !== null) verifyInTime(validity, at)
  if (beside === null)
    throw refuse('reference/values', 'a manifest lists measurements alone: give the values around them beside it')
  const values = referenceValuesShape(parseJson(beside), 'referenceValues')
  if (!values.snp) throw refuse('reference/values', 'the values beside the manifest have none of SEV-SNP')
  const around = { ...values, snp: withLists(values.snp, manifest) }
  const { notBefore: signedAt, notAfter: expiresAt } = validity
  return vouched(manifest.title, around, payload, publisher, { source: 'corim', signedAt, expiresAt })
}

/** The manifest holds while its values do and while its signature does. */
function within(one: Validity, other: Validity): Validity {
  const of = (pick: (...times: number[]) => number, ...times: readonly (UnixSeconds | null)[]) => {
    const said = times.filter((time) => time !== null)
    return said.length === 0 ? null : pick(...said)
  }
  return {
    notBefore: of(Math.max, one.notBefore, other.notBefore),
    notAfter: of(Math.min, one.notAfter, other.notAfter),
  }
}

function verifyInTime({ notBefore, notAfter }: Validity, at: UnixSeconds): void {
  if (notBefore !== null && notBefore > at + clockSkewSeconds)
    throw refuse('reference/not-yet-valid', `manifest holds from ${formatTime(notBefore)}`)
  if (notAfter !== null && at > notAfter)
    throw refuse('reference/expired', `manifest held until ${formatTime(notAfter)}`)
}

/** The manifest's lists in place of the reader's; what the manifest does not list stays as the reader has it. */
function withLists(own: SnpReferenceValues, { snp }: Corim): SnpReferenceValues {
  const unique = (values: readonly string[]) => [...new Set(values)]
  const or = <T>(values: readonly string[], other: T) => (values.length > 0 ? unique(values) : other)
  return {
    ...own,
    measurements: unique(snp.measurements),
    hostData: or(snp.hostData, own.hostData),
    idKeyDigests: or(snp.idKeyDigests, own.idKeyDigests),
    authorKeyDigests: or(snp.authorKeyDigests, own.authorKeyDigests),
    // The stricter of the two.
    guestSvnMin: Math.max(own.guestSvnMin, snp.guestSvnMin ?? 0),
  }
}

/**
 * Returns only when the document may take the place of the one that this reader took in before: of the same line and
 * publisher, and no older.
 *
 * throws  reference/line, reference/rollback
 */
export function verifyNotRolledBack(
  { provenance }: Pick<VerifiedReference, 'provenance'>,
  before: Pick<VerifiedReference, 'provenance'> | null,
): void {
  if (before === null) return
  if (!isOfLine(provenance, before.provenance))
    throw refuse('reference/line', 'the name holds a document of another line or publisher: choose another name')
  verifyNewest(provenance, [before.provenance])
}

/**
 * Returns only when none of those that this reader has seen is newer than the document, or another of its version, in its line
 * and by its publisher, whatever name it was taken in under. Statements and manifests have no version: of them none is newer.
 *
 * throws  reference/rollback
 */
export function verifyNewest(provenance: Provenance, seen: readonly Provenance[]): void {
  const { name, version, digest } = provenance
  for (const other of seen) {
    if (!isOfLine(provenance, other) || version === null || other.version === null) continue
    if (version > other.version || (version === other.version && digest === other.digest)) continue
    const found = version === other.version ? `another document of version ${version}` : `version ${version}`
    throw new Failure<ReferenceCode>(
      'reference/rollback',
      `set ${name} is ${found}, version ${other.version} was taken in before`,
      { detail: { hint: 'use the newer one: ./claviger reference list shows what was taken in' } },
    )
  }
}

const isOfLine = (one: Provenance, other: Provenance): boolean =>
  one.source === other.source && one.name === other.name && one.key === other.key
