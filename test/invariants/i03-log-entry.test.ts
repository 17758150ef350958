/**
 * I3: no release without a durable, integrated log entry, and no use of a key without a valid proof of it.
 *
 * Further attacks: test/keybroker/faults.test.ts, test/runtime/session.test.ts (every proof that is not this one),
 * test/transparency (killed writers, lost answers, split views), test/keybroker/kbs/models.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { asking, between, changing, oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

/** The code that a node ends with whose broker's answers are changed on the way. */
async function nodeBehind(edit: (answer: Record<string, unknown>) => void): Promise<string> {
  const proxy = await between(() => one.chain.stack.url, changing('/v1/releases', edit))
  try {
    return await codeOfPromise(oneMoreNode(one, { brokerUrl: proxy.url }).then((node) => node.close()))
  } finally {
    await proxy.close()
  }
}

describe('a node', () => {
  test('whose answers pass unchanged starts: the control', async () => {
    expect(await nodeBehind(() => undefined)).toBe('ok')
  })

  test('refuses a release whose proof was stripped, emptied or has lost its cosignature', async () => {
    expect(await nodeBehind((answer) => delete answer.proof)).toBe('broker/answer')
    expect(
      await nodeBehind((answer) => {
        answer.proof = ''
      }),
    ).toMatch(/^(tlog|proof|note|checkpoint)\//)
    expect(
      await nodeBehind((answer) => {
        // Signature lines begin with an em dash: the last one is the witness's.
        const lines = String(answer.proof).split('\n')
        const last = lines.findLastIndex((line) => line.startsWith('— '))
        answer.proof = lines.toSpliced(last, 1).join('\n')
      }),
    ).toMatch(/^(tlog|proof|note|checkpoint|witness)\//)
  })

  test('refuses the valid proof and leaf of another release', async () => {
    const { leaf, proof } = one.chain.node.session.document(null)
    const code = await nodeBehind((answer) => {
      answer.leaf = leaf
      answer.proof = proof
    })
    expect(code).toMatch(/^leaf\//)
  })
})

describe('a broker whose witness is gone', () => {
  test('releases nothing, also to a node that starts', async () => {
    const node = await asking(one)
    await one.chain.stack.witness.stop()
    const { status, body } = await node.release(await node.request(await node.challenge()))
    expect(status).toBe(503)
    expect(body.wrapped).toBeUndefined()
    expect(await codeOfPromise(oneMoreNode(one))).toBe('broker/unreachable')
  })
})
