import type { ReferenceCode } from '#attest/reference/provenance.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { integer, literal, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { nameShape, timeShape, titleShape } from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

export const setPayloadType = 'application/vnd.claviger.reference-set+json'

/** A publisher's own set: docs/spec/reference-set.md. */
const setShape = object({
  type: literal('claviger/reference-set/v1'),
  /** names a line of versions, for protection against rollback */
  name: nameShape,
  version: integer({ min: 1 }),
  title: titleShape,
  issuedAt: timeShape,
  expiresAt: timeShape,
  values: referenceValuesShape,
})
export type ReferenceSet = Shaped<typeof setShape>

/** The set as its publisher gives it out. */
export function signReferenceSet(set: ReferenceSet, key: SigningKey): Promise<Envelope> {
  return signEnvelope(setPayloadType, canonicalJson(set), [key])
}

/**
 * The set in a payload that was verified, in its time.
 *
 * at      null: whatever its time, for who asks what was seen before
 * throws  reference/not-yet-valid, reference/expired, json/..., shape/...
 */
export function readReferenceSet(payload: Uint8Array, at: UnixSeconds | null): ReferenceSet {
  const set = setShape(parseCanonicalJson(payload), 'reference set')
  if (at === null) return set
  if (set.issuedAt > at + clockSkewSeconds)
    throw new Failure<ReferenceCode>('reference/not-yet-valid', `reference set is from ${formatTime(set.issuedAt)}`)
  if (at > set.expiresAt)
    throw new Failure<ReferenceCode>('reference/expired', `reference set expired at ${formatTime(set.expiresAt)}`)
  return set
}
