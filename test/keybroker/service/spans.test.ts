import { afterEach, describe, expect, test } from 'vitest'
import { Failure } from '#core/failure.js'
import { inSpan } from '#host/spans.js'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { traced } from '#keybroker/service/spans.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { inMemoryTracer } from '#test/fakes/tracer.js'
import {
  permitAll,
  registration,
  request,
  startTime,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
} from '../fixtures.js'
import { application } from '../served.js'

const { open } = anyDatabase()
let stop = () => {}
afterEach(() => stop())

/** A broker whose ports are traced as those of one that is opened are, behind its routes. */
async function world(policy = permitAll) {
  const made = await testBroker(await open())
  const provider = { provider: 'file', holder: 'operator', keyIds: [made.broker.kek.keyId] } as const
  const broker = traced({
    ...made.broker,
    kek: { ...made.broker.kek, ...provider, close: async () => undefined } as never,
  })
  const chain = { test: { ...made, broker }, owner: await testOwner(), platform: await testPlatform({ at: startTime }) }
  await createTenant(broker, await tenantStatement(chain.owner, 'development'))
  await registerModel(
    broker,
    await registration(made, chain.owner, chain.platform, { policy, values: testReferenceValues() }),
  )
  const { app } = await application(chain.test)
  const post = async (path: string, body: unknown, headers = {}) =>
    app.hono.request(path, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    })
  return { chain, post }
}

describe('spans', () => {
  test('of a release: the request, the decision, the evidence, the database, the log and the key', async () => {
    const { chain, post } = await world()
    const tracer = inMemoryTracer()
    stop = tracer.stop
    const node = await testNode(chain)
    const asked = await request(chain, node)
    const before = tracer.ended.length
    const traceparent = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`
    expect((await post('/v1/releases', asked, { traceparent })).status).toBe(200)
    const spans = tracer.ended.slice(before)
    const of = (name: string) => spans.find((one) => one.name === `claviger ${name}`)
    // Whoever asks does not say under which trace.
    expect(of('request')).toEqual({
      name: 'claviger request',
      parent: null,
      attributes: { 'http.request.method': 'POST', 'http.route': '/v1/releases', 'http.response.status_code': 200 },
      failed: false,
    })
    expect(of('release')).toMatchObject({ parent: 'claviger request', attributes: { 'claviger.outcome': 'granted' } })
    expect(of('attest')).toMatchObject({ parent: 'claviger release', attributes: { 'claviger.evidence.kind': 'snp' } })
    expect(of('log append')).toMatchObject({ parent: 'claviger release' })
    expect(of('db transaction')?.attributes['claviger.db.attempts']).toBeGreaterThan(0)
    expect(of('kek unwrap')).toMatchObject({ attributes: { 'claviger.kek.provider': 'file' } })
    // Invariant: nothing that names anybody, and nothing secret, by value and by key.
    const text = JSON.stringify(spans)
    for (const name of [
      chain.owner.id,
      chain.owner.model,
      asked.requestId,
      asked.binding.nonce,
      chain.test.broker.signer.id,
    ])
      expect(text).not.toContain(name)
    const keys = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)))
    expect([...keys].sort()).toEqual([
      'claviger.db.attempts',
      'claviger.evidence.kind',
      'claviger.kek.provider',
      'claviger.outcome',
      'db.system.name',
      'http.request.method',
      'http.response.status_code',
      'http.route',
    ])
  })

  test('of trouble: the code, never the message', async () => {
    const { chain, post } = await world('@id("none") forbid (principal, action, resource);')
    const tracer = inMemoryTracer()
    stop = tracer.stop
    const node = await testNode(chain)
    expect((await post('/v1/releases', await request(chain, node))).status).toBe(403)
    expect(tracer.ended.find(({ name }) => name === 'claviger release')).toMatchObject({
      attributes: { 'claviger.outcome': 'denied' },
      failed: false,
    })
    const secret = 'the name of a tenant'
    const fails = inSpan('release', {}, async () => {
      throw new Failure('test/fault', secret)
    })
    expect(await codeOfPromise(fails)).toBe('test/fault')
    expect(tracer.ended.at(-1)).toEqual({
      name: 'claviger release',
      parent: null,
      attributes: { 'error.type': 'test/fault' },
      failed: true,
    })
    await expect(inSpan('release', {}, async () => Promise.reject(new TypeError(secret)))).rejects.toThrow(secret)
    expect(tracer.ended.at(-1)?.attributes).toEqual({ 'error.type': 'bug' })
    expect(JSON.stringify(tracer.ended)).not.toContain(secret)
    expect((await post('/v1/elsewhere/of-a-tenant', {})).status).toBe(404)
    expect(tracer.ended.at(-1)).toMatchObject({ attributes: { 'http.response.status_code': 404 } })
    expect(JSON.stringify(tracer.ended)).not.toContain('of-a-tenant')
  })

  test('without an SDK all goes as without spans', async () => {
    const { chain, post } = await world()
    const node = await testNode(chain)
    expect((await post('/v1/releases', await request(chain, node))).status).toBe(200)
    expect(await inSpan('release', {}, async () => 7)).toBe(7)
  })
})
