import { expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { apiVersion } from '#core/wire/release.js'
import { createApp } from '#host/http.js'
import { kbsStatuses } from '#keybroker/kbs/failures.js'
import { kbsPrefix, kbsRoutes } from '#keybroker/service/kbs-routes.js'
import { brokerOpenApi, type Operation, type Schema } from '#keybroker/service/openapi.js'
import { makeBrokerRoutes } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { testBroker } from '../fixtures.js'
import { adminToken, attested, request, testKbs } from '../kbs/fixtures.js'

const { open } = anyDatabase()
const document = brokerOpenApi('v1')
const operatorToken = 'A'.repeat(43)
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation: operation as Operation })),
)

async function routesOf() {
  const kbs = await testKbs(await open())
  const { broker, close } = await testBroker(await open())
  const digest = sha256(utf8(operatorToken))
  const options = {
    broker,
    log: { warn: () => undefined },
    document: async () => ({}) as never,
    prove: async () => ({}) as never,
    adminTokenDigest: digest,
  }
  const v1 = makeBrokerRoutes(options)
  const app = createApp({
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    statuses: { ...brokerStatuses, ...kbsStatuses },
  })
  app.hono.route('/', v1)
  const ask = (method: string, path: string, body: string, headers: Record<string, string> = {}) =>
    app.hono.fetch(
      new Request(`http://broker${path}`, {
        method,
        body,
        headers: { 'content-type': 'application/json', ...headers },
      }),
      { address: 'test' },
    )
  return { kbs, v1, ask, close }
}

test('the document of the broker has every route and no other, and their bodies by their members', async () => {
  const { kbs, v1, ask, close } = await routesOf()
  const named = (path: string) => path.replace(/:(\w+)/g, '{$1}')
  const own = v1.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${named(path)}`)
  const resource = `${kbsPrefix}/resource/{repository}/{type}/{tag}`
  const theirs = kbsRoutes(kbs.ports)
    .routes.filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path === '/resource/*' ? resource : kbsPrefix + named(path)}`)
  const listed = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`)
  expect(listed.sort()).toEqual([...new Set([...own, ...theirs])].sort())

  for (const { path, method, operation } of operations) {
    if (method !== 'post' || !path.startsWith('/v1/')) continue
    const { required = [] } = operation.requestBody!.content['application/json']!.schema
    const body = Object.fromEntries(required.map((name) => [name, name === 'version' ? apiVersion : 0]))
    const headers = { authorization: `Bearer ${operatorToken}` }
    const code = async (sent: object) =>
      ((await (await ask('POST', path, JSON.stringify(sent), headers)).json()) as { code: string }).code
    // With all members the trouble is their values; with one less, or one more, it is that.
    expect(['shape/type', 'shape/form', 'shape/range'], path).toContain(await code(body))
    for (const name of required.filter((one) => one !== 'version')) {
      const { [name]: _, ...less } = body as Record<string, unknown>
      expect(['shape/missing', 'shape/type', 'shape/form', 'shape/range'], path).toContain(await code(less))
    }
    expect(await code({ ...body, unheard_of: 1 }), path).toBe('shape/unknown')
  }
  await close()
}, 60_000)

test('it is an OpenAPI 3.1 document: references that resolve, names that are one, parameters that are there', () => {
  expect(document.openapi).toMatch(/^3\.1\.\d$/)
  const ids = operations.map(({ operation }) => operation.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  const types = ['object', 'array', 'string', 'integer', 'boolean', 'null']
  const walk = (schema: Schema): void => {
    if (schema.$ref !== undefined) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(schema.$ref)?.[1]
      expect(document.components.schemas).toHaveProperty([name!])
    }
    for (const type of [schema.type ?? []].flat()) expect(types).toContain(type)
    if (schema.pattern !== undefined) new RegExp(schema.pattern)
    for (const name of schema.required ?? []) expect(schema.properties).toHaveProperty([name])
    for (const one of Object.values(schema.properties ?? {})) walk(one)
    if (schema.items !== undefined) walk(schema.items)
  }
  for (const schema of Object.values(document.components.schemas)) walk(schema)
  for (const { path, operation } of operations) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1])
    expect((operation.parameters ?? []).map((one) => one.name)).toEqual(inPath)
    for (const way of operation.security)
      for (const name of Object.keys(way)) expect(document.components.securitySchemes).toHaveProperty([name])
    expect(Object.keys(operation.responses).length).toBeGreaterThan(1)
    const contents = [operation.requestBody?.content, ...Object.values(operation.responses).map((one) => one.content)]
    for (const content of contents) for (const { schema } of Object.values(content ?? {})) walk(schema)
  }
})

test('what the KBS routes take and answer is what it says', async () => {
  const kbs = await testKbs(await open())
  const { schemas } = document.components
  const fits = (value: unknown, name: string) => {
    const { properties = {}, required = [], additionalProperties } = schemas[name]!
    const members = Object.keys(value as object)
    for (const one of required) expect(members, name).toContain(one)
    if (additionalProperties === false) for (const one of members) expect(Object.keys(properties), name).toContain(one)
    for (const [one, schema] of Object.entries(properties)) {
      const found = (value as Record<string, unknown>)[one]
      if (schema.pattern !== undefined && found !== undefined) expect(found).toMatch(new RegExp(schema.pattern))
    }
  }
  fits(JSON.parse(request()), 'KbsRequest')
  const headers = { authorization: `Bearer ${adminToken}` }
  fits(await (await kbs.ask('POST', '/kbs/v0/auth', { body: request() })).json(), 'KbsChallenge')
  await kbs.ask('POST', '/kbs/v0/resource/a/b/c', { body: 'x', headers })
  const { cookie, answer } = await attested(kbs)
  fits(await answer.json(), 'KbsToken')
  fits(await (await kbs.ask('GET', '/kbs/v0/resource/a/b/c', { headers: { cookie } })).json(), 'Jwe')
  const refused = await kbs.ask('GET', '/kbs/v0/resource/a/b/c')
  fits(await refused.json(), 'KbsError')
  for (const status of Object.values(kbsStatuses))
    expect(document.paths['/kbs/v0/auth']!.post!.responses).toHaveProperty([String(status)])
})
