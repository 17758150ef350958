import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fromBase64, isZero, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { parseCanonicalJson, parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import {
  carriedReceiptShape,
  commitBody,
  credentialHash,
  encodeInnerRequest,
  type InnerRequest,
  type InnerResponse,
  parseInnerResponse,
} from '#core/wire/inner.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import { openRequest, requestType, responseType, sealRequest } from '#core/wire/ohttp.js'
import { parseKeyConfigs } from '#core/wire/ohttp-keys.js'
import { type Receipt, verifyReceiptSignature } from '#core/wire/receipt.js'
import type { App } from '#host/http.js'
import type { Log, LogValue } from '#host/log.js'
import { type ApiRequest, jsonAnswer } from '#runtime/api/answer.js'
import { answerInner, answerSealed } from '#runtime/exchange.js'
import { ReplayWindow } from '#runtime/replay-window.js'
import { createNodeApp } from '#runtime/service/app.js'
import type { Session } from '#runtime/session.js'
import { BrokerDouble, budgetOf } from '../../fakes/broker-double.js'
import { codeOf, codeOfPromise } from '../../fakes/code-of.js'
import { NodeDouble } from '../../fakes/node-double.js'
import { testTime } from '../../fakes/platform.js'

const promptCanary = 'PROMPT-CANARY-7f3a'
const outputCanary = 'OUTPUT-CANARY-91bc'

let broker: BrokerDouble
let node: NodeDouble
let session: Session
let app: App
let logged: string[]
let handled: ApiRequest[]
/** the very bytes that the handler was given, and that it answered with */
let bodies: Uint8Array[]
let work: () => Promise<void>

const log: Log = (() => {
  const write = (fields: Readonly<Record<string, LogValue>>, message: string) =>
    void logged.push(JSON.stringify(fields) + message)
  return { info: write, warn: write, error: write }
})()

beforeEach(async () => {
  // The service reads the wall clock of the process; the session's clocks are the test's.
  vi.useFakeTimers({ toFake: ['Date'], now: testTime * 1000 })
  broker = await BrokerDouble.create(() => testTime)
  node = new NodeDouble(broker)
  logged = []
  handled = []
  bodies = []
  work = async () => {}
})
afterEach(() => {
  vi.useRealTimers()
})

async function open(): Promise<void> {
  session = await node.start()
  app = createNodeApp({
    session,
    log,
    ratePerMinute: 0,
    async handler(request, engine) {
      handled.push({ ...request, body: request.body.slice() })
      await work()
      await engine.transcribe(new Float32Array(7 * 16))
      const answer = jsonAnswer(200, JSON.stringify({ text: outputCanary }))
      bodies.push(request.body, answer.body)
      return answer
    },
  })
}

const policy = (changes: Partial<ClientPolicy> = {}): ClientPolicy => ({
  type: 'claviger/client-policy/v1',
  model: broker.model,
  manifests: null,
  versionMin: 1,
  countries: null,
  beatAgeSecondsMax: 60,
  witnessesMin: 0,
  dangerousAllowSimulated: true,
  ...changes,
})
const inner = (changes: Partial<InnerRequest> = {}): InnerRequest => ({
  requestId: toHex(randomBytes(16)),
  model: broker.model,
  deadlineMs: testTime * 1000 + 60_000,
  policy: policy(),
  credential: null,
  method: 'POST',
  path: '/v1/audio/transcriptions?x=1',
  headers: [['content-type', 'application/json']],
  body: utf8(promptCanary),
  ...changes,
})

const post = (body: Uint8Array, type = requestType, path = '/ohttp') =>
  app.hono.request(path, { method: 'POST', headers: { 'content-type': type }, body: body as Uint8Array<ArrayBuffer> })

async function exchange(request: InnerRequest): Promise<InnerResponse> {
  const sealed = await sealRequest(session.own.keyset.request, encodeInnerRequest(request))
  const response = await post(sealed.body)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe(responseType)
  return parseInnerResponse(await sealed.openResponse([new Uint8Array(await response.arrayBuffer())]))
}
const receiptOf = (response: InnerResponse): Promise<Receipt> =>
  verifyReceiptSignature(response.receipt!.receipt, session.own.keyset.receipt)
const problemOf = async (response: Response) => JSON.parse(await response.text()) as { code: string; detail: string }
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe('a sealed exchange', () => {
  test('reaches the handler as it was sealed, and its answer carries a receipt for both bodies', async () => {
    await open()
    const request = inner()
    const response = await exchange(request)
    expect(response.status).toBe(200)
    expect(text(response.body)).toContain(outputCanary)
    expect(handled).toEqual([
      { method: 'POST', path: '/v1/audio/transcriptions', headers: request.headers, body: request.body },
    ])
    // Neither outlives the exchange in memory that is ours.
    expect(bodies.map((body) => [body.length > 0, isZero(body)])).toEqual([
      [true, true],
      [true, true],
    ])
    const receipt = await receiptOf(response)
    const { openings } = response.receipt!
    expect(receipt).toMatchObject({
      requestId: request.requestId,
      model: broker.model,
      version: 3,
      keysetDigest: session.grant.lease.keysetDigest,
      leafHash: session.leafHash,
      entryIndex: session.grant.index,
      beat: session.beat.envelope,
      route: 'POST /v1/audio/transcriptions',
      status: 200,
      clientPolicy: request.policy,
      caller: null,
      usage: {
        requests: 1,
        inputBytes: request.body.length,
        inputUnits: 7,
        outputUnits: 3,
        unit: 'audio-ms-and-tokens',
      },
      notHardware: true,
      request: commitBody('request', request.body, openings.request),
      response: commitBody('response', response.body, openings.response),
    })
    expect(session.left).toEqual({
      requests: 99,
      inputBytes: 1_000_000_000 - request.body.length,
      workUnits: 1_000_000_000 - 10,
    })
  })

  test('is executed once: the same bytes again are refused', async () => {
    await open()
    const sealed = await sealRequest(session.own.keyset.request, encodeInnerRequest(inner()))
    await post(sealed.body)
    const again = await post(sealed.body)
    const answer = parseInnerResponse(await sealed.openResponse([new Uint8Array(await again.arrayBuffer())]))
    expect(answer.status).toBe(409)
    expect(text(answer.body)).toContain('channel/replayed')
    expect(handled.length).toBe(1)
    expect(session.left.requests).toBe(99)
  })

  test('is not executed when the memory of earlier ones is full', async () => {
    await open()
    const replays = new ReplayWindow(2)
    replays.take(new Uint8Array(32).fill(1))
    replays.take(new Uint8Array(32).fill(2))
    expect(codeOf(() => replays.take(new Uint8Array(32).fill(1)))).toBe('channel/replayed')
    expect(codeOf(() => replays.take(new Uint8Array(32).fill(3)))).toBe('channel/replay-window')
  })

  test('that fails in the handler by a bug ends without a word of it', async () => {
    await open()
    work = () => Promise.reject(new Error(`cannot read ${promptCanary}`))
    const sealed = await sealRequest(session.own.keyset.request, encodeInnerRequest(inner()))
    const response = await post(sealed.body)
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain(promptCanary)
    expect(logged.join()).toContain('bug')
    expect(logged.join()).not.toContain(promptCanary)
  })

  test('says nothing of prompt or output in any log', async () => {
    await open()
    await exchange(inner())
    await exchange(inner({ policy: policy({ versionMin: 9 }) }))
    await post(utf8(promptCanary))
    await post(utf8(promptCanary), 'application/json', '/v1/chat/completions')
    expect(logged.join()).not.toMatch(/CANARY/)
  })
})

describe('what the node refuses inside the seal, with a receipt and without pay', () => {
  const cases: readonly (readonly [string, number, () => Partial<InnerRequest>])[] = [
    ['admission/model', 404, () => ({ model: `${'A'.repeat(43)}/other` })],
    ['admission/model', 404, () => ({ policy: policy({ model: `${'A'.repeat(43)}/other` }) })],
    ['admission/version', 412, () => ({ policy: policy({ versionMin: 4 }) })],
    ['admission/manifest', 412, () => ({ policy: policy({ manifests: ['00'.repeat(32)] }) })],
    ['admission/country', 412, () => ({ policy: policy({ countries: ['DE'] }) })],
    ['admission/simulated', 412, () => ({ policy: policy({ dangerousAllowSimulated: false }) })],
    ['admission/deadline', 408, () => ({ deadlineMs: testTime * 1000 })],
    ['admission/deadline', 408, () => ({ deadlineMs: testTime * 1000 + 16 * 60_000 })],
  ]
  test.each(cases)('%s', async (code, status, changes) => {
    await open()
    const response = await exchange(inner(changes()))
    expect(response.status).toBe(status)
    expect(text(response.body)).toContain(code)
    const receipt = await receiptOf(response)
    expect(receipt).toMatchObject({ status, usage: { requests: 0 } })
    expect(handled).toEqual([])
    expect(session.left.requests).toBe(100)
  })

  test('a request that came after the lease, and one beyond its budget', async () => {
    broker.lease = { seconds: 600, budget: budgetOf(1) }
    await open()
    await exchange(inner())
    const response = await exchange(inner({ path: '/v2/models/whisper/infer' }))
    expect(response.status).toBe(429)
    expect(JSON.parse(text(response.body))).toEqual({ error: expect.stringContaining('lease/budget') })
    node.pass(600)
    const late = await post((await sealRequest(session.own.keyset.request, encodeInnerRequest(inner()))).body)
    expect(late.status).toBe(503)
    expect((await problemOf(late)).code).toBe('lease/expired')
  })

  test('an answer that was ready after key use had ended', async () => {
    await open()
    work = async () => node.pass(600)
    const response = await exchange(inner())
    expect(response.status).toBe(503)
    expect(text(response.body)).not.toContain(outputCanary)
  })

  test('an answer whose last step ended after key use had', async () => {
    await open()
    const transcribe = node.engine.transcribe.bind(node.engine)
    node.engine.transcribe = async () => {
      const transcript = await transcribe()
      node.pass(600)
      return transcript
    }
    const response = await exchange(inner())
    expect(response.status).toBe(503)
    expect(text(response.body)).toContain('lease/expired')
    expect(text(response.body)).not.toContain(outputCanary)
  })

  test('an answer that nobody waits for any more', async () => {
    await open()
    work = () => new Promise(() => {})
    const response = await exchange(inner({ deadlineMs: testTime * 1000 + 20 }))
    expect(response.status).toBe(408)
    expect((await receiptOf(response)).usage.requests).toBe(1)
  })

  test('what is sealed but is no request', async () => {
    await open()
    const sealed = await sealRequest(session.own.keyset.request, utf8('no request'))
    const response = await post(sealed.body)
    const answer = parseInnerResponse(await sealed.openResponse([new Uint8Array(await response.arrayBuffer())]))
    expect(answer).toMatchObject({ status: 400, receipt: null })
  })
})

test('each receipt says what the owner signed that the policy leaves open', async () => {
  broker.tampering.lease = (lease) => ({ ...lease, policy: { ...lease.policy, accepts: 'any-genuine-chip' } })
  await open()
  expect((await receiptOf(await exchange(inner()))).accepts).toBe('any-genuine-chip')
})

describe('callers', () => {
  const credential = toBase64Url(randomBytes(32))
  const callers = [
    { pseudonym: 'a1'.repeat(32), credentialHash: credentialHash(credential), expiresAt: testTime + 1000 },
    { pseudonym: 'b0'.repeat(32), credentialHash: credentialHash('expired'), expiresAt: testTime },
  ]
  test('who are listed are served, under a pseudonym', async () => {
    broker.callers = callers
    await open()
    const receipt = await receiptOf(await exchange(inner({ credential })))
    expect(receipt.caller).toBe('a1'.repeat(32))
    expect(JSON.stringify(receipt)).not.toContain(credential)
  })

  test.each([[null], ['wrong'], ['expired']])(
    'with credential %s are refused, all in the same words',
    async (given) => {
      broker.callers = callers
      await open()
      const response = await exchange(inner({ credential: given }))
      expect(response.status).toBe(401)
      expect(text(response.body)).toContain('admission/caller')
      expect(handled).toEqual([])
    },
  )

  test('nobody is served where the list is empty', async () => {
    broker.callers = []
    await open()
    expect((await exchange(inner({ credential }))).status).toBe(401)
  })
})

describe('what comes without a seal', () => {
  const routes = [
    '/v1/audio/transcriptions',
    '/v1/chat/completions',
    '/v2/models/whisper/infer',
    '/v2/models/whisper/versions/3/infer',
    '/chat/completions',
    '/audio/transcriptions',
    '/ohttp/',
    '/anything',
    '/',
  ]
  test.each(routes)('a body on %s is refused, with the line that starts the proxy', async (path) => {
    await open()
    const response = await post(utf8(promptCanary), 'application/json', path)
    const problem = await problemOf(response)
    expect(response.status).toBe(400)
    expect(problem.code).toBe('channel/unsealed')
    expect(problem.detail).toContain('./claviger proxy --node http://localhost')
    expect(problem.detail).not.toContain(promptCanary)
    expect(handled).toEqual([])
  })

  test.each(['PUT', 'PATCH'])('so is %s', async (method) => {
    await open()
    const response = await app.hono.request('/upload', { method, body: promptCanary })
    expect((await problemOf(response)).code).toBe('channel/unsealed')
  })

  test('a readable body under the name of a sealed one is refused', async () => {
    await open()
    expect((await problemOf(await post(utf8(promptCanary)))).code).toBe('ohttp/truncated')
    expect((await problemOf(await post(utf8(promptCanary), 'application/json'))).code).toBe('node/media-type')
  })

  test('is answered only where the settings say so, and the receipt shows it', async () => {
    node.settings = { dangerousAllowPlain: true }
    await open()
    expect(session.document(null).weakenings).toContain('unsealed requests are answered')
    const response = await post(utf8(promptCanary), 'application/json', '/v1/audio/transcriptions')
    expect(response.status).toBe(200)
    const receipt = carriedReceiptShape(
      parseCanonicalJson(fromBase64(response.headers.get('claviger-receipt')!)),
      'receipt',
    )
    const verified = await verifyReceiptSignature(receipt.receipt, session.own.keyset.receipt)
    expect(verified.weakenings).toContain('unsealed requests are answered')
    expect((await problemOf(await post(utf8('x'), 'application/json', '/anything'))).code).toBe('channel/unsealed')
  })

  test.each([
    ['Bearer', 200],
    ['bearer', 200],
    ['Basic', 401],
  ])('names its caller under the scheme %s, whose case says nothing: %i', async (scheme, status) => {
    node.settings = { dangerousAllowPlain: true }
    broker.callers = [
      { pseudonym: 'a1'.repeat(32), credentialHash: credentialHash('listed'), expiresAt: testTime + 1000 },
    ]
    await open()
    const headers = { 'content-type': 'application/json', authorization: `${scheme} listed` }
    const asked = { method: 'POST', headers, body: '{}' }
    expect((await app.hono.request('/v1/audio/transcriptions', asked)).status).toBe(status)
  })
})

describe('what a node shows', () => {
  test('its request key as an OHTTP key configuration', async () => {
    await open()
    const response = await app.hono.request('/.well-known/ohttp-keys')
    expect(response.headers.get('content-type')).toBe('application/ohttp-keys')
    expect(parseKeyConfigs(new Uint8Array(await response.arrayBuffer()))).toEqual(session.own.keyset.request)
  })

  test('its document, with evidence for the nonce of whoever asks', async () => {
    await open()
    const nonce = toBase64Url(randomBytes(32))
    const get = async (query: string) => {
      const response = await app.hono.request(`/.well-known/claviger/node${query}`)
      return nodeDocumentShape(parseJson(new Uint8Array(await response.arrayBuffer())), 'node')
    }
    expect((await get('')).fresh).toBe(null)
    expect((await get(`?nonce=${nonce}`)).fresh?.binding.nonce).toBe(nonce)
  })

  test.each(['short', `${'A'.repeat(42)}B`, 'A'.repeat(44), ''])('no evidence for nonce %j', async (nonce) => {
    await open()
    const response = await app.hono.request(`/.well-known/claviger/node?nonce=${nonce}`)
    expect((await problemOf(response)).code).toBe('node/nonce')
  })

  test('evidence no more often than the device can bear', async () => {
    session = await node.start()
    app = createNodeApp({ session, log, handler: async () => jsonAnswer(200, ''), evidencePerMinute: 2 })
    const ask = () => app.hono.request(`/.well-known/claviger/node?nonce=${toBase64Url(randomBytes(32))}`)
    expect((await ask()).status).toBe(200)
    expect((await ask()).status).toBe(200)
    expect((await problemOf(await ask())).code).toBe('node/evidence-rate')
    expect((await app.hono.request('/.well-known/claviger/node')).status).toBe(200)
  })

  test('health, and none once key use has ended', async () => {
    await open()
    const ready = async () => (await app.hono.request('/v2/health/ready')).status
    expect(await ready()).toBe(200)
    const said = await (await app.hono.request('/v2/health/ready')).json()
    expect(said).toEqual({ ready: true, 'known-answers': { passed: 0 } })
    expect((await app.hono.request('/v2/health/live')).status).toBe(200)
    expect((await app.hono.request('/readyz')).status).toBe(200)
    await session.end(new Failure('session/stopped', 'stopped'))
    expect(await ready()).toBe(503)
    expect((await app.hono.request('/readyz')).status).toBe(503)
    expect((await problemOf(await app.hono.request('/.well-known/claviger/node'))).code).toBe('session/stopped')
  })
})

test('two nodes cannot open each other’s requests', async () => {
  await open()
  const second = await new NodeDouble(broker).start()
  const sealed = await sealRequest(second.own.keyset.request, encodeInnerRequest(inner()))
  expect((await problemOf(await post(sealed.body))).code).toBe('ohttp/final')
  expect(await codeOfPromise(openRequest(session.requestKey, sealed.body))).toBe('ohttp/final')
})

test('a bound of the route: a body that is too large', async () => {
  await open()
  const response = await post(new Uint8Array(37 * 1024 * 1024))
  expect((await problemOf(response)).code).toBe('http/body-size')
})

test('a handler is never reached without a debit: the budget is paid before the work', async () => {
  await open()
  let left = 0
  work = async () => {
    left = session.left.requests
  }
  const ports = {
    replays: new ReplayWindow(),
    nowMs: () => testTime * 1000,
    random: randomBytes,
    after: () => ({ passed: new Promise<void>(() => {}), cancel: () => {} }),
    handler: async () => {
      await work()
      return jsonAnswer(200, '{}')
    },
  }
  const { body } = await sealRequest(session.own.keyset.request, encodeInnerRequest(inner()))
  for await (const _ of await answerSealed(body, session, ports)) void _
  expect(left).toBe(99)
})

test('a renewal during the work leaves the receipt on the grant under which the request was admitted', async () => {
  await open()
  const admitted = { leafHash: session.leafHash, entryIndex: session.grant.index }
  const ports = {
    replays: new ReplayWindow(),
    nowMs: () => testTime * 1000,
    random: randomBytes,
    after: () => ({ passed: new Promise<void>(() => {}), cancel: () => {} }),
    handler: async () => {
      for (let i = 0; i < 20 && session.leafHash === admitted.leafHash; i++) {
        node.pass(20)
        await session.tick()
      }
      return jsonAnswer(200, '{}')
    },
  }
  const { receipt } = await answerInner(inner(), randomBytes(32), session, ports)
  expect(session.leafHash).not.toBe(admitted.leafHash)
  expect(await verifyReceiptSignature(receipt.receipt, session.own.keyset.receipt)).toMatchObject(admitted)
})
