/**
 * I17: owner, host and caller do not trust each other.
 *
 * Further attacks: test/runtime/engine/engine.test.ts (graphs that never end, bad input, a killed engine), test/runtime/
 * engine/memory.test.ts (descriptors, environment, inspector), test/runtime/api (every body), test/core/onnx (hostile
 * graphs), test/policies (hostile policies), test/convert/sealer.test.ts (paths that leave the folder). Confinement of the
 * engine by the kernel is not built: the node document says `engine: unconfined`, and a production lease is refused
 * (test/keybroker/database-tampering.test.ts).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { inferRequest, type TestChain, testChain, testClient } from '#test/e2e/fixtures.js'
import { openOwner } from '#test/invariants/fixtures.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('hostile requests fail alone: the next caller is served, by the same engine', async () => {
  const { client } = await testClient(one.chain)
  const good = inferRequest(one.width)
  const first = await client.request(good)
  const tensor = (part: object) => ({
    inputs: [{ name: 'x', shape: [1, one.width], datatype: 'FP32', data: [], ...part }],
  })
  const bodies = [
    '',
    'null',
    '['.repeat(20_000),
    '{"inputs":[]}',
    JSON.stringify(tensor({ shape: [2 ** 31, 2 ** 31] })),
    JSON.stringify(tensor({ shape: [-1, one.width] })),
    JSON.stringify(tensor({ datatype: 'BYTES', data: ['../../etc/passwd'] })),
    JSON.stringify(tensor({ name: '__proto__' })),
    JSON.stringify({ ...tensor({}), outputs: [{ name: 'y' }, { name: 'nowhere' }] }),
    JSON.stringify(tensor({ data: Array.from({ length: one.width }, () => 'x') })),
  ]
  for (const body of bodies) {
    const { status } = await client.request({ ...good, body: Buffer.from(body) })
    expect([body.slice(0, 60), status]).toEqual([body.slice(0, 60), 400])
  }
  for (const path of ['/v2/models/../../x/infer', '/v2/models/other/infer', '/v2/models/matmul/versions/9/infer']) {
    expect((await client.request({ ...good, path })).status).toBeGreaterThanOrEqual(400)
  }
  const again = await client.request(good)
  expect(again.body).toEqual(first.body)
  expect(one.chain.node.session.isServing).toBe(true)
})

test('the process of the model holds no file of host or caller, no socket, no environment, and says that it is unconfined', () => {
  const pid = one.chain.node.enginePid
  const targets = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      return []
    }
  })
  expect(targets.length).toBeGreaterThan(0)
  expect(targets.filter((target) => target.startsWith('/') && target !== '/dev/null')).toEqual([])
  const sockets = new Set(
    ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((name) =>
      readFileSync(`/proc/net/${name}`, 'utf8')
        .split('\n')
        .map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`),
    ),
  )
  expect(targets.filter((target) => sockets.has(target))).toEqual([])
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
  for (const name of ['HOME=', 'XDG_STATE_HOME=', 'CLAVIGER_', 'PATH=', 'NODE_OPTIONS='])
    expect(environment).not.toContain(name)
  expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^NoNewPrivs:\s+1$/m)
  expect(one.chain.node.session.document(null).weakenings).toContain('engine: unconfined')
})

test('policies of an owner that are hostile are refused when they are said, and cost nobody else anything', async () => {
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const texts = [
    '',
    'permit',
    `@id("deep") permit (principal, action, resource) when { ${'('.repeat(5000)}true${')'.repeat(5000)} };`,
    '@id("x") permit (principal, action, resource) when { context.nosuch };',
    `@id("x") permit (principal, action, resource);${' '.repeat(600_000)}`,
  ]
  for (const text of texts) {
    const { status } = await owner.say('policy', { model: owner.model, name: 'p', language: 'cedar', text })
    expect([text.slice(0, 90), status, status >= 400 && status < 500]).toEqual([text.slice(0, 90), status, true])
  }
  expect((await fetch(new URL('/v1/broker', one.chain.stack.url))).status).toBe(200)
})
