import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromBase64, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { type Envelope, envelopeShape } from '#core/dsse.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { parseBinaryRequest } from '#core/wire/bhttp.js'
import { clientPolicyShape } from '#core/wire/client-policy.js'
import { commitBody, parseInnerRequest } from '#core/wire/inner.js'
import { verifyKeysetRoles } from '#core/wire/keyset.js'
import { verifyBeat, verifyLease } from '#core/wire/lease.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import { claimedReceipt, verifyReceiptSignature } from '#core/wire/receipt.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

const load = <T>(format: string) => JSON.parse(readFileSync(`test/vectors/${format}/cases.json`, 'utf8')) as T

interface LeaseVectors {
  readonly brokers: readonly Ed25519Jwk[]
  readonly cases: readonly { name: string; kind: 'lease' | 'beat'; expected: string; envelope: Envelope }[]
}
interface ReceiptVectors {
  readonly key: Ed25519Jwk
  readonly request: string
  readonly response: string
  readonly openings: { readonly request: string; readonly response: string }
  readonly cases: readonly { name: string; expected: string; envelope: Envelope }[]
}
interface ExampleVectors {
  readonly example: { [name: string]: Json }
  readonly cases: readonly { name: string; path?: readonly string[]; value?: Json; expected: string }[]
}
const leases = load<LeaseVectors>('lease')
const receipts = load<ReceiptVectors>('receipt')
const nodes = load<ExampleVectors>('node-document')
const policies = load<ExampleVectors>('client-policy')

describe('vectors of leases and beats', () => {
  test.each(leases.cases)('$name: $expected', async ({ kind, envelope, expected }) => {
    const verify = kind === 'lease' ? verifyLease : verifyBeat
    expect(await codeOfPromise(verify(envelopeShape(envelope as Json, ''), leases.brokers))).toBe(expected)
  })
})

describe('vectors of receipts', () => {
  test.each(receipts.cases)('$name: $expected', async ({ envelope, expected }) => {
    expect(await codeOfPromise(verifyReceiptSignature(envelopeShape(envelope as Json, ''), receipts.key))).toBe(
      expected,
    )
  })

  test('the first one commits to the bodies beside it', () => {
    const receipt = claimedReceipt(receipts.cases[0]!.envelope)
    for (const which of ['request', 'response'] as const) {
      expect(commitBody(which, fromHex(receipts[which]), receipts.openings[which])).toBe(receipt[which])
    }
  })
})

/** The example with one member set, or removed. */
function changed(
  { example }: ExampleVectors,
  { path, value }: { readonly path?: readonly string[]; readonly value?: Json },
): Json {
  const copy = structuredClone(example)
  if (path === undefined) return copy
  let at = copy
  for (const name of path.slice(0, -1)) at = at[name] as { [name: string]: Json }
  if (value === undefined) delete at[path.at(-1)!]
  else at[path.at(-1)!] = value
  return copy
}

describe('vectors of node documents', () => {
  test.each(nodes.cases)('$name: $expected', (one) => {
    const document = changed(nodes, one)
    expect(codeOf(() => verifyKeysetRoles(nodeDocumentShape(document, 'node').keyset))).toBe(one.expected)
  })
})

describe('vectors of client policies', () => {
  test.each(policies.cases)('$name: $expected', (one) => {
    expect(codeOf(() => clientPolicyShape(changed(policies, one), 'policy'))).toBe(one.expected)
  })
})

describe('the pages of docs/spec', () => {
  const blocks = (page: string): readonly Json[] =>
    [...readFileSync(`docs/spec/${page}.md`, 'utf8').matchAll(/```json\n(.*?)```/gs)].map((found) =>
      parseJson(utf8(found[1]!)),
    )
  const payload = (envelope: Envelope) => parseJson(fromBase64(envelope.payload))

  test('lease.md shows the first lease and beat of the vectors', () => {
    const [lease, beat] = blocks('lease')
    expect(lease).toEqual(payload(leases.cases[0]!.envelope))
    expect(beat).toEqual(payload(leases.cases.find((one) => one.kind === 'beat')!.envelope))
  })

  test('receipt.md shows the first receipt of the vectors, as it is signed and as it travels', () => {
    const [receipt, carried] = blocks('receipt')
    expect(receipt).toEqual(payload(receipts.cases[0]!.envelope))
    expect(carried).toEqual({ receipt: receipts.cases[0]!.envelope, openings: receipts.openings })
  })

  test('node-document.md shows the example of the vectors, whole', () => {
    expect(blocks('node-document')[0]).toEqual(nodes.example)
  })

  test('client-policy.md shows the example of the vectors', () => {
    expect(blocks('client-policy')[0]).toEqual(policies.example)
  })

  test('channel.md shows an inner request that is read', () => {
    const page = readFileSync('docs/spec/channel.md', 'utf8')
    const hex = /```hex\n(.*?)```/s.exec(page)![1]!.replaceAll(/\s/g, '')
    const request = parseInnerRequest(fromHex(hex))
    expect(request).toMatchObject({ method: 'POST', path: '/v1/audio/transcriptions' })
    const text = /```http\n(.*?)```/s.exec(page)![1]!
    const { headers } = parseBinaryRequest(fromHex(hex))
    expect(text).toBe(
      `${request.method} ${request.path}\n${headers.map(([name, value]) => `${name}: ${value}\n`).join('')}\n${new TextDecoder().decode(request.body)}\n`,
    )
    expect(toHex(request.body)).toBe(receipts.request)
  })
})
