import { beforeAll, describe, expect, test } from 'vitest'
import { authorizeByToken } from '#attest/service/authorize.js'
import { openApi, type Schema } from '#attest/service/openapi.js'
import { attestStatuses, createAttestApp, makeAttestRoutes } from '#attest/service/routes.js'
import { catalogue } from '#attest/steps.js'
import { fromBase64, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { encodePem } from '#core/encoding/pem.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import { verifyEar } from '#core/wire/ear.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import { createLog } from '#host/log.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '../../fakes/platform.js'
import { newNode } from './fixtures.js'

const token = 'a-token-of-a-caller'
let signer: SigningKey
let keyset: Keyset
let binding: Binding
let evidence: SnpEvidence

beforeAll(async () => {
  signer = (await generateSigningKey('Ed25519')).key
  ;({ keyset, binding } = await newNode())
  evidence = (await (await testPlatform()).attest(reportDataOf(binding))) as SnpEvidence
})

const options = () => ({
  issuer: 'https://verifier.example',
  build: 'test',
  keys: async () => ({ current: signer, publicKeys: [signer.publicKey] }),
  anchors: async () => ({ simulatedRoots: [testRootDigest] }),
  authorize: authorizeByToken([sha256(utf8(token))]),
  now: () => testTime,
})
const request = (path: string, init?: RequestInit) =>
  createAttestApp({ ...options(), log: createLog('attest', 'silent') }).hono.request(path, init)
const post = (path: string, body: unknown, authorization: string | null = `Bearer ${token}`) =>
  request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(authorization === null ? {} : { authorization }) },
    body: JSON.stringify(body),
  })
const values = () => JSON.parse(JSON.stringify(testReferenceValues()))
const base = () => ({ evidence, referenceValues: values(), tenantClass: 'development' })
const bound = () => ({ ...base(), binding, keyset })

// biome-ignore lint/suspicious/noExplicitAny: answers are read member by member, and compared with the schema below
async function answer(body: unknown): Promise<any> {
  const response = await post('/v1/verify', body)
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const read = await response.json()
  expect(differences(read, document.components.schemas.VerifyAnswer!)).toEqual([])
  return read
}

const document = openApi('test')

/** Where a value is not as its schema says; a keyword that is not read here is a difference too. */
function differences(value: unknown, schema: Schema, path = '$'): readonly string[] {
  const { $ref, description: _, ...rest } = schema
  if ($ref !== undefined) return differences(value, document.components.schemas[$ref.split('/').at(-1)!]!, path)
  const types = rest.type === undefined ? [] : [rest.type].flat()
  const type =
    value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value
  const out: string[] = []
  if (types.length > 0 && !types.includes(type)) out.push(`${path} is ${type}, expected ${types.join(' or ')}`)
  if (rest.enum && !rest.enum.includes(value as string)) out.push(`${path} is ${value}, expected one of ${rest.enum}`)
  if (typeof value === 'string') {
    if (rest.pattern && !new RegExp(rest.pattern).test(value)) out.push(`${path} has not the form ${rest.pattern}`)
    if (rest.maxLength !== undefined && value.length > rest.maxLength) out.push(`${path} is too long`)
  }
  if (typeof value === 'number' && rest.minimum !== undefined && value < rest.minimum) out.push(`${path} is too small`)
  if (Array.isArray(value)) {
    if (rest.maxItems !== undefined && value.length > rest.maxItems) out.push(`${path} has too many items`)
    out.push(...value.flatMap((one, i) => (rest.items ? differences(one, rest.items, `${path}[${i}]`) : [])))
  } else if (value !== null && typeof value === 'object') {
    const members = value as Record<string, unknown>
    for (const name of rest.required ?? []) if (!(name in members)) out.push(`${path}.${name} is missing`)
    for (const [name, one] of Object.entries(members)) {
      const member = rest.properties?.[name]
      if (member) out.push(...differences(one, member, `${path}.${name}`))
      else if (rest.additionalProperties === false) out.push(`${path}.${name} is not in the document`)
    }
  }
  const known = [
    'type',
    'enum',
    'pattern',
    'maxLength',
    'minimum',
    'items',
    'maxItems',
    'properties',
    'required',
    'additionalProperties',
  ]
  return [
    ...out,
    ...Object.keys(rest)
      .filter((name) => !known.includes(name))
      .map((name) => `${path}: keyword ${name}`),
  ]
}

describe('POST /v1/verify', () => {
  test('gives verdict and trace, and the EAR that /v1/attest gives for the same request', async () => {
    const found = await answer(bound())
    expect(found).toMatchObject({
      accepted: false,
      complete: true,
      platform: 'NOT HARDWARE',
      status: 'warning',
      earWithheld: null,
    })
    expect(found.steps.slice(0, 8).map((step: { id: string }) => step.id)).toEqual(
      catalogue.snp.steps.map(({ id }) => id),
    )
    const expected = { audience: binding.audience, at: testTime }
    const ear = await verifyEar(found.ear, [signer.publicKey], expected)
    expect(ear).toMatchObject({ status: 'warning', nonce: binding.nonce, keysetDigest: keysetDigest(keyset) })
    expect(ear.checks.map(({ id }) => id)).toEqual(found.steps.slice(8).map((step: { id: string }) => step.id))
    const attested = (await (await post('/v1/attest', bound())).json()) as { ear: string }
    const { id: _, ...other } = await verifyEar(attested.ear, [signer.publicKey], expected)
    const { id: __, ...same } = ear
    expect(same).toEqual(other)
  })

  test('counts the signatures that it verified for this request: those of the machine always, the vendor’s once', async () => {
    const { hono } = createAttestApp({ ...options(), log: createLog('attest', 'silent') })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const ask = async () => {
      const response = await hono.request('/v1/verify', { method: 'POST', headers, body: JSON.stringify(base()) })
      return ((await response.json()) as { signatures: unknown }).signatures
    }
    expect([await ask(), await ask()]).toEqual([
      { evidence: 1, vendor: 4 },
      { evidence: 1, vendor: 0 },
    ])
  })

  test('takes what a device gave out, with the files beside it', async () => {
    const file = (name: string, content: string) => ({ name, content })
    const collateral = [
      file('a', evidence.vek),
      file('b', evidence.ask),
      file('c', evidence.ark),
      file('d', evidence.crl!),
    ]
    const { evidence: _, ...rest } = bound()
    const found = await answer({ ...rest, raw: { evidence: evidence.report, collateral } })
    expect(found).toMatchObject({ complete: true, form: 'snp-report' })
    expect((await verifyEar(found.ear, [signer.publicKey], { audience: binding.audience, at: testTime })).status).toBe(
      'warning',
    )
    const { report, vek, ask, ark, crl } = evidence
    const blocks = [report, vek, ask, ark, crl!].map((one, i) =>
      encodePem(fromBase64(one), i === 0 ? 'REPORT' : i < 4 ? 'CERTIFICATE' : 'X509 CRL'),
    )
    const pem = { evidence: toBase64(utf8(blocks.join(''))), collateral: [] }
    const bundled = await answer({ ...rest, raw: pem })
    expect(bundled).toMatchObject({ complete: true, form: 'snp-report', notes: ['taken out of a PEM bundle'] })
    const lone = await post('/v1/verify', { ...rest, raw: { evidence: evidence.report, collateral: [] } })
    expect(lone.status).toBe(422)
    expect(await lone.json()).toMatchObject({ code: 'evidence/incomplete' })
  })

  test('leaves out by name what nothing was sent for, and then gives no EAR', async () => {
    const bare = await answer({ evidence, tenantClass: 'development' })
    expect(bare).toMatchObject({
      complete: false,
      accepted: false,
      ear: null,
      skipped: ['reference-values', 'report-data'],
    })
    const noValues = await answer({ evidence, binding, keyset, tenantClass: 'development' })
    expect(noValues).toMatchObject({ complete: false, ear: null, earWithheld: 'steps were left out: reference-values' })
    const data = await answer({ ...base(), reportData: toHex(reportDataOf(binding)) })
    expect(data).toMatchObject({ complete: true, ear: null })
    expect(data.earWithheld).toContain('send binding and keyset')
    const empty = await post('/v1/verify', { ...base(), nonce: '' })
    expect(empty.status).toBe(422)
    expect(await empty.json()).toMatchObject({
      code: 'attest/request',
      detail: expect.stringContaining('nonce is empty'),
    })
    const nonce = await answer({ ...base(), nonce: '00'.repeat(32) })
    expect(nonce.steps.find((step: { id: string }) => step.id === 'report-data')).toMatchObject({ verdict: 'fail' })
  })

  test('gives no EAR where a step was skipped that the owner lets be, and names it; /v1/attest gives one that names it', async () => {
    const lenient = () => ({
      ...bound(),
      referenceValues: JSON.parse(JSON.stringify(testReferenceValues({ crl: 'when-given' }))),
    })
    const whole = await answer(lenient())
    expect(whole).toMatchObject({ complete: true, earWithheld: null, ear: expect.any(String) })
    const without = { ...lenient(), evidence: { ...evidence, crl: null } }
    expect(await answer(without)).toMatchObject({
      accepted: false,
      complete: false,
      status: 'warning',
      skipped: [],
      ear: null,
      earWithheld: expect.stringMatching(/^steps were skipped: snp\/crl;/),
    })
    const expected = { audience: binding.audience, at: testTime }
    const attested = (await (await post('/v1/attest', without)).json()) as { ear: string }
    const ear = await verifyEar(attested.ear, [signer.publicKey], expected)
    expect(ear.checks.filter(({ status }) => status === 'none').map(({ id }) => id)).toEqual(['snp/crl'])
    // A refusal is one whatever was skipped.
    const refused = await answer({ ...without, tenantClass: 'production' })
    expect((await verifyEar(refused.ear, [signer.publicKey], expected)).status).toBe('contraindicated')
  })

  test('what is bad is an answer: which step failed, by its code, with an EAR that is contraindicated', async () => {
    const report = fromBase64(evidence.report)
    report[0x90]! ^= 1
    const found = await answer({ ...bound(), evidence: { ...evidence, report: toBase64(report) } })
    expect(found).toMatchObject({ accepted: false, platform: 'unverified', failure: 'snp/signature', claims: null })
    expect(found.steps.filter((step: { verdict: string }) => step.verdict === 'fail')).toMatchObject([
      { id: 'snp/signature' },
    ])
    const ear = await verifyEar(found.ear, [signer.publicKey], { audience: binding.audience, at: testTime })
    expect(ear.status).toBe('contraindicated')
    const production = await answer({ ...bound(), tenantClass: 'production' })
    expect(production.status).toBe('contraindicated')
  })

  test.each([
    ['neither evidence nor bytes', () => ({ tenantClass: 'development' }), 422, 'attest/request'],
    ['both', () => ({ ...base(), raw: { evidence: '', collateral: [] } }), 422, 'attest/request'],
    ['a binding without its keyset', () => ({ ...base(), binding }), 422, 'attest/request'],
    ['two things to bind', () => ({ ...bound(), reportData: '00'.repeat(64) }), 422, 'attest/request'],
    ['another keyset', () => ({ ...bound(), keyset: { ...keyset, notAfter: 1 } }), 422, 'attest/keyset'],
    [
      'no evidence',
      () => ({ raw: { evidence: 'AAAA', collateral: [] }, tenantClass: 'production' }),
      422,
      'evidence/unrecognised',
    ],
    ['an unknown member', () => ({ ...base(), more: 1 }), 400, 'shape/unknown'],
  ])('refuses %s', async (_, body, status, code) => {
    const response = await post('/v1/verify', body())
    expect(response.status).toBe(status)
    const problem = await response.json()
    expect(problem).toMatchObject({ code })
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(differences(problem, document.components.schemas.Problem!)).toEqual([])
  })
})

describe('the OpenAPI document', () => {
  test('is served, and has every route and no other', async () => {
    const served = await request('/v1/openapi.json')
    expect(served.status).toBe(200)
    expect(await served.json()).toEqual(document)
    const routes = makeAttestRoutes(options()).routes.filter(({ method }) => method !== 'ALL')
    const listed = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect([...new Set(routes.map(({ method, path }) => `${method} ${path}`))].sort()).toEqual(listed.sort())
  })

  test('every route that writes asks for a token, in the document and in fact', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      expect('post' in item ? item.post!.security : []).toEqual('post' in item ? [{ token: [] }] : [])
      if (!('post' in item)) continue
      for (const authorization of [null, 'Bearer wrong', `Basic ${token}`]) {
        const refused = await post(path, bound(), authorization)
        expect(refused.status, path).toBe(401)
        expect(await refused.json()).toMatchObject({ code: 'attest/unauthorized' })
      }
    }
  })

  test('what the routes answer is what it says, and every status that a failure has is in it', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      const operation = item.get
      if (operation === undefined) continue
      const response = await request(path)
      expect(response.status).toBe(200)
      const schema = operation.responses['200']!.content['application/json']!.schema
      expect(differences(await response.json(), schema), path).toEqual([])
    }
    const attested = await (await post('/v1/attest', bound())).json()
    const post200 = document.paths['/v1/attest']!.post!.responses['200']!.content['application/json']!.schema
    expect(differences(attested, post200)).toEqual([])
    expect(differences(JSON.parse(JSON.stringify(bound())), document.components.schemas.VerifyRequest!)).toEqual([])
    const statuses = new Set(Object.values(attestStatuses).map(String))
    for (const status of statuses) expect(Object.keys(document.paths['/v1/verify']!.post!.responses)).toContain(status)
  })

  test('every reference leads somewhere, and operations have names of their own', () => {
    const text = JSON.stringify(document)
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      expect(Object.keys(document.components.schemas)).toContain(name)
    const ids = [...text.matchAll(/"operationId":"([^"]+)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('the keys are the same at both places', async () => {
    const at = async (path: string) => (await request(path)).json()
    expect(await at('/v1/.well-known/jwks.json')).toEqual(await at('/.well-known/jwks.json'))
  })
})
