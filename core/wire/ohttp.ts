import { concat, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { wipe } from '#core/bytes/secret.js'
import { encodeVarint } from '#core/bytes/varint.js'
import { Writer } from '#core/bytes/writer.js'
import { aesGcmOpen, aesGcmSeal } from '#core/crypto/aead.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import {
  type RecipientContext,
  type RecipientKey,
  type SenderContext,
  setupRecipient,
  setupSender,
  suiteIds,
  suiteSizes,
} from '#core/crypto/hpke.js'
import { labelled, type X25519Jwk } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import { chunkSizeSent, chunksMax, requestSizeMax, responseSizeMax } from '#core/limits.js'
import { type Chunk, ChunkSplitter } from '#core/wire/chunks.js'
import { requestKeyId } from '#core/wire/ohttp-keys.js'

/** Failures of sealed requests and responses. Nothing that was opened before a failure is handed out. */
export type OhttpCode =
  /** the request names another key than the recipient's */
  | 'ohttp/key-id'
  /** the request names another suite: it is fixed by the keyset and never negotiated */
  | 'ohttp/suite'
  /** the stream ended before its final chunk: whatever came, it is not the whole message */
  | 'ohttp/truncated'
  /** a chunk that is not the one that belongs here: altered, repeated, out of order, or of another stream */
  | 'ohttp/chunk'
  /** the last chunk does not open as the last: not sealed as such, altered, cut, or sealed to another key */
  | 'ohttp/final'
  /** sealed under the label of the form without chunks */
  | 'ohttp/label'
  /** a chunk that carries nothing and is not the last */
  | 'ohttp/empty-chunk'
  /** longer than is accepted, in bytes or in chunks */
  | 'ohttp/size'

export const requestType = 'message/ohttp-chunked-req'
export const responseType = 'message/ohttp-chunked-res'

const requestLabel = 'message/bhttp chunked request'
const responseLabel = 'message/bhttp chunked response'
const wholeRequestLabel = 'message/bhttp request'
const headerSize = 7
const finalAad = utf8('final')
const noAad = new Uint8Array(0)

const refuse = (code: OhttpCode, message: string, cause?: unknown) =>
  new Failure<OhttpCode>(code, message, cause === undefined ? {} : { cause })

function requestHeader(): Uint8Array {
  return new Writer().u8(requestKeyId).u16be(suiteIds.kem).u16be(suiteIds.kdf).u16be(suiteIds.aead).done()
}

/** HPKE `info` of a request. source: draft-ietf-ohai-chunked-ohttp-08, "Request Encapsulation" */
export function requestInfo(header: Uint8Array, label = requestLabel): Uint8Array {
  return labelled(label, header)
}

/** Plaintext in pieces of at most `chunkSizeSent`, each behind its length; the end of the message is in the last. */
async function* sealChunks(
  plaintext: Uint8Array,
  seal: (chunk: Uint8Array, aad: Uint8Array) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const end = Math.max(0, Math.ceil(plaintext.length / chunkSizeSent) - 1) * chunkSizeSent
  for (let at = 0; at < end; at += chunkSizeSent) {
    const sealed = await seal(plaintext.subarray(at, Math.min(end, at + chunkSizeSent)), noAad)
    yield encodeVarint(sealed.length)
    yield sealed
  }
  yield encodeVarint(0)
  yield await seal(plaintext.subarray(end), finalAad)
}

/** Collects what chunks carry; returns only when the final chunk has opened as the final one and was the last. */
async function openChunks(
  splitter: ChunkSplitter,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  sizeMax: number,
  open: (chunk: Chunk) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  let count = 0
  const take = async (chunk: Chunk) => {
    const plaintext = await open(chunk)
    if (plaintext.length === 0 && !chunk.final) throw refuse('ohttp/empty-chunk', `chunk ${count} carries nothing`)
    size += plaintext.length
    count++
    if (size > sizeMax || count > chunksMax)
      throw refuse('ohttp/size', `more than ${sizeMax} bytes or ${chunksMax} chunks`)
    parts.push(plaintext)
  }
  try {
    for await (const piece of source) for (const chunk of splitter.push(piece)) await take(chunk)
    await take(splitter.end())
    return concat(...parts)
  } finally {
    wipe(...parts)
  }
}

/** Key and base nonce of a response; `keySize` is that of the suite's AEAD. source: draft -08, "Response Encapsulation" */
export function responseKeys(secret: Uint8Array, enc: Uint8Array, nonce: Uint8Array, keySize: number = suiteSizes.key) {
  const prk = hmacSha256(concat(enc, nonce), secret)
  const expand = (label: string, size: number) =>
    hmacSha256(prk, concat(utf8(label), new Uint8Array([1]))).subarray(0, size)
  return { key: expand('key', keySize), nonce: expand('nonce', suiteSizes.nonce) }
}

/** The nonce of response chunk `counter`: the base nonce with the counter XORed into its end. */
export function chunkNonce(base: Uint8Array, counter: number): Uint8Array {
  const out = base.slice()
  const view = new DataView(out.buffer)
  view.setUint32(8, (view.getUint32(8) ^ counter) >>> 0)
  return out
}

/** A request that was sealed, and the one who can open its answer. */
export interface SealedRequest {
  readonly body: Uint8Array
  /**
   * The whole plaintext of the response, once its last chunk has proved to be the last.
   *
   * throws  ohttp/truncated, ohttp/chunk, ohttp/final, ohttp/empty-chunk, ohttp/size
   */
  openResponse(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array>
}

async function openResponse(
  context: SenderContext,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Uint8Array> {
  const splitter = new ChunkSplitter(suiteSizes.key)
  const secret = await context.exportSecret(utf8(responseLabel), suiteSizes.key)
  let keys: ReturnType<typeof responseKeys> | undefined
  let counter = 0
  return openChunks(splitter, source, responseSizeMax, async ({ bytes, final }) => {
    keys ??= responseKeys(secret, context.enc, splitter.header())
    try {
      return await aesGcmOpen(keys.key, chunkNonce(keys.nonce, counter), final ? finalAad : noAad, bytes)
    } catch (error) {
      throw notHere(error, counter, final)
    } finally {
      counter++
    }
  })
}

function notHere(error: unknown, counter: number, final: boolean): unknown {
  if (!isFailure(error)) return error
  return final
    ? refuse('ohttp/final', `the last chunk, number ${counter}, was not sealed as the last one at this place`, error)
    : refuse('ohttp/chunk', `chunk ${counter} is not the one that belongs here`, error)
}

/**
 * Seals a request to the request key of an attested keyset.
 *
 * plaintext  a binary HTTP request, padded
 * throws     crypto/key, ohttp/size
 * source     draft-ietf-ohai-chunked-ohttp-08, "Request Format", "Request Encapsulation"
 */
export async function sealRequest(key: X25519Jwk, plaintext: Uint8Array): Promise<SealedRequest> {
  if (plaintext.length > requestSizeMax) throw refuse('ohttp/size', `request has more than ${requestSizeMax} bytes`)
  const header = requestHeader()
  const context = await setupSender(key, requestInfo(header))
  const parts: Uint8Array[] = [header, context.enc]
  for await (const part of sealChunks(plaintext, context.seal)) parts.push(part)
  return { body: concat(...parts), openResponse: (source) => openResponse(context, source) }
}

/** A request that was opened. Whether it was executed before is for the caller to find out, by `enc`. */
export interface OpenedRequest {
  readonly plaintext: Uint8Array
  /** the encapsulated key: 32 bytes, another one for every request */
  readonly enc: Uint8Array
  /**
   * The sealed answer, piece by piece; once for each request.
   *
   * plaintext  a binary HTTP response, padded
   * nonce      32 random bytes, new for every answer
   */
  sealResponse(plaintext: Uint8Array, nonce: Uint8Array): AsyncGenerator<Uint8Array>
}

async function* sealResponse(
  context: RecipientContext,
  enc: Uint8Array,
  plaintext: Uint8Array,
  nonce: Uint8Array,
): AsyncGenerator<Uint8Array> {
  if (nonce.length !== suiteSizes.key) throw new TypeError('a response nonce has 32 bytes')
  const keys = responseKeys(await context.exportSecret(utf8(responseLabel), suiteSizes.key), enc, nonce)
  let counter = 0
  yield nonce
  yield* sealChunks(plaintext, (chunk, aad) => aesGcmSeal(keys.key, chunkNonce(keys.nonce, counter++), aad, chunk))
}

/** Whether the first chunk opens under the label of the form without chunks: the first mistake that senders make. */
async function isWholeRequest(recipient: RecipientKey<X25519Jwk>, enc: Uint8Array, header: Uint8Array, chunk: Chunk) {
  const context = await setupRecipient(recipient, enc, requestInfo(header, wholeRequestLabel))
  try {
    await context.open(chunk.bytes, chunk.final ? finalAad : noAad)
    return true
  } catch (error) {
    if (isFailure(error)) return false
    throw error
  }
}

/**
 * Opens a request that was sealed to `recipient`: whole, in order and to its end.
 *
 * throws  ohttp/key-id, ohttp/suite, ohttp/truncated, ohttp/chunk, ohttp/final, ohttp/label, ohttp/empty-chunk, ohttp/size
 * source  draft-ietf-ohai-chunked-ohttp-08, "Request Format", "Request Encapsulation"
 */
export async function openRequest(recipient: RecipientKey<X25519Jwk>, body: Uint8Array): Promise<OpenedRequest> {
  if (body.length < headerSize + suiteSizes.enc) throw refuse('ohttp/truncated', 'request ends in its header')
  const reader = new Reader(body)
  const header = body.subarray(0, headerSize)
  const id = reader.u8()
  if (id !== requestKeyId) throw refuse('ohttp/key-id', `request names key ${id}, expected ${requestKeyId}`)
  if (reader.u16be() !== suiteIds.kem || reader.u16be() !== suiteIds.kdf || reader.u16be() !== suiteIds.aead) {
    throw refuse('ohttp/suite', 'request names another suite than X25519, HKDF-SHA256, AES-256-GCM')
  }
  const enc = reader.bytes(suiteSizes.enc)
  let context: RecipientContext
  try {
    context = await setupRecipient(recipient, enc, requestInfo(header))
  } catch (error) {
    throw notHere(error, 0, false)
  }
  let counter = 0
  const plaintext = await openChunks(
    new ChunkSplitter(0),
    [reader.bytes(reader.left)],
    requestSizeMax,
    async (chunk) => {
      const place = counter++
      try {
        return await context.open(chunk.bytes, chunk.final ? finalAad : noAad)
      } catch (error) {
        if (place === 0 && (await isWholeRequest(recipient, enc, header, chunk))) {
          throw refuse('ohttp/label', 'request is sealed under the label of requests without chunks', error)
        }
        throw notHere(error, place, chunk.final)
      }
    },
  )
  return {
    plaintext,
    enc,
    sealResponse: (answer, nonce) => sealResponse(context, enc, answer, nonce),
  }
}
