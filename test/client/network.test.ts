import OpenAI, { APIConnectionError, APIError, toFile } from 'openai'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { NodeClientOptions } from '#client/node-client.js'
import { createProxy } from '#client/proxy/app.js'
import { isFailure } from '#core/failure.js'
import { signBeat } from '#core/wire/lease.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testTime } from '#test/fakes/platform.js'
import { policyFor, trustIn } from './fixtures.js'
import { Network, wav } from './network.js'

const canary = 'PROMPT-CANARY-7f3a'
let network: Network

beforeEach(async () => {
  // The node's service reads the wall clock of the process; all other clocks are the test's.
  vi.useFakeTimers({ toFake: ['Date'], now: testTime * 1000 })
  network = await Network.open()
})
afterEach(() => {
  vi.useRealTimers()
})

const url = 'https://node.invalid/v1/audio/transcriptions'
function speech(): RequestInit {
  const body = new FormData()
  body.set('model', 'whisper')
  body.set('file', new Blob([wav(canary)], { type: 'audio/wav' }), `${canary}.wav`)
  return { method: 'POST', body }
}
const ask = (changes: Partial<NodeClientOptions> = {}) => network.client(changes)(url, speech())

describe('createFetch', () => {
  test('verifies, seals, and hands out a verified answer; no readable byte of the prompt is on the wire', async () => {
    network.node.engine.text = 'OUTPUT-CANARY-91bc'
    const response = await ask()
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ text: 'OUTPUT-CANARY-91bc' })
    const [answer] = network.answers
    expect(response.headers.get('claviger-receipt-id')).toBe(answer!.receipt.receipt.id)
    expect(answer!.receipt.receipt.route).toBe('POST /v1/audio/transcriptions')
    expect(network.seen.map((seen) => seen.method)).toEqual(['GET', 'POST'])
    expect(network.saw(canary)).toBe(false)
    expect(network.saw('transcriptions')).toBe(false)
    // The recorder finds what is there to be found.
    network.seen.push({ url: '', method: '', bytes: Buffer.from(`x${canary}`) })
    expect(network.saw(canary)).toBe(true)
  })

  test('verifies once, then again when the beat grows old', async () => {
    const client = network.client()
    const gets = () => network.seen.filter((seen) => seen.method === 'GET').length
    for (let i = 0; i < 3; i++) expect((await client(url, speech())).status).toBe(200)
    expect(gets()).toBe(1)
    network.node.pass(40)
    vi.setSystemTime(network.node.wall * 1000)
    await network.session.tick()
    expect((await client(url, speech())).status).toBe(200)
    expect(gets()).toBe(2)
  })

  test('refuses the answer of a node whose time stands still, whatever beat its document was given on the way', async () => {
    // Whoever stands between asks the broker for beats in the node's name: lease ids are public, and beats are for anybody.
    const ahead = async (seconds: number) => {
      const at = testTime + seconds
      network.tamper = async (response, { method }) => {
        if (method !== 'GET') return response
        const document = (await response.json()) as { lease: { payload: string } }
        const { id } = JSON.parse(atob(document.lease.payload)) as { id: string }
        const beat = { type: 'claviger/beat/v1', lease: id, nonce: 'A'.repeat(43), at, expiresAt: at + 60 } as const
        return Response.json({ ...document, beat: await signBeat(beat, network.broker.key) })
      }
      const policy = policyFor(network.broker.model, { beatAgeSecondsMax: 300 })
      return codeOfPromise(ask({ now: () => at, policy }))
    }
    expect(await ahead(250)).toBe('ok')
    expect(await ahead(301)).toBe('client/beat-stale')
    expect(network.seen.filter(({ method }) => method === 'POST')).toHaveLength(2)
  })

  test('asks again, and sends nothing, once a lease is over by its own clock, and once its trust file is', async () => {
    const clock = { now: testTime }
    const policy = policyFor(network.broker.model, { beatAgeSecondsMax: 3600 })
    const client = network.client({ policy, now: () => clock.now })
    const posts = () => network.seen.filter(({ method }) => method === 'POST').length
    expect((await client(url, speech())).status).toBe(200)
    clock.now += 601
    expect(await codeOfPromise(client(url, speech()))).toBe('client/lease-expired')
    expect(posts()).toBe(1)
    const expired = { ...trustIn(network.broker), expiresAt: testTime - 1 }
    expect(await codeOfPromise(ask({ trust: expired }))).toBe('trust-file/expired')
    expect(posts()).toBe(1)
  })

  test('follows a renewal that came between verification and answer', async () => {
    const client = network.client({ policy: policyFor(network.broker.model, { beatAgeSecondsMax: 3600 }) })
    expect((await client(url, speech())).status).toBe(200)
    const before = network.session.leafHash
    for (let i = 0; i < 20; i++) {
      network.node.pass(20)
      vi.setSystemTime(network.node.wall * 1000)
      await network.session.tick()
    }
    expect(network.session.leafHash).not.toBe(before)
    expect((await client(url, speech())).status).toBe(200)
    expect(network.answers.at(-1)!.receipt.node.leafHash).toBe(network.session.leafHash)
  })

  test.each<[string, () => Partial<NodeClientOptions>, string]>([
    [
      'a node of an owner that the reader does not know',
      () => ({ trust: { ...trustIn(network.broker), owners: [] } }),
      'client/owner-unknown',
    ],
    [
      'a simulated node',
      () => ({ policy: policyFor(network.broker.model, { dangerousAllowSimulated: false }) }),
      'client/simulated',
    ],
    [
      'a node without the place that is asked for',
      () => ({ policy: policyFor(network.broker.model, { countries: ['DE'] }) }),
      'client/place',
    ],
    ['a node whose beat is old', () => ({ now: () => testTime + 100 }), 'client/beat-stale'],
  ])('sends nothing to %s', async (_, changes, code) => {
    expect(await codeOfPromise(ask(changes()))).toBe(code)
    expect(network.seen.map((seen) => seen.method)).toEqual(['GET'])
    expect(network.saw(canary)).toBe(false)
  })

  test('sends nothing to a node that answers the nonce of somebody else', async () => {
    const old = await network.app.hono.request(`/.well-known/claviger/node?nonce=${'A'.repeat(43)}`)
    const text = await old.text()
    network.tamper = () => new Response(text)
    expect(await codeOfPromise(ask())).toBe('client/nonce')
    expect(network.seen.length).toBe(1)
  })

  test('drops the API key and carries the credential inside the seal', async () => {
    const headers = { authorization: 'Bearer API-KEY-CANARY' }
    await network.client({ credential: 'CREDENTIAL-CANARY' })(url, { ...speech(), headers })
    for (const text of ['API-KEY-CANARY', 'CREDENTIAL-CANARY']) expect(network.saw(text)).toBe(false)
  })

  test('refuses a request that is too large before it asks anybody', async () => {
    const body = new Uint8Array(40 * 1024 * 1024)
    expect(await codeOfPromise(network.client()(url, { method: 'POST', body }))).toBe('client/request-size')
    expect(network.seen.length).toBe(0)
  })

  test('refuses fields of the channel among the request’s', async () => {
    const headers = { 'claviger-policy': '{}' }
    expect(await codeOfPromise(network.client()(url, { ...speech(), headers }))).toBe('channel/field')
  })

  test('an abort of the caller ends the wait, as a fetch ends', async () => {
    const controller = new AbortController()
    network.tamper = (response, seen) => {
      if (seen.method === 'POST') controller.abort()
      return response
    }
    const asked = network.client()(url, { ...speech(), signal: controller.signal })
    await expect(asked.then((response) => response.text())).resolves.toContain('text')
    await expect(network.client()(url, { ...speech(), signal: controller.signal })).rejects.toThrow('aborted')
  })
})

describe('an answer on its way back', () => {
  const onPost = (change: (response: Response) => Response | Promise<Response>) => {
    network.tamper = (response, seen) => (seen.method === 'POST' ? change(response) : response)
  }
  const sealed = (body: Uint8Array<ArrayBuffer> | ReadableStream, response: Response) =>
    new Response(body, { status: 200, headers: response.headers })
  const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer())

  test('that is not sealed is refused', async () => {
    onPost(() => Response.json({ text: 'trust me' }))
    expect(await codeOfPromise(ask())).toBe('client/answer')
  })
  test('that is a redirection is not followed', async () => {
    onPost(() => new Response(null, { status: 307, headers: { location: 'http://elsewhere.test/' } }))
    expect(await codeOfPromise(ask())).toBe('client/answer')
    expect(network.seen.length).toBe(2)
  })
  test('that was redirected by the fetch below is refused', async () => {
    onPost((response) => Object.defineProperty(response, 'redirected', { value: true }))
    expect(await codeOfPromise(ask())).toBe('client/answer')
  })
  test('that was cut is refused, wherever it was cut', async () => {
    for (const part of [0, 0.3, 0.7, 0.99]) {
      onPost(async (response) => {
        const bytes = await bytesOf(response)
        return sealed(bytes.slice(0, Math.floor(bytes.length * part)), response)
      })
      expect(await codeOfPromise(ask()), `${part}`).toMatch(/^ohttp\/(truncated|final)$/)
    }
  })
  test('with a changed byte is refused', async () => {
    onPost(async (response) => {
      const bytes = await bytesOf(response)
      bytes[bytes.length >> 1]! ^= 1
      return sealed(bytes, response)
    })
    expect(await codeOfPromise(ask())).toMatch(/^ohttp\//)
  })
  test('to another request is refused', async () => {
    let first: Uint8Array<ArrayBuffer> | undefined
    onPost(async (response) => {
      first ??= await bytesOf(response.clone())
      return sealed(first.slice(), response)
    })
    expect(await codeOfPromise(ask())).toBe('ok')
    expect(await codeOfPromise(ask())).toMatch(/^ohttp\//)
  })
  test('whose connection ends early is a failure', async () => {
    onPost((response) => {
      const body = new ReadableStream({
        pull(controller) {
          controller.error(new TypeError('terminated'))
        },
      })
      return sealed(body, response)
    })
    expect(await codeOfPromise(ask())).toBe('client/unreachable')
  })
  test('that never comes ends with the timeout', async () => {
    const never: typeof fetch = (_, init) =>
      new Promise((_, reject) => init!.signal!.addEventListener('abort', () => reject(init!.signal!.reason)))
    expect(await codeOfPromise(ask({ fetch: never, timeoutMs: 20 }))).toBe('client/unreachable')
  })
  test('of a node document that is endless is refused', async () => {
    network.tamper = () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            controller.enqueue(new Uint8Array(1024 * 1024))
          },
        }),
      )
    expect(await codeOfPromise(ask())).toBe('client/answer')
  })
  test('of a node document with another status is refused', async () => {
    network.tamper = () => new Response('busy', { status: 503 })
    expect(await codeOfPromise(ask())).toBe('client/answer')
  })
})

test('a node that was replaced between verification and request cannot open it, and the next one is verified anew', async () => {
  const client = network.client()
  expect((await client(url, speech())).status).toBe(200)
  await network.restart()
  expect(await codeOfPromise(client(url, speech()))).toBe('client/answer')
  expect((await client(url, speech())).status).toBe(200)
  expect(network.saw(canary)).toBe(false)
})

describe('the official OpenAI client', () => {
  const through = (changes: Partial<NodeClientOptions> = {}) =>
    new OpenAI({ apiKey: 'unused', baseURL: 'https://node.invalid/v1', fetch: network.client(changes), maxRetries: 0 })
  const throughProxy = (changes: Partial<NodeClientOptions> = {}) => {
    const proxy = createProxy(network.options(changes))
    const local: typeof fetch = async (input, init) => proxy.request(new Request(input as string, init))
    return new OpenAI({ apiKey: 'unused', baseURL: 'http://127.0.0.1:8787/v1', fetch: local, maxRetries: 2 })
  }

  test.each([
    ['createFetch', through],
    ['the proxy', throughProxy],
  ])('works unchanged through %s', async (_, make) => {
    const openai = make()
    const models = await openai.models.list()
    expect(models.data.map((model) => model.id)).toEqual(['whisper'])
    network.node.engine.text = 'ask not'
    const file = await toFile(wav(canary), `${canary}.wav`)
    const { text } = await openai.audio.transcriptions.create({ model: 'whisper', file })
    expect(text).toBe('ask not')
    expect(network.saw(canary)).toBe(false)
  })

  test('sees the code of what was refused, through createFetch', async () => {
    const refused = await through({ trust: { ...trustIn(network.broker), owners: [] } })
      .models.list()
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(APIConnectionError)
    const { cause } = refused as APIConnectionError
    expect(isFailure(cause) && cause.code).toBe('client/owner-unknown')
  })

  test('sees the code of what was refused, through the proxy, and does not try again', async () => {
    const refused = await throughProxy({ trust: { ...trustIn(network.broker), owners: [] } })
      .models.list()
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(APIError)
    expect(refused).toMatchObject({ status: 502, code: 'client/owner-unknown', type: 'claviger_refused' })
    expect(network.seen.length).toBe(1)
  })

  test('gets a refusal of the node as the node said it, with its receipt', async () => {
    const refused = await through()
      .chat.completions.create({ model: 'whisper', messages: [{ role: 'user', content: canary }] })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(APIError)
    expect((refused as APIError).status).toBeGreaterThanOrEqual(400)
    expect(network.answers.length).toBe(1)
    expect(network.saw(canary)).toBe(false)
  })
})

describe('the proxy', () => {
  test('keeps what names the caller’s machine on it', async () => {
    const proxy = createProxy(network.options())
    const headers = { cookie: 'c=1', 'user-agent': 'x', 'x-forwarded-for': '10.0.0.1' }
    const response = await proxy.request('http://127.0.0.1/v1/models', { headers })
    expect(response.status).toBe(200)
  })
  test.each([
    ['a page of another site', 'http://127.0.0.1/v1/models', { origin: 'https://evil.example' }],
    ['a page without an origin', 'http://127.0.0.1/v1/models', { 'sec-fetch-site': 'cross-site' }],
    ['a name that resolves to this machine', 'http://evil.example/v1/models', {}],
  ])('refuses %s and sends nothing', async (_, url, headers) => {
    const response = await createProxy(network.options()).request(url, { headers })
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ error: { code: 'client/browser' } })
    expect(network.seen.length).toBe(0)
  })
  test('answers a request that is too large with 413 and sends nothing', async () => {
    const body = new Uint8Array(40 * 1024 * 1024)
    const response = await createProxy(network.options()).request('http://127.0.0.1/v1/x', { method: 'POST', body })
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'client/request-size', type: 'claviger_refused' } })
    expect(network.seen.length).toBe(0)
  })
  test('never passes a request on plain when the node cannot be reached', async () => {
    const away: typeof fetch = () => Promise.reject(new TypeError('fetch failed'))
    const proxy = createProxy(network.options({ fetch: away }))
    const response = await proxy.request('http://127.0.0.1/v1/models')
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([502, 'true'])
  })
})
