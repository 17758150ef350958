import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope } from '#core/dsse.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { type BrokerDocument, verifyBrokerDocument } from '#core/wire/broker-document.js'
import { type OwnerQuery, verifyOwnerQuery } from '#core/wire/owner-query.js'
import { signStatement, verifyTenantStatement } from '#core/wire/statements.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeBlocks } from '#test/fakes/pages.js'

const at = 1_780_000_000

interface Case {
  readonly name: string
  readonly expected: string
  readonly envelope: Envelope
}
interface BrokerCase extends Case {
  /** thumbprint that the reader knows from elsewhere; null on a first use that a person confirms */
  readonly pinned: string | null
}
interface BrokerVectors {
  readonly format: string
  readonly cases: readonly BrokerCase[]
}
interface QueryCase extends Case {
  readonly broker: string
  readonly at: number
}
interface QueryVectors {
  readonly format: string
  readonly tenant: Envelope
  readonly cases: readonly QueryCase[]
}

const path = (format: string) => `test/vectors/${format}/cases.json`
const load = <T>(format: string) => JSON.parse(readFileSync(path(format), 'utf8')) as T
// What CLAVIGER_MINT_VECTORS names takes the place of what stands in the repository, pages included.
function write(format: string, value: unknown, ...blocks: readonly unknown[]): void {
  if (!(process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes(format)) return
  writeFileSync(path(format), `${JSON.stringify(value, null, 1)}\n`)
  writeBlocks(format, blocks)
}

const ed25519 = async () => (await generateSigningKey('Ed25519')).key
const sign = (type: string, value: unknown, key: SigningKey, bytes = canonicalJson(value)) =>
  signEnvelope(`application/vnd.claviger.${type}+json`, bytes, [key])
const spaced = (value: unknown) => utf8(JSON.stringify(value, null, 1))
const without = (value: object, name: string) =>
  Object.fromEntries(Object.entries(value).filter(([one]) => one !== name))
const otherPayload = (envelope: Envelope, value: unknown): Envelope => ({
  ...envelope,
  payload: Buffer.from(canonicalJson(value)).toString('base64'),
})

const runBroker = ({ envelope, pinned }: BrokerCase) =>
  codeOfPromise((async () => verifyBrokerDocument(envelopeShape(envelope as Json, ''), pinned))())
const runQuery = (tenant: Envelope, { envelope, broker, at: now }: QueryCase) =>
  codeOfPromise(
    (async () =>
      verifyOwnerQuery(envelopeShape(envelope as Json, ''), await verifyTenantStatement(tenant), broker, now))(),
  )

test('freshly signed documents of a broker agree', async () => {
  const key = await ed25519()
  const stranger = await ed25519()
  const log = makeNoteSigner('log.example/1', 'log', await ed25519())
  const witness = makeNoteSigner('witness.example/1', 'cosigner', await ed25519())
  const document: BrokerDocument = {
    type: 'claviger/broker/v1',
    key: key.publicKey as Ed25519Jwk,
    wrapping: (await generateRecipientKey()).publicKey,
    wrappingHybrid: (await generateHybridKey()).publicKey,
    verifiers: [(await ed25519()).publicKey],
    logs: [encodeVkey(log.verifier)],
    witnessPolicy: `witness w1 ${encodeVkey(witness.verifier)}\nquorum w1\n`,
    standing: 'UNATTESTED BROKER',
    kek: 'KEK HELD BY OPERATOR',
    kekBroker: undefined,
    kekModel: undefined,
    issuedAt: at,
  }
  const pinned = thumbprint(key.publicKey)
  const of = async (name: string, expected: string, value: unknown, by = key): Promise<BrokerCase> => {
    return { name, expected, pinned, envelope: await sign('broker', value, by) }
  }
  const first = await of('a document of the pinned broker', 'ok', document)
  const cases: readonly BrokerCase[] = [
    first,
    { ...first, name: 'on a first use', pinned: null },
    {
      ...first,
      name: 'another broker than the pinned one',
      expected: 'broker/key',
      pinned: thumbprint(stranger.publicKey),
    },
    await of('signed by another key than it names', 'dsse/signer', document, stranger),
    {
      ...first,
      name: 'a payload that was changed',
      expected: 'crypto/signature',
      envelope: otherPayload(first.envelope, { ...document, issuedAt: at + 1 }),
    },
    {
      ...first,
      name: 'an envelope of another type',
      expected: 'dsse/type',
      envelope: await sign('lease', document, key),
    },
    await of('a broker that claims more than it is', 'shape/form', { ...document, standing: 'TRUSTED BROKER' }),
    await of('a broker whose evidence has to be asked for', 'ok', { ...document, standing: 'ATTESTED BROKER' }),
    await of('a broker whose key another one released', 'ok', {
      ...document,
      standing: 'ATTESTED BROKER',
      kek: 'KEK RELEASED BY BROKER',
      kekBroker: thumbprint(stranger.publicKey),
      kekModel: `${thumbprint(stranger.publicKey)}/kek`,
    }),
    await of('a broker that does not say who holds its key', 'shape/missing', without(document, 'kek')),
    await of('no verifier', 'shape/range', { ...document, verifiers: [] }),
    await of('no log', 'shape/range', { ...document, logs: [] }),
    await of('one member more', 'shape/unknown', { ...document, trusted: true }),
    {
      ...first,
      name: 'another spelling',
      expected: 'json/canonical',
      envelope: await sign('broker', document, key, spaced(document)),
    },
  ]
  for (const one of cases) expect(await runBroker(one), one.name).toBe(one.expected)
  const format = 'DSSE envelopes of claviger/broker/v1; docs/spec/broker-document.md'
  write('broker-document', { format, cases }, document)
})

test('freshly signed questions of an owner agree', async () => {
  const owner = await ed25519()
  const stranger = await ed25519()
  const tenant = await signStatement(
    'tenant',
    {
      type: 'claviger/statement/tenant/v1',
      tenant: owner.id,
      sequence: 1,
      previous: null,
      issuedAt: at - 1000,
      name: 'acme',
      class: 'development',
      keys: [owner.publicKey],
    },
    owner,
  )
  const broker = toBase64Url(randomBytes(32))
  const query: OwnerQuery = {
    type: 'claviger/owner-query/v1',
    broker,
    tenant: owner.id,
    ask: 'bundle',
    entry: 17,
    at,
  }
  const of = async (name: string, expected: string, value: unknown, by = owner): Promise<QueryCase> => {
    return { name, expected, broker, at, envelope: await sign('owner-query', value, by) }
  }
  const first = await of('the bundle of an entry', 'ok', query)
  const cases: readonly QueryCase[] = [
    first,
    await of('the newest statements', 'ok', { ...query, ask: 'heads', entry: null }),
    await of('the leases that run', 'ok', { ...query, ask: 'leases', entry: null }),
    { ...first, name: 'a minute later', at: at + 60 },
    { ...first, name: 'by a clock that is a minute slow', at: at - 60 },
    { ...first, name: 'more than a minute later', expected: 'query/time', at: at + 61 },
    { ...first, name: 'from more than a minute ahead', expected: 'query/time', at: at - 61 },
    { ...first, name: 'for another broker', expected: 'query/broker', broker: stranger.id },
    await of('in the name of another tenant', 'query/tenant', { ...query, tenant: stranger.id }),
    await of('signed by a stranger', 'dsse/signer', query, stranger),
    {
      ...first,
      name: 'a payload that was changed',
      expected: 'crypto/signature',
      envelope: otherPayload(first.envelope, { ...query, entry: 18 }),
    },
    { ...first, name: 'a statement in place of a question', expected: 'dsse/type', envelope: tenant },
    await of('a question that nobody knows', 'shape/form', { ...query, ask: 'keys' }),
    await of('an entry below zero', 'shape/range', { ...query, entry: -1 }),
    await of('no entry at all', 'shape/missing', without(query, 'entry')),
    await of('one member more', 'shape/unknown', { ...query, all: true }),
    {
      ...first,
      name: 'another spelling',
      expected: 'json/canonical',
      envelope: await sign('owner-query', query, owner, spaced(query)),
    },
  ]
  for (const one of cases) expect(await runQuery(tenant, one), one.name).toBe(one.expected)
  const format = 'DSSE envelopes of claviger/owner-query/v1, verified for `broker` at `at`; docs/spec/owner-query.md'
  write('owner-query', { format, tenant, cases }, query)
})

const payloadOf = ({ envelope }: Case) => JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'))
const firstBlock = (page: string) =>
  JSON.parse(/^```json\n([\s\S]*?)^```/m.exec(readFileSync(`docs/spec/${page}.md`, 'utf8'))![1]!)

describe('vectors of the broker document', () => {
  const { cases } = load<BrokerVectors>('broker-document')
  test.each(cases)('$name: $expected', async (one) => {
    expect(await runBroker(one)).toBe(one.expected)
  })
  test('the page opens with the first', () => {
    expect(firstBlock('broker-document')).toEqual(payloadOf(cases[0]!))
  })
})

describe('vectors of the owner query', () => {
  const { tenant, cases } = load<QueryVectors>('owner-query')
  test.each(cases)('$name: $expected', async (one) => {
    expect(await runQuery(tenant, one)).toBe(one.expected)
  })
  test('the page opens with the first', () => {
    expect(firstBlock('owner-query')).toEqual(payloadOf(cases[0]!))
  })
})
