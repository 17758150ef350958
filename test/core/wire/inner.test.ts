import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { encodeBinaryRequest, encodeBinaryResponse, type Fields, parseBinaryRequest } from '#core/wire/bhttp.js'
import {
  commitBody,
  encodeInnerRequest,
  encodeInnerResponse,
  type InnerRequest,
  parseInnerRequest,
  parseInnerResponse,
} from '#core/wire/inner.js'

const model = `${'A'.repeat(43)}/whisper`
const request: InnerRequest = {
  requestId: '00'.repeat(16),
  model,
  deadlineMs: 1_764_000_000_000,
  policy: {
    type: 'claviger/client-policy/v1',
    model,
    manifests: null,
    versionMin: 1,
    countries: ['DE'],
    beatAgeSecondsMax: 60,
    witnessesMin: 0,
    dangerousAllowSimulated: true,
  },
  credential: 'secret-credential',
  method: 'POST',
  path: '/v1/audio/transcriptions',
  headers: [['content-type', 'application/json']],
  body: utf8('{}'),
}

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}
/** The request with its headers changed by hand, as another sender might spell it. */
const withHeaders = (change: (headers: Fields) => Fields, rest = {}) => {
  const message = parseBinaryRequest(encodeInnerRequest(request))
  return encodeBinaryRequest({ ...message, ...rest, headers: change(message.headers) }, true)
}
const without = (name: string) => (headers: Fields) => headers.filter(([one]) => one !== name)
const replaced = (name: string, value: string) => (headers: Fields) =>
  headers.map((field) => (field[0] === name ? ([name, value] as const) : field))

describe('inner request', () => {
  test('is read as it was written, with and without a credential', () => {
    expect(parseInnerRequest(encodeInnerRequest(request))).toEqual(request)
    expect(parseInnerRequest(encodeInnerRequest({ ...request, credential: null })).credential).toBe(null)
  })

  test('takes a size from a bucket', () => {
    expect(encodeInnerRequest(request).length % 256).toBe(0)
    expect(encodeInnerRequest({ ...request, body: utf8('{"a":1}') }).length).toBe(encodeInnerRequest(request).length)
  })

  test.each(['claviger-request-id', 'claviger-model', 'claviger-deadline', 'claviger-policy'])(
    'without %s is refused',
    (name) => {
      expect(codeOf(() => parseInnerRequest(withHeaders(without(name))))).toBe('channel/field')
    },
  )

  test.each([
    ['a field of the channel twice', withHeaders((all) => [...all, ['claviger-model', model]]), 'bhttp/duplicate'],
    ['an unknown field of the channel', withHeaders((all) => [...all, ['claviger-admin', '1']]), 'channel/field'],
    ['another host', withHeaders((all) => all, { authority: 'example.com' }), 'channel/field'],
    ['trailers', withHeaders((all) => all, { trailers: [['a', 'b']] }), 'channel/field'],
    ['a deadline in seconds', withHeaders(replaced('claviger-deadline', '1764000000')), 'channel/field'],
    ['a deadline with a sign', withHeaders(replaced('claviger-deadline', '+1764000000000')), 'channel/field'],
    ['a basic credential', withHeaders(replaced('authorization', 'Basic eDp5')), 'channel/field'],
    ['a policy with a member left out', withHeaders(replaced('claviger-policy', '{}')), 'shape/missing'],
    ['a policy that is not canonical', withHeaders(replaced('claviger-policy', '{ }')), 'json/canonical'],
    ['a request id in capitals', withHeaders(replaced('claviger-request-id', 'AB'.repeat(16))), 'shape/form'],
  ])('with %s is refused', (_, bytes, code) => {
    expect(codeOf(() => parseInnerRequest(bytes))).toBe(code)
  })

  test.each(['Bearer', 'bearer', 'BEARER'])('the scheme %s is read without regard to case', (scheme) => {
    const bytes = withHeaders(replaced('authorization', `${scheme} ${request.credential}`))
    expect(parseInnerRequest(bytes).credential).toBe(request.credential)
  })

  test('fields of the channel are not smuggled in among the others', () => {
    expect(codeOf(() => encodeInnerRequest({ ...request, headers: [['claviger-policy', '{}']] }))).toBe('channel/field')
    expect(codeOf(() => encodeInnerRequest({ ...request, headers: [['authorization', 'Bearer x']] }))).toBe(
      'channel/field',
    )
  })

  test('any bytes are read or refused with a failure', () => {
    const start = encodeInnerRequest(request)
    fc.assert(
      fc.property(fc.nat(start.length), fc.uint8Array({ maxLength: 40 }), (at, noise) => {
        codeOf(() => parseInnerRequest(concat(start.subarray(0, at), noise, start.subarray(at + noise.length))))
        codeOf(() => parseInnerResponse(noise))
      }),
      { numRuns: 500 },
    )
  })
})

describe('inner response', () => {
  const opening = 'A'.repeat(43)
  const receipt = {
    receipt: { payloadType: 't', payload: 'e30=', signatures: [{ keyid: 'k', sig: 'AAAA' }] },
    openings: { request: opening, response: opening },
  }
  test('is read as it was written', () => {
    const response = { status: 200, headers: [['content-type', 'a/b']] as const, body: utf8('hello'), receipt }
    expect(parseInnerResponse(encodeInnerResponse(response))).toEqual(response)
  })

  test('of success without a receipt is refused; a refusal may have none', () => {
    const bare = { status: 200, headers: [], body: utf8('hello'), receipt: null }
    expect(codeOf(() => parseInnerResponse(encodeInnerResponse(bare)))).toBe('channel/no-receipt')
    expect(parseInnerResponse(encodeInnerResponse({ ...bare, status: 400 })).receipt).toBe(null)
  })

  test('with a receipt that is none is refused', () => {
    const bytes = encodeBinaryResponse(
      { status: 200, headers: [], body: utf8(''), trailers: [['claviger-receipt', 'e30=']] },
      false,
    )
    expect(codeOf(() => parseInnerResponse(bytes))).toBe('channel/no-receipt')
  })
})

test('the commitment to a body hides it: another opening, another commitment', () => {
  const body = utf8('yes')
  const one = commitBody('request', body, 'A'.repeat(43))
  expect(one).not.toBe(commitBody('request', body, `${'A'.repeat(42)}E`))
  expect(one).not.toBe(commitBody('response', body, 'A'.repeat(43)))
  expect(one).not.toBe(commitBody('request', utf8('no'), 'A'.repeat(43)))
})
