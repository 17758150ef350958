import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import {
  acceptSession,
  answerTo,
  type LandmarkTicket,
  openSession,
  readTicket,
  signTicket,
  signTranscript,
  ticketEnvelope,
  ticketParts,
  transcriptOf,
  verifyTicket,
} from '#core/wire/landmark.js'
import { type Datagram, encodeDatagram, parseDatagram, refusalCodes } from '#core/wire/landmark-datagram.js'
import {
  type LandmarkReceipt,
  quantile,
  signLandmarkReceipt,
  verifyLandmarkReceipt,
} from '#core/wire/landmark-receipt.js'

const newKey = async (): Promise<SigningKey> => (await generateSigningKey('Ed25519')).key
const jwk = (key: SigningKey) => key.publicKey as Ed25519Jwk
const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}
const [broker, node, landmark, session] = await Promise.all([newKey(), newKey(), newKey(), generateRecipientKey()])
const ticket: LandmarkTicket = {
  type: 'claviger/landmark-ticket/v1',
  session: '0f'.repeat(16),
  key: jwk(node),
  keyset: 'ab'.repeat(32),
  lease: null,
  landmarks: ['fra-1'],
  issuedAt: 1000,
  notAfter: 1100,
}
const verified = async (change: Partial<LandmarkTicket> = {}) =>
  verifyTicket(await signTicket({ ...ticket, ...change }, broker), [jwk(broker)], null, 1050)

describe('datagrams', () => {
  const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size })
  const base = { session: bytes(16) }
  const index = fc.integer({ min: 0, max: 99 })
  const any: fc.Arbitrary<Datagram> = fc.oneof(
    fc.record({ kind: fc.constant('hello' as const), ...base }),
    fc.record({ kind: fc.constant('retry' as const), ...base, cookie: bytes(32) }),
    fc.record({
      ...{ kind: fc.constant('open' as const), ...base, cookie: bytes(32), enc: bytes(32), openSignature: bytes(64) },
      ...{ keyId: bytes(32), signature: bytes(64), payload: fc.uint8Array({ maxLength: 900 }) },
    }),
    fc.record({ kind: fc.constant('probe' as const), ...base, index, nonce: bytes(16) }),
    fc.record({ kind: fc.constant('answer' as const), ...base, index, answer: bytes(32) }),
    fc.record({
      ...{ kind: fc.constant('close' as const), ...base },
      counted: fc.uniqueArray(index, { maxLength: 100 }).map((all) => all.sort((a, b) => a - b)),
    }),
    fc.record({ kind: fc.constant('commit' as const), ...base, signature: bytes(64) }),
    fc.record({
      kind: fc.constant('receipt' as const),
      ...base,
      signature: bytes(64),
      payload: fc.uint8Array({ maxLength: 1100 }),
    }),
    fc.record({ kind: fc.constant('refused' as const), ...base, code: fc.constantFrom(...refusalCodes) }),
  )

  test('are read as they were written, in one form', () => {
    fc.assert(
      fc.property(any, (one) => {
        const whole = encodeDatagram(one)
        const read = parseDatagram(whole)
        expect(read).toEqual(one)
        expect(encodeDatagram(read)).toEqual(whole)
      }),
    )
  })

  test('of any bytes only a Failure is thrown, and what is read is written the same', () => {
    const near = fc.tuple(any, fc.nat(1199), fc.nat(255)).map(([one, at, value]) => {
      const whole = encodeDatagram(one)
      whole[at % whole.length] = value
      return whole
    })
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 1300 })), (given) => {
        try {
          expect(encodeDatagram(parseDatagram(given))).toEqual(given)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['another version', (whole: Uint8Array) => concat(whole.subarray(0, 3), Uint8Array.of(0x32), whole.subarray(4))],
    ['a kind that is none', (whole: Uint8Array) => concat(whole.subarray(0, 4), Uint8Array.of(77), whole.subarray(5))],
    ['one byte more', (whole: Uint8Array) => concat(whole, new Uint8Array(1))],
    ['one byte less', (whole: Uint8Array) => whole.subarray(1)],
    ['something in the padding', (whole: Uint8Array) => concat(whole.subarray(0, -1), Uint8Array.of(1))],
    [
      'an index that no probe has',
      (whole: Uint8Array) => concat(whole.subarray(0, 21), Uint8Array.of(0, 100), whole.subarray(23)),
    ],
  ])('%s is refused', async (_, change) => {
    const whole = encodeDatagram({ kind: 'probe', session: new Uint8Array(16), index: 3, nonce: randomBytes(16) })
    expect(await codeOf(() => parseDatagram(change(whole)))).toBe('landmark/datagram')
  })

  test('nothing that a landmark sends unasked is longer than what it answers', () => {
    const size = (one: Datagram) => encodeDatagram(one).length
    const of = { session: new Uint8Array(16) }
    expect(size({ kind: 'retry', cookie: new Uint8Array(32), ...of })).toBeLessThan(size({ kind: 'hello', ...of }))
    expect(size({ kind: 'refused', code: 'landmark/full', ...of })).toBeLessThan(size({ kind: 'hello', ...of }))
    expect(size({ kind: 'receipt', signature: new Uint8Array(64), payload: new Uint8Array(9), ...of })).toBe(
      size({ kind: 'commit', signature: new Uint8Array(64), ...of }),
    )
  })
})

describe('tickets', () => {
  test('go through a datagram and come back as they were', async () => {
    const envelope = await signTicket(ticket, broker)
    expect(ticketEnvelope(ticketParts(envelope))).toEqual(envelope)
    const whole = {
      ...ticket,
      lease: 'cd'.repeat(16),
      landmarks: Array.from({ length: 8 }, (_, i) => `${i}`.padEnd(32, 'x')),
    }
    const { payload } = ticketParts(await signTicket(whole, broker))
    // The longest ticket fits.
    expect(readTicket(payload)).toEqual(whole)
    expect(payload.length).toBeGreaterThan(600)
  })
  test.each([
    ['in its time', {}, 1050, 'ok'],
    ['at its end', {}, 1100, 'landmark/ticket-expired'],
    ['before it', {}, 939, 'landmark/ticket-not-yet-valid'],
    ['for longer than tickets hold', { notAfter: 1301 }, 1050, 'landmark/ticket-lifetime'],
    ['that ends before it begins', { notAfter: 1000 }, 999, 'landmark/ticket-lifetime'],
    ['for another landmark', { landmarks: ['fra-2'] }, 1050, 'landmark/ticket-landmark'],
  ])('one %s', async (_, change, at, code) => {
    const envelope = await signTicket({ ...ticket, ...change }, broker)
    expect(await codeOf(() => verifyTicket(envelope, [jwk(broker)], 'fra-1', at))).toBe(code)
  })
  test('of strangers, with several signatures or too long', async () => {
    const envelope = await signTicket(ticket, broker)
    expect(await codeOf(() => verifyTicket(envelope, [jwk(node)], null, 1050))).toBe('dsse/signer')
    const two = { ...envelope, signatures: [envelope.signatures[0]!, envelope.signatures[0]!] }
    expect(await codeOf(() => ticketParts(two))).toBe('landmark/ticket-signer')
    expect(await codeOf(() => readTicket(new Uint8Array(901)))).toBe('landmark/ticket-size')
    expect(await codeOf(() => readTicket(canonicalJson({ ...ticket, more: 1 })))).toBe('shape/unknown')
  })
})

describe('sessions', () => {
  test('both sides have one secret; another ticket, landmark or key has another or none', async () => {
    const one = await verified()
    const { enc, signature, secret } = await openSession(node, session.publicKey, one.digest, 'fra-1')
    expect(await acceptSession(one, 'fra-1', session, enc, signature)).toEqual(secret)
    const refused = (...args: Parameters<typeof acceptSession>) => codeOf(() => acceptSession(...args))
    expect(await refused(one, 'fra-2', session, enc, signature)).toBe('landmark/open-signature')
    expect(await refused(await verified({ session: '1f'.repeat(16) }), 'fra-1', session, enc, signature)).toBe(
      'landmark/open-signature',
    )
    expect(await refused(one, 'fra-1', session, randomBytes(32), signature)).toBe('landmark/open-signature')
    const other = await generateRecipientKey()
    expect(await acceptSession(one, 'fra-1', other, enc, signature)).not.toEqual(secret)
    expect(answerTo(secret, 1, new Uint8Array(16))).not.toEqual(answerTo(secret, 2, new Uint8Array(16)))
  })
})

describe('receipts', () => {
  const rounds = [0, 1, 2, 3, 4].map((index) => ({ index, nonce: new Uint8Array(16), answer: randomBytes(32) }))
  async function receiptWith(change: Partial<LandmarkReceipt> = {}, by = landmark, standsBy = node) {
    const one = await verified()
    const transcript = transcriptOf(one.digest, new Uint8Array(32), rounds)
    const receipt: LandmarkReceipt = {
      type: 'claviger/landmark-receipt/v1',
      landmark: 'fra-1',
      session: ticket.session,
      ticket: toHex(one.digest),
      key: thumbprint(jwk(node)),
      keyset: ticket.keyset,
      lease: null,
      sent: 20,
      answered: 5,
      rttNs: { min: 1, p50: 2, p90: 3 },
      transcript: toHex(transcript),
      commit: toBase64Url(await signTranscript(standsBy, 'fra-1', transcript)),
      time: 1060,
      previousDigest: null,
      ...change,
    }
    const row = { name: 'fra-1', receiptKey: jwk(landmark) }
    return codeOf(async () => verifyLandmarkReceipt(await signLandmarkReceipt(receipt, by), row, one))
  }
  test.each([
    ['as it was signed', {}, 'ok'],
    ['of another landmark', { landmark: 'fra-2' }, 'landmark/receipt-landmark'],
    ['of another session', { session: '1f'.repeat(16) }, 'landmark/receipt-ticket'],
    ['of another ticket', { ticket: 'ab'.repeat(32) }, 'landmark/receipt-ticket'],
    ['of another key', { key: 'A'.repeat(43) }, 'landmark/receipt-key'],
    ['of another keyset', { keyset: 'cd'.repeat(32) }, 'landmark/receipt-key'],
    ['of another lease', { lease: 'cd'.repeat(16) }, 'landmark/receipt-key'],
    ['with more answers than probes', { answered: 21 }, 'landmark/receipt-rounds'],
    ['with times in no order', { rttNs: { min: 3, p50: 2, p90: 3 } }, 'landmark/receipt-rounds'],
    [
      'with other rounds than the node stood by',
      { transcript: toHex(sha256(new Uint8Array(1))) },
      'landmark/commit-signature',
    ],
    ['from before its ticket', { time: 939 }, 'landmark/receipt-time'],
    ['from long after its ticket', { time: 1161 }, 'landmark/receipt-time'],
    ['with too few answers', { answered: 4 }, 'shape/range'],
  ])('one %s', async (_, change, code) => expect(await receiptWith(change)).toBe(code))
  test('signed by another, or stood by by another', async () => {
    expect(await receiptWith({}, node)).toBe('dsse/signer')
    expect(await receiptWith({}, landmark, landmark)).toBe('landmark/commit-signature')
  })
  test('nearest ranks', () => {
    expect([0.5, 0.9, 1].map((part) => quantile([1, 2, 3, 4, 5], part))).toEqual([3, 5, 5])
    expect(quantile([7], 0.5)).toBe(7)
  })
})
