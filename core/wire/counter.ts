import { thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64Url, hex, integer, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type Keyset, keysetDigest, keysetShape } from '#core/wire/keyset.js'
import { idShape } from '#core/wire/names.js'
import { apiVersion } from '#core/wire/release.js'

/** Failures of a counter that is for somebody, or for something, else. */
export type CounterCode =
  /** no signature of the receipt key of this keyset, or not the form of a counter */
  | 'counter/signature'
  | 'counter/broker'
  | 'counter/lease'
  | 'counter/keyset'
  /** it answers another challenge: it was made for an earlier renewal */
  | 'counter/replayed'
  /** one that a renewal carried is no last word: its node went on */
  | 'counter/not-final'

/**
 * What a node has used of its lease, as its TEE counts and signs it with the receipt key of the attested keyset. Nothing else
 * makes an allowance grow again (TRUST 16).
 */
export const counterShape = object({
  type: literal('claviger/counter/v1'),
  /** thumbprint of the broker that it is for */
  broker: thumbprintShape,
  lease: idShape,
  keysetDigest: hex(32),
  /** inferences that were paid for since the lease was granted, over all its renewals */
  inferences: integer(),
  /** of the challenge of the renewal that carries it; null in the last one, after which the node does no more */
  nonce: nullable(base64Url(32)),
})
export type Counter = Shaped<typeof counterShape>

const counterType = 'application/vnd.claviger.counter+json'

export async function signCounter(counter: Counter, receipt: SigningKey): Promise<Envelope> {
  return signEnvelope(counterType, canonicalJson(counter), [receipt])
}

/** What a counter has to be about; `nonce` null for a last one. */
export interface CounterExpected {
  readonly broker: string
  readonly lease: string
  readonly nonce: string | null
}

/**
 * A counter that the receipt key of `keyset` signed, for this broker, lease and challenge.
 *
 * trusts  that `keyset` is the one that the lease was granted to: evidence binds its digest (I20)
 * throws  counter/signature, counter/broker, counter/lease, counter/keyset, counter/replayed, counter/not-final
 */
export async function verifyCounter(envelope: Envelope, keyset: Keyset, expected: CounterExpected): Promise<Counter> {
  const counter = await signedCounter(envelope, keyset)
  const differs = (code: CounterCode, what: string) =>
    new Failure<CounterCode>(code, `counter is for another ${what} than this`)
  if (counter.broker !== expected.broker) throw differs('counter/broker', 'broker')
  if (counter.lease !== expected.lease) throw differs('counter/lease', 'lease')
  if (counter.keysetDigest !== keysetDigest(keyset)) throw differs('counter/keyset', 'keyset')
  if (counter.nonce === expected.nonce) return counter
  if (expected.nonce === null) throw new Failure<CounterCode>('counter/not-final', 'counter is that of a renewal')
  throw differs('counter/replayed', 'challenge')
}

async function signedCounter(envelope: Envelope, keyset: Keyset): Promise<Counter> {
  try {
    const { payload } = await verifyEnvelope(envelope, counterType, [keyset.receipt], 'counter')
    return counterShape(parseCanonicalJson(payload), 'counter')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<CounterCode>('counter/signature', `counter does not verify: ${cause.message}`, { cause })
  }
}

/** `POST /v1/finals`: the last counter of a lease, with the keyset that verifies it. */
export const finalRequestShape = object({
  version: literal(apiVersion),
  keyset: keysetShape,
  counter: envelopeShape,
})
export type FinalRequest = Shaped<typeof finalRequestShape>

/** The answer: the lease is over, and what was not used is the owner's again. */
export const finalAnswerShape = object({
  version: literal(apiVersion),
  lease: idShape,
  /** inferences that were used, and that came back */
  used: integer(),
  returned: integer(),
})
export type FinalAnswer = Shaped<typeof finalAnswerShape>

/** The lease that a counter claims to be about: it says which row to verify it for. @throws json/..., shape/... */
export function claimedCounter(payload: Uint8Array): Counter {
  return counterShape(parseCanonicalJson(payload), 'counter')
}
