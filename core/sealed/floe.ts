import { assert } from '#core/assert.js'
import { concat, equal, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { Writer } from '#core/bytes/writer.js'
import { aesGcmOpen, aesGcmSeal } from '#core/crypto/aead.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { hmacSha384 } from '#core/crypto/hash.js'
import { aesGcmOpenInto, aesGcmSealInto } from '#core/crypto/segment.js'
import { Failure, isFailure } from '#core/failure.js'
import type { SealedCode } from '#core/sealed/failures.js'

/** Sizes of FLOE with AES-256-GCM, HKDF-Expand-SHA-384 and a 32-byte IV, in bytes. */
export const floeKeySize = 32
export const floeIvSize = 32
export const segmentIvSize = 12
/** length word, IV and tag around each segment's ciphertext */
export const segmentOverhead = 32
/** parameters 10, IV 32, tag 32 */
export const headerSize = 74
const parametersSize = 10
const messageKeySize = 48
const lastWordOfInner = 0xffff_ffff

/** One key is used for 2^20 segments. */
const rotationBitsOfAesGcm = 20

export interface FloeParameters {
  /** of the ciphertext, overhead included: 33 bytes to 64 MiB */
  readonly segmentLength: number
  /** AEAD_ROTATION_MASK; other than 20 in known answers only */
  readonly rotationBits?: number
}

/** `PARAM_ENCODE`. source: C2SP FLOE, "Internal Functions" */
export function encodeParameters({ segmentLength }: FloeParameters): Uint8Array {
  assert(segmentLength > segmentOverhead && segmentLength <= 64 * 1024 * 1024, 'segment length in range')
  return new Writer().u8(0).u8(0).u32be(segmentLength).u32be(floeIvSize).done()
}

function u64(value: number): Uint8Array {
  return new Writer().u64be(BigInt(value)).done()
}

/** Puts one step of HKDF-Expand, at most 48 bytes, into `out`. source: RFC 5869, "Step 2: Expand"; C2SP FLOE, `FLOE_KDF` */
function derive(key: Uint8Array, context: Uint8Array, purpose: Uint8Array, aad: Uint8Array, out: Uint8Array): void {
  // Invariant: Expand only. Node's and WebCrypto's HKDF would run Extract first, which FLOE does not.
  const block = hmacSha384(key, concat(context, purpose, aad, new Uint8Array([1])))
  out.set(block.subarray(0, out.length))
  wipe(block)
}

/**
 * The state of one FLOE message: seals and opens its segments in any order.
 *
 * Invariant: the place of a segment and whether it is the last come from the caller's signed manifest, never from the
 * segment: an opener that is led to a wrong place or flag loses the detection of truncation, and key commitment.
 */
export class Floe {
  readonly header: Uint8Array
  readonly segmentLength: number
  readonly #context: Uint8Array // parameters and IV
  readonly #aad: Uint8Array
  readonly #messageKey = secretBytes(messageKeySize)
  readonly #segmentKey = secretBytes(floeKeySize)
  readonly #rotationSize: number
  #segmentKeyNumber = -1

  private constructor(parameters: FloeParameters, key: Uint8Array, aad: Uint8Array, header: Uint8Array) {
    this.header = header
    this.segmentLength = parameters.segmentLength
    this.#rotationSize = 2 ** (parameters.rotationBits ?? rotationBitsOfAesGcm)
    this.#context = header.subarray(0, parametersSize + floeIvSize)
    this.#aad = aad
    derive(key, this.#context, utf8('MESSAGE_KEY:'), aad, this.#messageKey)
  }

  /** Begins sealing. `key` 32 bytes; `iv` 32 random bytes, new for each message. source: C2SP FLOE, `startEncryption` */
  static seal(parameters: FloeParameters, key: Uint8Array, aad: Uint8Array, iv: Uint8Array): Floe {
    assert(key.length === floeKeySize && iv.length === floeIvSize, 'FLOE takes a 32-byte key and a 32-byte IV')
    const context = concat(encodeParameters(parameters), iv)
    const tag = new Uint8Array(32)
    derive(key, context, utf8('HEADER_TAG:'), aad, tag)
    return new Floe(parameters, key, aad, concat(context, tag))
  }

  /**
   * Begins opening. The header is of exactly these parameters, this key and this associated data.
   *
   * throws  sealed/header, sealed/header-tag
   * source  C2SP FLOE, `startDecryption`
   */
  static open(parameters: FloeParameters, key: Uint8Array, aad: Uint8Array, header: Uint8Array): Floe {
    assert(key.length === floeKeySize, 'FLOE takes a 32-byte key')
    const encoded = encodeParameters(parameters)
    if (header.length !== headerSize || !equal(header.subarray(0, parametersSize), encoded)) {
      throw new Failure<SealedCode>('sealed/header', `header is not that of segments of ${parameters.segmentLength}`)
    }
    const expected = new Uint8Array(32)
    derive(key, header.subarray(0, parametersSize + floeIvSize), utf8('HEADER_TAG:'), aad, expected)
    if (!equal(header.subarray(parametersSize + floeIvSize), expected)) {
      throw new Failure<SealedCode>('sealed/header-tag', 'another key, or associated data that was not sealed with')
    }
    return new Floe(parameters, key, aad, header.slice())
  }

  /** Plaintext bytes of every segment but the last. */
  get plaintextLength(): number {
    return this.segmentLength - segmentOverhead
  }

  #keyFor(position: number): Uint8Array {
    assert(Number.isSafeInteger(position) && position >= 0 && position < 2 ** 40, 'at most 2^40 segments')
    const number = Math.floor(position / this.#rotationSize) * this.#rotationSize
    if (number !== this.#segmentKeyNumber) {
      derive(this.#messageKey, this.#context, concat(utf8('DEK:'), u64(number)), this.#aad, this.#segmentKey)
      this.#segmentKeyNumber = number
    }
    return this.#segmentKey
  }

  #frame(position: number, last: boolean): Uint8Array {
    return concat(u64(position), new Uint8Array([last ? 1 : 0]))
  }

  #head(plaintext: Uint8Array, last: boolean, iv: Uint8Array): Uint8Array {
    const fits = last ? plaintext.length <= this.plaintextLength : plaintext.length === this.plaintextLength
    assert(fits && iv.length === segmentIvSize, 'inner segments are full, the last is not longer')
    const word = last ? plaintext.length + segmentOverhead : lastWordOfInner
    return new Writer().u32be(word).bytes(iv).done()
  }

  /** IV and rest of a segment whose length word fits its place. */
  #split(sealed: Uint8Array, last: boolean): { iv: Uint8Array; body: Uint8Array } {
    const fits = last
      ? sealed.length >= segmentOverhead && sealed.length <= this.segmentLength
      : sealed.length === this.segmentLength
    const word = fits ? new DataView(sealed.buffer, sealed.byteOffset).getUint32(0) : -1
    if (word !== (last ? sealed.length : lastWordOfInner)) {
      throw new Failure<SealedCode>('sealed/segment-form', `segment of ${sealed.length} bytes does not fit its place`)
    }
    return { iv: sealed.subarray(4, 16), body: sealed.subarray(16) }
  }

  /** One segment. `iv` 12 random bytes, new for each. source: C2SP FLOE, `encryptSegment` */
  async sealSegment(position: number, last: boolean, iv: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array> {
    const head = this.#head(plaintext, last, iv)
    return concat(head, await aesGcmSeal(this.#keyFor(position), iv, this.#frame(position, last), plaintext))
  }

  /** The plaintext of one segment. @throws sealed/segment-form, sealed/segment-tag. source: C2SP FLOE, `decryptSegment` */
  async openSegment(position: number, last: boolean, sealed: Uint8Array): Promise<Uint8Array> {
    const { iv, body } = this.#split(sealed, last)
    try {
      return await aesGcmOpen(this.#keyFor(position), iv, this.#frame(position, last), body)
    } catch (error) {
      throw refusedTag(error, position)
    }
  }

  /** As sealSegment, into `destination` (32 bytes longer), without a promise. Node only. */
  sealSegmentInto(
    position: number,
    last: boolean,
    iv: Uint8Array,
    plaintext: Uint8Array,
    destination: Uint8Array,
  ): void {
    destination.set(this.#head(plaintext, last, iv))
    aesGcmSealInto(this.#keyFor(position), iv, this.#frame(position, last), plaintext, destination.subarray(16))
  }

  /** As openSegment, into `destination` (32 bytes shorter), without a promise. Node only. */
  openSegmentInto(position: number, last: boolean, sealed: Uint8Array, destination: Uint8Array): void {
    const { iv, body } = this.#split(sealed, last)
    try {
      aesGcmOpenInto(this.#keyFor(position), iv, this.#frame(position, last), body, destination)
    } catch (error) {
      throw refusedTag(error, position)
    }
  }

  /** Zeroes the keys. The state is of no use afterwards. */
  zero(): void {
    wipe(this.#messageKey, this.#segmentKey)
    this.#segmentKeyNumber = -1
  }
}

const aeadTag: CryptoCode = 'crypto/aead-tag'
function refusedTag(error: unknown, position: number): unknown {
  if (!isFailure(error) || error.code !== aeadTag) return error
  return new Failure<SealedCode>('sealed/segment-tag', `segment ${position} was altered, moved or cut off`, {
    detail: { segment: position },
    cause: error,
  })
}
