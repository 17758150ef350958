import { fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { labelled, thumbprintShape } from '#core/crypto/jwk.js'
import { type Share, sharesMax } from '#core/crypto/shamir.js'
import { canonicalJson } from '#core/encoding/json.js'
import { hex, integer, list, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { dekSize } from '#core/sealed/keys.js'

/**
 * The brokers among whom a model's key is split, as the owner signed it: any `threshold` of them give it to a node together,
 * fewer of them know nothing of it.
 */
export const quorumShape = object({
  threshold: integer({ min: 2, max: sharesMax }),
  /** the share of index 1 first */
  shares: list(
    object({
      /** thumbprint of the key of the broker that holds it */
      broker: thumbprintShape,
      /** what the owner calls that broker */
      name: string({ max: 100, form: /^[A-Za-z0-9][A-Za-z0-9._-]*$/ }),
      /** who controls it, as the owner declares; null where the owner does not say */
      controller: nullable(string({ max: 200, form: /^[^\p{C}]+$/u })),
      /** shareCommitment */
      commitment: hex(32),
    }),
    { min: 2, max: sharesMax },
  ),
})
export type Quorum = Shaped<typeof quorumShape>

const openingSize = 32
/** What a broker holds of a split key: the opening of its commitment (32 bytes), then the share (32 bytes). */
export const shareRecordSize = openingSize + dekSize

function refuse(message: string): Failure<SealedCode> {
  return new Failure<SealedCode>('sealed/quorum', message)
}

/**
 * Returns only when the quorum agrees with itself: a threshold that can be reached, one share a broker, one share a
 * controller (TRUST 13). @throws sealed/quorum
 */
export function verifyQuorum({ threshold, shares }: Quorum): void {
  if (threshold > shares.length) throw refuse(`threshold ${threshold} of ${shares.length} shares`)
  const once = (what: string, values: readonly string[]) => {
    if (new Set(values).size !== values.length) throw refuse(`one ${what} has two shares`)
  }
  once(
    'broker',
    shares.map(({ broker }) => broker),
  )
  once(
    'name',
    shares.map(({ name }) => name),
  )
  once(
    'commitment',
    shares.map(({ commitment }) => commitment),
  )
  once(
    'controller',
    shares.flatMap(({ controller }) => (controller === null ? [] : [controller.trim().toLowerCase()])),
  )
}

/** The same quorum: the same brokers in the same order, threshold and commitments; or both have none. */
export function isSameQuorum(a: Quorum | undefined, b: Quorum | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return toHex(canonicalJson(a)) === toHex(canonicalJson(b))
}

/**
 * The index of a broker's share, from 1. broker: thumbprint of its key @throws sealed/quorum
 */
export function shareIndexOf(quorum: Quorum, broker: string): number {
  const at = quorum.shares.findIndex((one) => one.broker === broker)
  if (at === -1) throw refuse(`broker ${broker} has no share of this key`)
  return at + 1
}

/** Which share of which key a commitment is to. */
export interface ShareContext {
  readonly model: { readonly id: string; readonly version: number }
  readonly threshold: number
  readonly index: number
}

/**
 * The commitment to a share: lowercase hex of SHA-256(`claviger/share-commitment/v1`, 0x00, opening, canonical JSON of model,
 * version, threshold and index, 0x00, share). It binds, and without the opening it says nothing, to a broker either.
 *
 * record  64 bytes: opening, then share
 * throws  sealed/share
 */
export function shareCommitment({ model, threshold, index }: ShareContext, record: Uint8Array): string {
  if (record.length !== shareRecordSize)
    throw new Failure<SealedCode>('sealed/share', `a share has ${record.length} bytes, expected ${shareRecordSize}`)
  const context = canonicalJson({ model: model.id, version: model.version, threshold, index })
  const input = labelled('claviger/share-commitment/v1', record.subarray(0, openingSize), context, utf8('\0'))
  const whole = new Uint8Array(new ArrayBuffer(input.length + dekSize))
  whole.set(input)
  whole.set(record.subarray(openingSize), input.length)
  try {
    return toHex(sha256(whole))
  } finally {
    whole.fill(0)
    input.fill(0)
  }
}

/**
 * The share in a record, which is the one that the owner committed to for this index: a view of the record.
 *
 * throws  sealed/share, which names the broker whose share it should have been; sealed/quorum
 */
export function verifyShare(
  quorum: Quorum,
  of: { readonly model: ShareContext['model']; readonly index: number },
  record: Uint8Array,
): Share {
  const held = quorum.shares[of.index - 1]
  if (held === undefined) throw refuse(`there is no share ${of.index} of ${quorum.shares.length}`)
  const context = { model: of.model, threshold: quorum.threshold, index: of.index }
  if (shareCommitment(context, record) !== toHex(fromHex(held.commitment, 32))) {
    throw new Failure<SealedCode>(
      'sealed/share',
      `share ${of.index} of broker ${held.name} (${held.broker}) is not the one that the owner committed to`,
      { detail: { index: of.index, broker: held.broker } },
    )
  }
  return { index: of.index, value: record.subarray(openingSize) }
}

/**
 * What one broker of a quorum may grant of what an owner allows in all: floor(limit * t / n), so that all of them together
 * never grant more, whichever t of them a node asks (TRUST 13). The whole limit where the key is not split.
 */
export function grantableLimit(limit: number, quorum: Quorum | undefined): number {
  return quorum === undefined
    ? limit
    : Number((BigInt(limit) * BigInt(quorum.threshold)) / BigInt(quorum.shares.length))
}
