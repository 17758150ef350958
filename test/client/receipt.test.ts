import { beforeAll, describe, expect, test } from 'vitest'
import { judged, Steps } from '#client/steps.js'
import { consistencySteps, receiptSteps, verifyConsistency, verifyReceipt } from '#client/verify-receipt.js'
import { utf8 } from '#core/bytes/bytes.js'
import { signBeat } from '#core/wire/lease.js'
import type { Receipt, ReceiptFile } from '#core/wire/receipt.js'
import type { Trust } from '#core/wire/trust-file.js'
import type { BrokerDouble } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testTime } from '#test/fakes/platform.js'
import {
  asJson,
  codeOfReceipt,
  hostDeclaration,
  type MintedNode,
  mintNode,
  mintReceipt,
  newBroker,
  payloadOf,
  policyFor,
  requestBody,
  responseBody,
  trustIn,
} from './fixtures.js'

let broker: BrokerDouble
let one: MintedNode
let other: MintedNode
let file: ReceiptFile
let trust: Trust
const bodies = { request: requestBody, response: responseBody }

beforeAll(async () => {
  broker = await newBroker()
  one = await mintNode(broker)
  other = await mintNode(broker, { host: await hostDeclaration('FR') })
  file = await mintReceipt(one)
  trust = trustIn(broker)
})

const judge = (given: unknown, changes: object = {}) => codeOfReceipt(given, { trust, bodies, ...changes })

test('a valid receipt passes every step, with and without its bodies', async () => {
  const input = { trust, policy: null, dangerousAllowSimulated: true, bodies }
  const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(file), input, steps))
  if (!verdict.ok) throw verdict.failure
  expect(new Set(verdict.steps.map((step) => step.status))).toEqual(new Set(['ok']))
  expect(await judge(file, { bodies: null })).toBe('ok')
  expect(await judge(file, { policy: policyFor(broker.model) })).toBe('ok')
})

test('bodies that nobody gave are not called good', async () => {
  const input = { trust, policy: null, dangerousAllowSimulated: true, bodies: null }
  const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(file), input, steps))
  expect(verdict.ok).toBe(true)
  expect(verdict.steps.find((step) => step.id === 'receipt/bodies')?.status).toBe('not checked')
})

test('it is judged at the time that the broker vouched for, not at the reader’s: it stays good', async () => {
  const later = await signBeat(
    { ...payloadOf(one.document.beat), at: testTime + 50, expiresAt: testTime + 110 },
    broker.key,
  )
  const moved = { ...file, node: { ...file.node, beat: later } }
  expect(await judge(moved)).toBe('ok')
})

describe('a receipt whose fields are not those of its node', () => {
  test.each<[string, Partial<Receipt>]>([
    ['model', { model: `${'A'.repeat(43)}/whisper` }],
    ['version', { version: 2 }],
    ['manifest', { manifestDigest: 'ab'.repeat(32) }],
    ['keyset', { keysetDigest: 'ab'.repeat(32) }],
    ['trust statement', { trustDigest: 'ab'.repeat(32) }],
    ['policy', { policyDigest: 'ab'.repeat(32) }],
    ['word on chips', { accepts: 'any-genuine-chip' }],
    ['log entry', { leafHash: 'ab'.repeat(32) }],
    ['lease', { leaseId: 'ab'.repeat(16) }],
    ['platform', { platform: 'hardware' }],
    ['word on hardware', { notHardware: false }],
    ['weakenings', { weakenings: [] }],
    ['time', { beatAt: testTime + 1 }],
  ])('%s', async (_, changes) => {
    expect(await judge(await mintReceipt(one, changes))).toBe('client/receipt-splice')
  })
  test('index of the log entry', async () => {
    expect(await judge(await mintReceipt(one, { entryIndex: 77 }))).toBe('client/entry-index')
  })
})

describe('receipts and nodes that do not belong together', () => {
  test('a receipt of another node', async () => {
    const strange = await mintReceipt(other)
    expect(await judge({ ...file, receipt: strange.receipt })).not.toBe('ok')
    expect(await judge({ ...file, node: strange.node })).not.toBe('ok')
  })
  test('signed by another node’s receipt key', async () => {
    expect(await judge(await mintReceipt(one, {}, other.receiptKey))).toBe('dsse/signer')
  })
  test('a beat of another lease', async () => {
    expect(await judge(await mintReceipt(one, { beat: other.document.beat }))).toBe('client/beat-splice')
  })
  test('a changed byte of the receipt', async () => {
    const { receipt } = file
    const payload = receipt.payload.replace('A', 'B')
    expect(payload).not.toBe(receipt.payload)
    expect(await judge({ ...file, receipt: { ...receipt, payload } })).not.toBe('ok')
  })
  test('a member that is absent, alone', async () => {
    for (const name of Object.keys(file)) {
      const { [name as keyof ReceiptFile]: _, ...rest } = file
      expect(await judge(rest), name).toMatch(/^shape\//)
    }
  })
})

describe('bodies', () => {
  test('another request or response', async () => {
    expect(await judge(file, { bodies: { ...bodies, request: utf8('something else') } })).toBe('client/receipt-body')
    expect(await judge(file, { bodies: { ...bodies, response: utf8('something else') } })).toBe('client/receipt-body')
  })
  test('request and response swapped', async () => {
    const swapped = { request: responseBody, response: requestBody }
    expect(await judge(file, { bodies: swapped })).toBe('client/receipt-body')
  })
  test('openings of another receipt, and openings swapped', async () => {
    const { openings } = await mintReceipt(one)
    expect(await judge({ ...file, openings })).toBe('client/receipt-body')
    const swapped = { request: file.openings.response, response: file.openings.request }
    expect(await judge({ ...file, openings: swapped })).toBe('client/receipt-body')
  })
})

describe('the policy that the client sent (I8)', () => {
  const asked = (changes: Parameters<typeof policyFor>[1]) => policyFor(broker.model, changes)
  test('comes back unchanged, or the receipt is refused', async () => {
    const policy = asked({ countries: ['DE'], versionMin: 1 })
    expect(await judge(await mintReceipt(one, { clientPolicy: policy }), { policy })).toBe('ok')
    expect(await judge(file, { policy })).toBe('client/receipt-policy')
    const weakened = await mintReceipt(one, { clientPolicy: { ...policy, countries: null } })
    expect(await judge(weakened, { policy })).toBe('client/receipt-policy')
  })
  test('is obeyed by the node, or the receipt is refused', async () => {
    const policy = asked({ countries: ['FR'] })
    expect(await judge(await mintReceipt(one, { clientPolicy: policy }), { policy })).toBe('client/place')
    expect(await judge(await mintReceipt(one, { clientPolicy: policy }))).toBe('client/place')
  })
  test('does not make simulated evidence good: the reader says so, or nobody', async () => {
    expect(await judge(file, { dangerousAllowSimulated: false })).toBe('client/simulated')
  })
})

describe('anchors that came with the receipt (I19)', () => {
  test('a receipt that somebody minted with a broker, log and owner of their own', async () => {
    const stranger = await newBroker()
    const minted = await mintReceipt(await mintNode(stranger))
    expect(await judge(minted, { trust: trustIn(stranger) })).toBe('ok')
    expect(await judge(minted)).toBe('client/owner-unknown')
    const steps = new Steps(consistencySteps)
    expect((await verifyConsistency(asJson(minted), steps)).platform).toBe('simulated')
  })
  test('without a trust file a receipt agrees with itself, or not', async () => {
    const consistent = (given: unknown) => codeOfPromise(verifyConsistency(asJson(given), new Steps(consistencySteps)))
    expect(await consistent(file)).toBe('ok')
    expect(await consistent(await mintReceipt(one, {}, other.receiptKey))).toBe('dsse/signer')
    expect(await consistent(await mintReceipt(one, { keysetDigest: 'ab'.repeat(32) }))).toBe('client/keyset-splice')
    expect(await consistent(await mintReceipt(one, { weakenings: [] }))).toBe('client/weakenings')
  })
})
