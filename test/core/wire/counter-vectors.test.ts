import { readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope } from '#core/dsse.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { type Counter, signCounter, verifyCounter } from '#core/wire/counter.js'
import { type Keyset, keysetDigest, keysetShape } from '#core/wire/keyset.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeBlocks } from '#test/fakes/pages.js'

const path = 'test/vectors/counter/cases.json'
interface Case {
  readonly name: string
  readonly expected: string
  readonly broker: string
  readonly lease: string
  readonly nonce: string | null
  readonly envelope: Envelope
}
interface Vectors {
  readonly format: string
  readonly keyset: Keyset
  readonly cases: readonly Case[]
}

async function run(keyset: Keyset, { envelope, ...expected }: Case): Promise<string> {
  return codeOfPromise(verifyCounter(envelopeShape(envelope as Json, ''), keysetShape(keyset as Json, ''), expected))
}

async function mint(): Promise<{ readonly vectors: Vectors; readonly first: Counter }> {
  const { key } = await generateSigningKey('Ed25519')
  const { key: stranger } = await generateSigningKey('Ed25519')
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: (await generateRecipientKey()).publicKey,
    request: (await generateRecipientKey()).publicKey,
    receipt: key.publicKey as Ed25519Jwk,
    tls: null,
    landmark: null,
    notAfter: 1_780_086_400,
  }
  const about = { broker: stranger.id, lease: toHex(randomBytes(16)), nonce: toBase64Url(randomBytes(32)) }
  const counter: Counter = {
    type: 'claviger/counter/v1',
    ...about,
    keysetDigest: keysetDigest(keyset),
    inferences: 4711,
  }
  const of = async (name: string, expected: string, change: object, wanted: object = {}, by = key): Promise<Case> => {
    const value = { ...counter, ...change }
    const envelope = await signEnvelope('application/vnd.claviger.counter+json', canonicalJson(value), [by])
    return { name, expected, ...about, ...wanted, envelope }
  }
  const first = { ...about, name: 'the count of a renewal', expected: 'ok', envelope: await signCounter(counter, key) }
  const cases: readonly Case[] = [
    first,
    await of('a last word', 'ok', { nonce: null, inferences: 0 }, { nonce: null }),
    await of('the count of a renewal as a last word', 'counter/not-final', {}, { nonce: null }),
    await of('a last word in a renewal', 'counter/replayed', { nonce: null }),
    await of('of an earlier challenge', 'counter/replayed', { nonce: toBase64Url(randomBytes(32)) }),
    await of('of another lease', 'counter/lease', { lease: toHex(randomBytes(16)) }),
    await of('for another broker', 'counter/broker', { broker: key.id }),
    await of('of another keyset', 'counter/keyset', { keysetDigest: '99'.repeat(32) }),
    await of('by another key', 'counter/signature', {}, {}, stranger),
    await of('below zero', 'counter/signature', { inferences: -1 }),
    await of('a part of one', 'counter/signature', { inferences: 0.5 }),
    await of('one member more', 'counter/signature', { final: true }),
    await of('without its lease', 'counter/signature', { lease: undefined }),
  ]
  const format = 'DSSE envelopes of claviger/counter/v1, verified with `keyset` for `broker`, `lease` and `nonce`'
  return { vectors: { format, keyset, cases }, first: counter }
}

test('minted vectors are what they say', async () => {
  const { vectors, first } = await mint()
  for (const one of vectors.cases) expect(await run(vectors.keyset, one), one.name).toBe(one.expected)
  if (!(process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('counter')) return
  writeFileSync(path, `${JSON.stringify(vectors, null, 1)}\n`)
  writeBlocks('counter', [first])
})

describe('vectors of counters', () => {
  const { keyset, cases } = JSON.parse(readFileSync(path, 'utf8')) as Vectors
  test.each(cases)('$name: $expected', async (one) => expect(await run(keyset, one)).toBe(one.expected))
  test('the page opens with the first', () => {
    const shown = /^```json\n([\s\S]*?)^```/m.exec(readFileSync('docs/spec/counter.md', 'utf8'))![1]!
    expect(JSON.parse(shown)).toEqual(JSON.parse(atob(cases[0]!.envelope.payload)))
  })
  test('one flipped byte of payload or signature is refused, and any bytes are a counter or a failure', async () => {
    const [first] = cases as [Case, ...Case[]]
    const flip = (text: string, at: number) => {
      const bytes = Buffer.from(text, 'base64')
      bytes[at % bytes.length]! ^= 1
      return bytes.toString('base64')
    }
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.boolean(), async (at, inPayload) => {
        const [signature] = first.envelope.signatures
        const payload = inPayload ? flip(first.envelope.payload, at) : first.envelope.payload
        const sig = inPayload ? signature!.sig : flip(signature!.sig, at)
        const envelope = { ...first.envelope, payload, signatures: [{ ...signature!, sig }] }
        expect(await run(keyset, { ...first, envelope })).toBe('counter/signature')
      }),
      { numRuns: 60 },
    )
  })
})
