import { createDecipheriv } from 'node:crypto'
import fc from 'fast-check'
import * as HPKE from 'hpke'
import { beforeAll, describe, expect, test } from 'vitest'
import { concat, equal, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { encodeVarint } from '#core/bytes/varint.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateRecipientKey, importRecipientKey, type RecipientKey } from '#core/crypto/hpke.js'
import { type X25519Jwk, x25519ToJwk } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import { chunkSizeSent, requestSizeMax } from '#core/limits.js'
import { ChunkSplitter } from '#core/wire/chunks.js'
import {
  chunkNonce,
  openRequest,
  requestInfo,
  responseKeys,
  type SealedRequest,
  sealRequest,
} from '#core/wire/ohttp.js'
import { encodeKeyConfigs, parseKeyConfigs } from '#core/wire/ohttp-keys.js'
import vectors from '../../vectors/ohttp/cases.json' with { type: 'json' }

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

async function joined(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return concat(...parts)
}

/** Header of 39 bytes (requests) or nonce of 32 (responses), and the sealed chunks behind it. */
function split(stream: Uint8Array, headerSize: number) {
  const splitter = new ChunkSplitter(headerSize)
  const chunks = [...splitter.push(stream)]
  return { header: splitter.header(), chunks: [...chunks, splitter.end()].map((chunk) => chunk.bytes) }
}
function join(header: Uint8Array, chunks: readonly Uint8Array[]): Uint8Array {
  const framed = chunks.flatMap((chunk, i) => [encodeVarint(i === chunks.length - 1 ? 0 : chunk.length), chunk])
  return concat(header, ...framed)
}

let recipient: RecipientKey<X25519Jwk>
const long = utf8('x'.repeat(chunkSizeSent * 2 + 100))
beforeAll(async () => {
  recipient = await generateRecipientKey()
})

describe('known answers of the specifications', () => {
  // draft-ietf-ohai-chunked-ohttp-08, "Example"; the suite there is AES-128-GCM, so the test brings that AEAD itself.
  const suite = new HPKE.CipherSuite(HPKE.KEM_DHKEM_X25519_HKDF_SHA256, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_128_GCM)
  const { draft } = vectors

  test('request of the draft: header, info, order and end of chunks', async () => {
    const body = fromHex(draft.request)
    const { header, chunks } = split(body, 39)
    expect(toHex(requestInfo(header.subarray(0, 7)))).toBe(draft.info)
    const secret = await suite.DeserializePrivateKey(fromHex(draft.recipientPrivate), false)
    const info = requestInfo(header.subarray(0, 7))
    const publicKey = await suite.DeserializePublicKey(fromHex(draft.recipientPublic))
    const context = await suite.SetupRecipient({ privateKey: secret, publicKey } as never, header.subarray(7), { info })
    const parts = []
    for (const [i, chunk] of chunks.entries()) {
      parts.push(await context.Open(chunk, i === chunks.length - 1 ? utf8('final') : new Uint8Array(0)))
    }
    expect(parts.map((part) => part.length)).toEqual([12, 13, 0])
    expect(toHex(concat(...parts))).toBe(draft.plaintext)
    expect(toHex(await context.Export(utf8('message/bhttp chunked response'), 16))).toBe(draft.secret)
  })

  test('response of the draft: keys, nonces, order and end of chunks', () => {
    const { header: nonce, chunks } = split(fromHex(draft.response), 16)
    const keys = responseKeys(fromHex(draft.secret), fromHex(draft.enc), nonce, 16)
    expect(toHex(keys.key)).toBe(draft.responseKey)
    expect(toHex(keys.nonce)).toBe(draft.responseNonces[0])
    expect(chunks.map((_, i) => toHex(chunkNonce(keys.nonce, i)))).toEqual(draft.responseNonces)
    const parts = chunks.map((chunk, i) => {
      const decipher = createDecipheriv('aes-128-gcm', keys.key, chunkNonce(keys.nonce, i))
      decipher.setAAD(utf8(i === chunks.length - 1 ? 'final' : ''))
      decipher.setAuthTag(chunk.subarray(chunk.length - 16))
      return concat(decipher.update(chunk.subarray(0, chunk.length - 16)), decipher.final())
    })
    expect(toHex(concat(...parts))).toBe(draft.responsePlaintext)
  })

  test('key configuration of RFC 9458: another AEAD is passed over, the list of lengths is required', async () => {
    const config = fromHex(vectors.rfc9458.keyConfig)
    const listed = concat(new Uint8Array([0, config.length]), config)
    expect(await codeOf(() => parseKeyConfigs(listed))).toBe('ohttp/key-config') // only AES-128-GCM and ChaCha20
    expect(await codeOf(() => parseKeyConfigs(config))).toBe('ohttp/key-config')
    const ours = encodeKeyConfigs(recipient.publicKey)
    expect(parseKeyConfigs(ours)).toEqual(recipient.publicKey)
    expect(parseKeyConfigs(concat(listed, ours))).toEqual(recipient.publicKey)
    expect(await codeOf(() => parseKeyConfigs(concat(ours, ours)))).toBe('ohttp/key-config')
    expect(await codeOf(() => parseKeyConfigs(new Uint8Array(0)))).toBe('ohttp/key-config')
  })
})

describe('vectors of sealed requests', () => {
  test.each(vectors.cases)('$name: $expected', async ({ body, expected, plaintext, nonce, response, answer }) => {
    const key = await importRecipientKey(
      fromHex(vectors.recipientPrivate),
      x25519ToJwk(fromHex(vectors.recipientPublic)),
    )
    expect(await codeOf(() => openRequest(key, fromHex(body)))).toBe(expected)
    if (expected !== 'ok') return
    const opened = await openRequest(key, fromHex(body))
    expect(toHex(opened.plaintext)).toBe(plaintext)
    expect(toHex(await joined(opened.sealResponse(fromHex(answer!), fromHex(nonce!))))).toBe(response)
  })

  test('every failure code of a request has a vector', () => {
    const codes = vectors.cases.map((one) => one.expected)
    for (const code of [
      'key-id',
      'suite',
      'truncated',
      'chunk',
      'final',
      'label',
      'empty-chunk',
      'chunk-length',
    ] as const) {
      expect(codes).toContain(`ohttp/${code}`)
    }
  })
})

describe('a whole exchange', () => {
  test('opens what was sealed, in both directions, at every size around a chunk', async () => {
    for (const size of [0, 1, chunkSizeSent - 1, chunkSizeSent, chunkSizeSent + 1, chunkSizeSent * 3]) {
      const plaintext = new Uint8Array(size).fill(7)
      const sealed = await sealRequest(recipient.publicKey, plaintext)
      const opened = await openRequest(recipient, sealed.body)
      expect(equal(opened.plaintext, plaintext)).toBe(true)
      const answer = await sealed.openResponse(opened.sealResponse(plaintext, randomBytes(32)))
      expect(equal(answer, plaintext)).toBe(true)
    }
  })

  test('an answer opens however the network cuts it', async () => {
    const sealed = await sealRequest(recipient.publicKey, utf8('question'))
    const opened = await openRequest(recipient, sealed.body)
    const stream = await joined(opened.sealResponse(long, randomBytes(32)))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 20 }),
        async (sizes) => {
          const pieces: Uint8Array[] = []
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = sizes[i % sizes.length]!
            pieces.push(stream.subarray(at, at + size))
            at += size
          }
          expect((await sealed.openResponse(pieces)).length).toBe(long.length)
        },
      ),
      { numRuns: 20 },
    )
    const bytes = Array.from(stream.subarray(0, 60), (_, i) => stream.subarray(i, i + 1))
    expect((await sealed.openResponse([...bytes, stream.subarray(60)])).length).toBe(long.length)
  })

  test('too much is refused before it is sealed', async () => {
    expect(await codeOf(() => sealRequest(recipient.publicKey, new Uint8Array(requestSizeMax + 1)))).toBe('ohttp/size')
  })
})

describe('what a network can do to a request', () => {
  test('any flipped bit is refused', async () => {
    const { body } = await sealRequest(recipient.publicKey, utf8('the prompt'))
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const altered = body.slice()
        altered[at] = altered[at]! ^ bits
        expect(await codeOf(() => openRequest(recipient, altered))).not.toBe('ok')
      }),
      { numRuns: 150 },
    )
  })

  test('any cut is refused', async () => {
    const { body } = await sealRequest(recipient.publicKey, utf8('the prompt'))
    for (let size = 0; size < body.length; size++) {
      expect(await codeOf(() => openRequest(recipient, body.subarray(0, size)))).toMatch(/^ohttp\/(truncated|final)$/)
    }
  })

  test('chunks out of order, repeated, left out, or of another request are refused', async () => {
    const { header, chunks } = split((await sealRequest(recipient.publicKey, long)).body, 39)
    const other = split((await sealRequest(recipient.publicKey, long)).body, 39)
    const [a, b, last] = [chunks[0]!, chunks[1]!, chunks[2]!]
    expect(await codeOf(() => openRequest(recipient, join(header, [a, b, last])))).toBe('ok')
    expect(await codeOf(() => openRequest(recipient, join(header, [b, a, last])))).toBe('ohttp/chunk')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, a, b, last])))).toBe('ohttp/chunk')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, last])))).toBe('ohttp/final')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, b])))).toBe('ohttp/final')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, b, last, last])))).toBe('ohttp/chunk')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, other.chunks[1]!, last])))).toBe('ohttp/chunk')
    expect(await codeOf(() => openRequest(recipient, join(header, [a, b, other.chunks[2]!])))).toBe('ohttp/final')
    expect(await codeOf(() => openRequest(recipient, join(other.header, chunks)))).toBe('ohttp/chunk')
  })

  test('a request for another node is refused', async () => {
    const other = await generateRecipientKey()
    const { body } = await sealRequest(other.publicKey, utf8('the prompt'))
    expect(await codeOf(() => openRequest(recipient, body))).toBe('ohttp/final')
  })

  test('any bytes are refused with a failure', async () => {
    const start = fc.constantFrom(new Uint8Array(0), fromHex('01002000010002'))
    await fc.assert(
      fc.asyncProperty(start, fc.uint8Array({ maxLength: 200 }), async (prefix, rest) => {
        expect(await codeOf(() => openRequest(recipient, concat(prefix, rest)))).toMatch(/^ohttp\//)
      }),
      { numRuns: 200 },
    )
  })
})

describe('what a network can do to an answer', () => {
  let sealed: SealedRequest
  let short: Uint8Array
  let stream: Uint8Array
  let again: Uint8Array
  let foreign: Uint8Array
  beforeAll(async () => {
    sealed = await sealRequest(recipient.publicKey, utf8('question'))
    const opened = await openRequest(recipient, sealed.body)
    short = await joined(opened.sealResponse(utf8('the answer'), randomBytes(32)))
    stream = await joined(opened.sealResponse(long, randomBytes(32)))
    again = await joined(opened.sealResponse(long, randomBytes(32)))
    const other = await openRequest(recipient, (await sealRequest(recipient.publicKey, utf8('question'))).body)
    foreign = await joined(other.sealResponse(long, randomBytes(32)))
  })

  test('any flipped bit is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(short.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const altered = short.slice()
        altered[at] = altered[at]! ^ bits
        expect(await codeOf(() => sealed.openResponse([altered]))).not.toBe('ok')
      }),
      { numRuns: 150 },
    )
  })

  test('any cut is refused', async () => {
    for (let size = 0; size < short.length; size++) {
      expect(await codeOf(() => sealed.openResponse([short.subarray(0, size)]))).toMatch(/^ohttp\/(truncated|final)$/)
    }
  })

  test('chunks out of order, repeated, left out, or of another answer are refused', async () => {
    const { header, chunks } = split(stream, 32)
    const [a, b, last] = [chunks[0]!, chunks[1]!, chunks[2]!]
    const open = (bytes: Uint8Array) => codeOf(() => sealed.openResponse([bytes]))
    expect(await open(join(header, [a, b, last]))).toBe('ok')
    expect(await open(join(header, [b, a, last]))).toBe('ohttp/chunk')
    expect(await open(join(header, [a, a, b, last]))).toBe('ohttp/chunk')
    expect(await open(join(header, [a, last]))).toBe('ohttp/final')
    expect(await open(join(header, [a, b]))).toBe('ohttp/final')
    expect(await open(join(header, [a, split(again, 32).chunks[1]!, last]))).toBe('ohttp/chunk')
    expect(await open(join(split(again, 32).header, chunks))).toBe('ohttp/chunk')
    expect(await open(foreign)).toBe('ohttp/chunk')
  })

  test('any bytes are refused with a failure', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await codeOf(() => sealed.openResponse([bytes]))).toMatch(/^ohttp\//)
      }),
      { numRuns: 300 },
    )
  })
})
