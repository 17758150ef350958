import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { randomBytes } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { answerTo } from '#core/wire/landmark.js'
import { encodeDatagram, parseDatagram } from '#core/wire/landmark-datagram.js'
import { Session } from '#landmark/session.js'
import { readAtlas } from '#policies/location/atlas/read.js'
import type { LocationClaim } from '#policies/location/claims.js'
import { gradeLocation } from '#policies/location/grade.js'
import { measurementOf } from '#policies/location/landmarks.js'
import { landmarkRules } from '#policies/location/measured.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { codeOf, directoryOf, held, landmarks, newKey, now, type Running, timed } from './fixtures.js'
import { relayTo, type Way } from './relay.js'

/*
 * Three landmarks of three companies that stand in Oslo by their rows: 638 km from foreign land, 4 ms of light. What is asserted
 * are verdicts, and that delay only worsens them.
 */
const { land } = readAtlas()
const registry = shippedContent()
let set: Awaited<ReturnType<typeof landmarks>>
let three: readonly Running[]
let key: SigningKey
beforeAll(async () => {
  set = await landmarks()
  three = await Promise.all(['a', 'b', 'c'].map((name) => set.start(name)))
  key = await newKey()
})
afterAll(() => set.close())

const platform = 'ab'.repeat(32)
/** The grade that receipts of these landmarks give, for a node whose operator says that it is in Norway. */
async function gradeWith(receipts: readonly Envelope[], ticket: Envelope, who: SigningKey = key, change = {}) {
  const directory = directoryOf(...three.map(({ row }) => ({ ...row, ...change })))
  const at = now()
  const measurements = await Promise.all(
    receipts.map((one, i) => measurementOf(directory, three[i]!.row.name, one, held(ticket), at)),
  )
  const workloadKey = thumbprint(who.publicKey)
  const claim: LocationClaim = {
    ...{
      basis: 'operator',
      issuer: 'op',
      rootKey: 'op',
      controller: 'LEI:HOST',
      place: 'NO',
      exclave: false,
      platform,
    },
    ...{ workloadKey, notBefore: at - 60, expires: at + 86_400, assumes: [] },
  }
  const subject = { platform, workloadKey, operator: 'LEI:HOST' }
  const asked = { target: 'EEA', subject, claims: [claim], measurements, contradictions: [], registry, shown: [] }
  return gradeLocation({ ...asked, map: land, rules: landmarkRules, at })
}

async function throughRelays(
  ways: { readonly there: Way; readonly back: Way },
  onPass?: Parameters<typeof relayTo>[2],
) {
  const ticket = await set.ticket(key, ['a', 'b', 'c'])
  const relays = await Promise.all(three.map(({ row }) => relayTo(row.port, ways, onPass)))
  try {
    const receipts = await Promise.all(three.map((one, i) => timed(one, ticket, key, relays[i]!.port)))
    return { ticket, receipts, relays }
  } finally {
    for (const one of relays) one.close()
  }
}

test('a node beside the landmarks reaches L4', async () => {
  const ticket = await set.ticket(key, ['a', 'b', 'c'])
  const receipts = await Promise.all(three.map((one) => timed(one, ticket, key)))
  expect(await gradeWith(receipts, ticket)).toMatchObject({ grade: 4, contradicted: false })
  // Of one company they are one witness.
  const alone = await gradeWith(receipts, ticket, key, { operator: 'LEI:ONE' })
  expect(alone.grade).toBe(2)
  expect(alone.caps.map(({ code }) => code)).toContain('location/landmark-operators')
})

describe('behind added delay', () => {
  test.each([
    ['40 ms, half each way', { there: { delayMs: 20 }, back: { delayMs: 20 } }],
    ['40 ms on the way to the node alone', { there: { delayMs: 0 }, back: { delayMs: 40 } }],
    ['40 ms on the way to the landmark alone', { there: { delayMs: 40 }, back: { delayMs: 0 } }],
    ['40 ms with jitter', { there: { delayMs: 40, jitterMs: 30 }, back: { delayMs: 0, jitterMs: 30 } }],
    ['40 ms and a fifth of all lost', { there: { delayMs: 40, lost: 20 }, back: { delayMs: 0, lost: 20 } }],
  ])('%s: no L4, and no contradiction either', async (_, ways) => {
    const { ticket, receipts } = await throughRelays(ways)
    const found = await gradeWith(receipts, ticket)
    expect(found).toMatchObject({ grade: 2, contradicted: false })
    expect(found.caps.map(({ code }) => code)).toContain('location/not-proved')
  })
})

describe('who stands nearer than the node', () => {
  test('and forwards its answers gains nothing by answering first with anything else', async () => {
    // The accomplice is beside the landmark, the node 40 ms away. It answers each probe at once, with what it can make up: the
    // node's answer to the probe before, and one under a secret of its own.
    let before: Uint8Array = randomBytes(32)
    let injected = 0
    const own = randomBytes(32)
    const { ticket, receipts } = await throughRelays(
      { there: { delayMs: 40 }, back: { delayMs: 0 } },
      (bytes, toLandmark, inject) => {
        const datagram = parseDatagram(bytes)
        if (toLandmark && datagram.kind === 'answer') before = datagram.answer.slice()
        if (!toLandmark && datagram.kind === 'probe') {
          const { session, index, nonce } = datagram
          for (const answer of [before, answerTo(own, index, nonce), randomBytes(32)]) {
            inject(encodeDatagram({ kind: 'answer', session, index, answer }))
            injected++
          }
        }
        return [bytes]
      },
    )
    expect(injected).toBe(3 * 3 * 20)
    expect((await gradeWith(receipts, ticket)).grade).toBe(2)
  })

  test('without the secret of the session there is no answer, whatever was seen of others', () => {
    const [secret, other] = [randomBytes(32), randomBytes(32)]
    const ticket = { ticket: {} as never, digest: randomBytes(32) }
    const session = new Session(ticket, randomBytes(32), secret.slice())
    const nonces = Array.from({ length: 8 }, () => randomBytes(16))
    for (const nonce of nonces) session.probe(nonce, 0n)
    // Another node's key, an answer to another index, an answer to a nonce of its own, an answer to a probe that was not sent.
    session.answer(0, answerTo(other, 0, nonces[0]!), 1n)
    session.answer(0, answerTo(secret, 1, nonces[1]!), 1n)
    session.answer(0, answerTo(secret, 1, nonces[0]!), 1n)
    session.answer(0, answerTo(secret, 0, randomBytes(16)), 1n)
    session.answer(8, answerTo(secret, 8, randomBytes(16)), 1n)
    expect(session.answered).toBe(0)
    expect(session.close()).toBeNull()
  })

  test('the first right answer counts, and no later one makes it shorter or longer', () => {
    const secret = randomBytes(32)
    const session = new Session({ ticket: {} as never, digest: randomBytes(32) }, randomBytes(32), secret.slice())
    for (let i = 0; i < 5; i++) {
      const nonce = randomBytes(16)
      const index = session.probe(nonce, BigInt(1000 * i))
      session.answer(index, answerTo(secret, index, nonce), BigInt(1000 * i + 500))
      session.answer(index, answerTo(secret, index, nonce), BigInt(1000 * i + 1))
    }
    expect(session.close()).toMatchObject({ counted: [0, 1, 2, 3, 4], rttNs: { min: 500, p50: 500, p90: 500 } })
  })

  test('and answers by itself is refused for want of answers', async () => {
    const ticket = await set.ticket(key, ['a'])
    // It keeps the probes from the node and makes answers up.
    const relay = await relayTo(
      three[0]!.row.port,
      { there: { delayMs: 0 }, back: { delayMs: 0 } },
      (bytes, toLandmark) => {
        if (toLandmark) return [bytes]
        const datagram = parseDatagram(bytes)
        return datagram.kind === 'probe' ? [] : [bytes]
      },
    )
    expect(await codeOf(() => timed(three[0]!, ticket, key, relay.port))).toBe('landmark/answers')
    relay.close()
  })

  test('a node answers one index once: two nonces for it get no second answer', async () => {
    const ticket = await set.ticket(key, ['a'])
    let twice = 0
    const relay = await relayTo(
      three[0]!.row.port,
      { there: { delayMs: 0 }, back: { delayMs: 0 } },
      (bytes, toLandmark) => {
        const datagram = parseDatagram(bytes)
        if (toLandmark || datagram.kind !== 'probe') return [bytes]
        twice++
        return [bytes, encodeDatagram({ ...datagram, nonce: new Uint8Array(16) })]
      },
    )
    const receipt = await timed(three[0]!, ticket, key, relay.port)
    const answered = relay.seen.filter(({ kind, toLandmark }) => toLandmark && kind === 5)
    expect(answered).toHaveLength(twice)
    expect(receipt.signatures).toHaveLength(1)
    relay.close()
  })
})

test('a landmark whose row lies about its place proves nothing beside honest ones', async () => {
  // The node is 40 ms from everybody honest. One landmark that stands beside it claims to be in Oslo.
  const ticket = await set.ticket(key, ['a', 'b', 'c'])
  const relays = await Promise.all(
    [1, 2].map((i) => relayTo(three[i]!.row.port, { there: { delayMs: 40 }, back: { delayMs: 0 } })),
  )
  const receipts = [
    await timed(three[0]!, ticket, key),
    await timed(three[1]!, ticket, key, relays[0]!.port),
    await timed(three[2]!, ticket, key, relays[1]!.port),
  ]
  for (const one of relays) one.close()
  const found = await gradeWith(receipts, ticket)
  expect(found.grade).toBe(2)
  expect(found.caps).toContainEqual({ code: 'location/landmark-decides', about: 'LEI:a' })
})
