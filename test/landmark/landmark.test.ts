import { createSocket } from 'node:dgram'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { landmarkTicketsMax } from '#core/limits.js'
import { openSession, ticketParts } from '#core/wire/landmark.js'
import { encodeDatagram, parseDatagram } from '#core/wire/landmark-datagram.js'
import { readLandmarkReceipt, verifyLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import { createUsed } from '#landmark/door.js'
import { createLandmark, loadLandmark, openLine } from '#landmark/state.js'
import { measurementOf } from '#policies/location/landmarks.js'
import { codeOf, directoryOf, held, landmarks, newKey, now, type Running, timed } from './fixtures.js'

let set: Awaited<ReturnType<typeof landmarks>>
let oslo: Running
let key: SigningKey
beforeAll(async () => {
  set = await landmarks()
  oslo = await set.start('osl-1')
  key = await newKey()
})
afterAll(() => set.close())
const ticketFor = (change = {}, by?: SigningKey) => set.ticket(key, ['osl-1'], change, by)

/** What comes back to a datagram, until there is silence for a while. */
async function answers(port: number, ...sent: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
  const socket = createSocket('udp4')
  const found: Uint8Array[] = []
  socket.on('message', (bytes) => found.push(bytes))
  for (const bytes of sent) socket.send(bytes, port, '127.0.0.1')
  await new Promise((resolve) => setTimeout(resolve, 150))
  await new Promise<void>((resolve) => socket.close(resolve))
  return found
}

describe('a session', () => {
  test('ends with a receipt of this ticket, this key and this landmark', async () => {
    const ticket = await ticketFor({ lease: 'cd'.repeat(16) })
    const envelope = await timed(oslo, ticket, key)
    const receipt = await verifyLandmarkReceipt(envelope, oslo.row, held(ticket))
    expect(receipt).toMatchObject({
      landmark: 'osl-1',
      key: thumbprint(key.publicKey),
      keyset: 'ab'.repeat(32),
      lease: 'cd'.repeat(16),
      sent: 20,
    })
    expect(receipt.answered).toBeGreaterThan(4)
    expect(receipt.rttNs.min).toBeGreaterThan(0)
    const measured = await measurementOf(directoryOf(oslo.row), 'osl-1', envelope, held(ticket), now())
    expect(measured).toMatchObject({ operator: 'LEI:osl-1', rttNs: receipt.rttNs.min, errorM: 100 })
    expect(measured.workloadKey).toBe(receipt.key)
    // The next names it: a line that the landmark cannot rewrite unseen.
    const next = await timed(oslo, await ticketFor(), key)
    expect(readLandmarkReceipt(fromBase64(next.payload)).previousDigest).toBe(
      toHex(sha256(fromBase64(envelope.payload))),
    )
  })

  test('a receipt is none of another ticket, key, landmark or directory', async () => {
    const [ticket, other] = [await ticketFor(), await ticketFor()]
    const envelope = await timed(oslo, ticket, key)
    const { ticket: known, digest } = held(ticket)
    const stranger = await newKey()
    const read = (row: typeof oslo.row, by: ReturnType<typeof held>) =>
      codeOf(() => verifyLandmarkReceipt(envelope, row, by))
    expect(await read(oslo.row, held(other))).toBe('landmark/receipt-ticket')
    // Another K under the same session: the receipt says whose it is.
    expect(await read(oslo.row, { ticket: { ...known, key: stranger.publicKey as typeof known.key }, digest })).toBe(
      'landmark/receipt-key',
    )
    expect(await read(oslo.row, { ticket: { ...known, keyset: 'cd'.repeat(32) }, digest })).toBe('landmark/receipt-key')
    expect(await read({ ...oslo.row, name: 'osl-2' }, held(ticket))).toBe('landmark/receipt-landmark')
    expect(await read({ ...oslo.row, receiptKey: stranger.publicKey as typeof known.key }, held(ticket))).toBe(
      'dsse/signer',
    )
    const in2 = (at: number) =>
      codeOf(() => measurementOf(directoryOf({ ...oslo.row, to: 100 }), 'osl-1', envelope, held(ticket), at))
    expect(await in2(now())).toBe('landmarks/unknown')
    expect(await codeOf(() => measurementOf(directoryOf(), 'osl-1', envelope, held(ticket), now()))).toBe(
      'landmarks/unknown',
    )
  })

  test('a ticket works once, also for who holds its key', async () => {
    const ticket = await ticketFor()
    expect(await codeOf(() => timed(oslo, ticket, key))).toBe('ok')
    expect(await codeOf(() => timed(oslo, ticket, key))).toBe('landmark/ticket-used')
  })

  test('a ticket from before the landmark started may have been used, and counts as such', async () => {
    const later = await set.start('osl-later', { now: () => now() + 30 })
    const ticket = await set.ticket(key, ['osl-later'])
    expect(await codeOf(() => timed(later, ticket, key))).toBe('landmark/ticket-used')
    expect(
      await codeOf(async () => timed(later, await set.ticket(key, ['osl-later'], { issuedAt: now() + 30 }), key)),
    ).toBe('ok')
  })

  test.each([
    ['an expired ticket', { issuedAt: now() - 100, notAfter: now() - 1 }, 'landmark/ticket-expired'],
    ['a ticket from tomorrow', { issuedAt: now() + 86_400, notAfter: now() + 86_410 }, 'landmark/ticket-not-yet-valid'],
    ['a ticket that holds for an hour', { notAfter: now() + 3600 }, 'landmark/ticket-lifetime'],
    ['a ticket for other landmarks', { landmarks: ['fra-1'] }, 'landmark/ticket-landmark'],
  ])('%s is refused', async (_, change, code) => {
    expect(await codeOf(async () => timed(oslo, await ticketFor(change), key))).toBe(code)
  })

  test('a ticket of a broker whom the landmark does not serve is refused', async () => {
    const stranger = await newKey()
    expect(await codeOf(async () => timed(oslo, await ticketFor({}, stranger), key))).toBe('landmark/ticket-signer')
    const ticket = await ticketFor()
    const forged = {
      ...ticket,
      signatures: [{ ...ticket.signatures[0]!, sig: (await ticketFor()).signatures[0]!.sig }],
    }
    expect(await codeOf(() => timed(oslo, forged, key))).toBe('landmark/ticket-signer')
  })

  test('whoever took the ticket on its way cannot open it, nor use it up', async () => {
    const ticket = await ticketFor()
    const thief = await newKey()
    expect(await codeOf(() => timed(oslo, ticket, thief))).toBe('landmark/open-signature')
    expect(await codeOf(() => timed(oslo, ticket, key))).toBe('ok')
  })

  test('more openings than an address may make are not answered, more sessions than a landmark measures are refused', async () => {
    const strict = await set.start('osl-strict', { opensPerMinute: 1 })
    expect(await codeOf(async () => timed(strict, await set.ticket(key, ['osl-strict']), key))).toBe('ok')
    expect(
      await codeOf(async () => timed(strict, await set.ticket(key, ['osl-strict']), key, strict.row.port, 700)),
    ).toBe('landmark/silent')
    const busy = await set.start('osl-busy', { sessionsMax: 0 })
    expect(await codeOf(async () => timed(busy, await set.ticket(key, ['osl-busy']), key))).toBe('landmark/full')
  })
})

test('a landmark that has no room left to remember tickets lets nobody in, and forgets none before its time', () => {
  const used = createUsed(100)
  const name = (i: number) => Uint8Array.of(i >> 24, i >> 16, i >> 8, i)
  for (let i = 0; i < landmarkTicketsMax; i++) used.take(name(i), 100, i === 7 ? 150 : 400, 100)
  expect(used.take(name(landmarkTicketsMax), 100, 400, 149)).toBe('full')
  expect(used.take(name(7), 100, 150, 149)).toBe('used')
  expect(used.take(name(landmarkTicketsMax), 100, 400, 150)).toBe('new')
  expect(used.take(name(8), 100, 400, 399)).toBe('used')
  expect(used.take(name(-1), 99, 400, 100)).toBe('used')
})

describe('strangers', () => {
  const session = randomBytes(16)
  test('get less than they send, and a cookie for their own address only', async () => {
    const hello = encodeDatagram({ kind: 'hello', session })
    const [retry, ...more] = await answers(oslo.row.port, hello)
    expect(more).toEqual([])
    expect(retry!.length).toBeLessThan(hello.length)
    const got = parseDatagram(retry!)
    if (got.kind !== 'retry') throw new Error('no retry')
    // The cookie is another socket's: an opening with it is not even answered.
    const ticket = await ticketFor({ session: toHex(session) })
    const { enc, signature } = await openSession(key, oslo.row.sessionKey, held(ticket).digest, 'osl-1')
    const parts = ticketParts(ticket)
    const opening = encodeDatagram({
      kind: 'open',
      session,
      cookie: got.cookie,
      enc,
      openSignature: signature,
      ...parts,
    })
    expect(await answers(oslo.row.port, opening)).toEqual([])
    expect(
      await answers(
        oslo.row.port,
        encodeDatagram({ kind: 'open', session, cookie: new Uint8Array(32), enc, openSignature: signature, ...parts }),
      ),
    ).toEqual([])
  })

  test('get nothing for what is no datagram, and nothing for a session that is not theirs', async () => {
    const wrong = [
      new Uint8Array(0),
      randomBytes(64),
      randomBytes(1200),
      encodeDatagram({ kind: 'hello', session }).subarray(0, 1199),
    ]
    expect(await answers(oslo.row.port, ...wrong)).toEqual([])
    const answer = encodeDatagram({ kind: 'answer', session, index: 0, answer: randomBytes(32) })
    const commit = encodeDatagram({ kind: 'commit', session, signature: randomBytes(64) })
    const probe = encodeDatagram({ kind: 'probe', session, index: 0, nonce: randomBytes(16) })
    expect(await answers(oslo.row.port, answer, commit, probe)).toEqual([])
    // And the service goes on.
    expect(await codeOf(async () => timed(oslo, await ticketFor(), key))).toBe('ok')
  })

  test('a probe and its answer have one size', () => {
    const probe = encodeDatagram({ kind: 'probe', session, index: 99, nonce: randomBytes(16) })
    const answer = encodeDatagram({ kind: 'answer', session, index: 99, answer: randomBytes(32) })
    expect(probe).toHaveLength(answer.length)
    const sizes = (['hello', 'commit'] as const).map(
      (kind) => encodeDatagram({ kind, session, signature: randomBytes(64) }).length,
    )
    expect(sizes).toEqual([1200, 1200])
  })
})

describe('the folder of a landmark', () => {
  test('is made once; a key that is not its own, and a line that is gone, keep it from starting', async () => {
    const folder = join(set.work, 'own')
    const made = await createLandmark(folder, 'own')
    expect(await codeOf(() => createLandmark(folder, 'own'))).toBe('file/exists')
    expect((await loadLandmark(folder)).name).toBe('own')
    const other = await createLandmark(join(set.work, 'other'), 'other')
    writeFileSync(join(folder, 'landmark.json'), JSON.stringify({ ...made, receiptKey: other.receiptKey }))
    expect(await codeOf(() => loadLandmark(folder))).toBe('landmark-state/key')
    rmSync(join(folder, 'head.json'))
    await expect(openLine(folder)).rejects.toThrow()
  })

  test('the line goes on where it ended, one receipt after another', async () => {
    const folder = join(set.work, 'line')
    await createLandmark(folder, 'line')
    const payload = (text: string) => async () => ({ payload: new TextEncoder().encode(text) })
    const seen: (string | null)[] = []
    let line = await openLine(folder)
    const add = (text: string) =>
      line.add((before) => {
        seen.push(before)
        return payload(text)()
      })
    await Promise.all([add('a'), line.add(() => Promise.reject(new Error('no'))).catch(() => undefined), add('b')])
    expect(seen).toEqual([null, toHex(sha256(new TextEncoder().encode('a')))])
    line = await openLine(folder)
    await add('c')
    expect(seen[2]).toBe(toHex(sha256(new TextEncoder().encode('b'))))
    expect(JSON.parse(readFileSync(join(folder, 'head.json'), 'utf8'))).toMatchObject({ count: 3 })
  })
})
