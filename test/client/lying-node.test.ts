import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { encodeInnerResponse, type InnerRequest, type InnerResponse, parseInnerRequest } from '#core/wire/inner.js'
import { openRequest, responseType } from '#core/wire/ohttp.js'
import { answerOpenAi } from '#runtime/api/openai.js'
import { answerInner } from '#runtime/exchange.js'
import { ReplayWindow } from '#runtime/replay-window.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testTime } from '#test/fakes/platform.js'
import { Network, wav } from './network.js'

// A node with the keys that the evidence binds, whose code is not what the reader takes it for: everything is signed truly.
let network: Network

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: testTime * 1000 })
  network = await Network.open()
})
afterEach(() => {
  vi.useRealTimers()
})

interface Lie {
  /** what the node serves, and signs for, in the place of what it was asked */
  readonly request?: (asked: InnerRequest) => InnerRequest
  /** what it answers in the place of what it signed */
  readonly response?: (signed: InnerResponse) => InnerResponse
}

async function answer(lie: Lie, sealed: Uint8Array): Promise<Response> {
  const { session } = network
  const opened = await openRequest(session.requestKey, sealed)
  const asked = parseInnerRequest(opened.plaintext)
  const { metadata, engine } = session
  const model = { name: 'whisper', owner: network.broker.owner.id, version: '3', loadedAt: testTime, metadata }
  const { response, receipt } = await answerInner(lie.request?.(asked) ?? asked, opened.enc, session, {
    handler: (request) => answerOpenAi(request, engine, model),
    replays: new ReplayWindow(),
    nowMs: () => Date.now(),
    random: randomBytes,
    after: () => ({ passed: new Promise(() => undefined), cancel: () => undefined }),
  })
  const inner = lie.response?.({ ...response, receipt }) ?? { ...response, receipt }
  const parts: Uint8Array[] = []
  for await (const part of opened.sealResponse(encodeInnerResponse(inner), randomBytes(32))) parts.push(part)
  return new Response(Buffer.concat(parts), { headers: { 'content-type': responseType } })
}

async function codeUnder(lie: Lie): Promise<string> {
  const through: typeof fetch = async (input, init) => {
    const request = new Request(input as URL, init)
    if (request.method === 'GET') return network.fetch(input, init)
    return answer(lie, new Uint8Array(await request.arrayBuffer()))
  }
  const body = new FormData()
  body.set('model', 'whisper')
  body.set('file', new Blob([wav()], { type: 'audio/wav' }), 'a.wav')
  const client = network.client({ fetch: through })
  return codeOfPromise(client('https://node.invalid/v1/audio/transcriptions', { method: 'POST', body }))
}

test.each<[string, Lie, string]>([
  ['nothing: the control', {}, 'ok'],
  [
    'a receipt of the same request under another id',
    { request: (asked) => ({ ...asked, requestId: 'ab'.repeat(16) }) },
    'client/receipt-splice',
  ],
  [
    'a receipt of another route',
    { request: (asked) => ({ ...asked, path: '/v1/audio/translations' }) },
    'client/receipt-splice',
  ],
  [
    'a refusal that it signed, as a success',
    { request: (asked) => ({ ...asked, deadlineMs: 1 }), response: (signed) => ({ ...signed, status: 200 }) },
    'client/receipt-splice',
  ],
  [
    'another answer than it signed',
    { response: (signed) => ({ ...signed, body: utf8('{"text":"another"}') }) },
    'client/receipt-body',
  ],
  ['a receipt of another body', { request: (asked) => ({ ...asked, body: utf8('another') }) }, 'client/receipt-body'],
  [
    'a weaker policy than it was given',
    { request: (asked) => ({ ...asked, policy: { ...asked.policy, beatAgeSecondsMax: 3600 } }) },
    'client/receipt-policy',
  ],
  ['no receipt', { response: (signed) => ({ ...signed, receipt: null }) }, 'channel/no-receipt'],
  [
    'a refusal without a receipt',
    { response: (signed) => ({ ...signed, status: 503, receipt: null }) },
    'client/answer',
  ],
])('a node that gives %s', async (_, lie, code) => {
  expect(await codeUnder(lie)).toBe(code)
})
