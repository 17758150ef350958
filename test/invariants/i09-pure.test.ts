/**
 * I9: verification is a function of bytes, trust anchors, collateral and time.
 *
 * Further: test/tidy/imports.test.ts reads the sources for ambient clock, network, disk and randomness; the vectors of core
 * and attest run on both backends.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Steps } from '#client/steps.js'
import { receiptSteps, verifyReceipt } from '#client/verify-receipt.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('a receipt verifies the same with every ambient source gone, and years later', async () => {
  const { client, trust } = await testClient(one.chain)
  const { file } = await client.request(inferRequest(one.width))
  await one.chain.close()
  const input = { trust, policy: null, dangerousAllowSimulated: true, bodies: null } as const
  const bytes = canonicalJson(file)
  const judge = async () => {
    const steps = new Steps(receiptSteps)
    const { receipt } = await verifyReceipt(parseJson(bytes, 1 << 24) as Json, input, steps)
    return { receipt, steps: steps.list() }
  }
  const before = await judge()
  const gone = () => {
    throw new Error('ambient')
  }
  const spies = [
    vi.spyOn(Date, 'now').mockImplementation(gone),
    vi.spyOn(performance, 'now').mockImplementation(gone),
    vi.spyOn(Math, 'random').mockImplementation(gone),
    vi.spyOn(globalThis, 'fetch').mockImplementation(gone),
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockImplementation(gone),
  ]
  try {
    expect(await judge()).toEqual(before)
    for (const spy of spies) expect(spy).not.toHaveBeenCalled()
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
  vi.setSystemTime(new Date('2040-01-01'))
  expect(await judge()).toEqual(before)
  vi.useRealTimers()
})
