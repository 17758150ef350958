/**
 * I5: a release is decided against what is true now, not what was true when the challenge was given out.
 *
 * Further attacks: test/keybroker/refusals.test.ts (changes between judging and recording, each kind of revocation),
 * test/keybroker/faults.test.ts (renewal against revocation, interleaved), test/keybroker/kbs/models.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { asking } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('policy, reference values and revocation changed between challenge and release, and back', async () => {
  const node = await asking(one)
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const { model } = owner
  const said = async (answer: ReturnType<typeof owner.say>) => expect((await answer).status).toBe(200)
  const policy = (text: string) => said(owner.say('policy', { model, name: 'now', language: 'cedar', text }))
  const open = '@id("open") permit (principal, action, resource);'
  const envelope = (await owner.heads()).find((head) => head.kind === 'reference-values')!.statement
  const values = referenceValuesShape(JSON.parse(Buffer.from(envelope.payload, 'base64').toString()).values, '')
  const snp = values.snp!

  /** Challenge and evidence first, then what the owner says, then the request. */
  const after = async (change: () => Promise<unknown>) => {
    const request = await node.request(await node.challenge())
    await change()
    const { status, body } = await node.release(request)
    if (status !== 200) expect(body.wrapped).toBeUndefined()
    return [status, (body.reasons ?? []).map((reason: { id: string }) => reason.id).join(' ')]
  }

  expect(await after(() => policy(open))).toEqual([200, ''])
  const closed = `${open} @id("closed") forbid (principal, action, resource);`
  expect(await after(() => policy(closed))).toEqual([403, 'closed'])
  expect(await after(() => policy(open))).toEqual([200, ''])

  const other = { snp: { ...snp, measurements: ['cd'.repeat(48)] } }
  const [status, reasons] = await after(() => said(owner.say('reference-values', { model, values: other })))
  expect([status, reasons]).toEqual([403, expect.stringContaining('attest/measurement')])
  expect(await after(() => said(owner.say('reference-values', { model, values })))).toEqual([200, ''])

  const revoked = [{ kind: 'measurement', value: snp.measurements![0]! }] as const
  const revoke = () => said(owner.say('revocation', { model, revoked: [...revoked], reason: 'broken' }))
  expect(await after(revoke)).toEqual([403, 'judge/revoked-measurement'])
})
