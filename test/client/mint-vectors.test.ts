import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { judgeBundle } from '#client/any-bundle.js'
import { toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import type { Bundle, KbsBundle, StateBundle } from '#core/wire/bundle.js'
import { callerPseudonym, commitBody, credentialHash } from '#core/wire/inner.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import { verifyHostStatement } from '#core/wire/statements.js'
import { signTrust, type Trust, verifyTrustFile } from '#core/wire/trust-file.js'
import { bundleAt } from '#keybroker/queries.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeBlocks } from '#test/fakes/pages.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, change, permitAll, type Registered, registered, startTime, testNode } from '#test/keybroker/fixtures.js'
import { guest, pathOf } from '#test/keybroker/kbs/fixtures.js'
import { asJson, freshEvidence, mintNode, mintReceipt, newBroker, payloadOf, trustIn } from './fixtures.js'

// What CLAVIGER_MINT_VECTORS names (`lease,receipt`) takes the place of what stands in the repository, pages included.
const kept = (process.env.CLAVIGER_MINT_VECTORS ?? '').split(',')
const path = (format: string) => `test/vectors/${format}/cases.json`
const read = (format: string) => JSON.parse(readFileSync(path(format), 'utf8'))
function write(format: string, value: unknown, ...blocks: readonly unknown[]): void {
  if (!kept.includes(format)) return
  writeFileSync(path(format), `${JSON.stringify(value, null, 1)}\n`)
  writeBlocks(format, blocks)
}

type Members = { readonly [name: string]: unknown }
const without = (value: Members, name: string) =>
  Object.fromEntries(Object.entries(value).filter(([one]) => one !== name))
/** Signed as it stands, whether or not it is what the type asks for. */
const signed = (type: string, value: unknown, key: SigningKey, bytes = canonicalJson(value)) =>
  signEnvelope(`application/vnd.claviger.${type}+json`, bytes, [key])
const spaced = (value: unknown) => utf8(JSON.stringify(value, null, 1))
const otherPayload = (envelope: Envelope, changes: Members): Envelope => ({
  ...envelope,
  payload: Buffer.from(canonicalJson({ ...payloadOf(envelope), ...changes })).toString('base64'),
})

test('leases and beats', async () => {
  const broker = await newBroker()
  const key = broker.key
  const { key: stranger } = await generateSigningKey('Ed25519')
  broker.callers = [
    {
      pseudonym: callerPseudonym('alice', toBase64Url(randomBytes(32))),
      credentialHash: credentialHash(toBase64Url(randomBytes(32))),
      expiresAt: 1_782_592_000,
    },
  ]
  const { document } = await mintNode(broker)
  const lease = payloadOf(document.lease)
  const beat = payloadOf(document.beat)
  const of = async (name: string, expected: string, value: unknown, by = key) =>
    ({ name, kind: 'lease', expected, envelope: await signed('lease', value, by) }) as const
  const budget = (changes: Members) => ({ ...lease, budget: { ...lease.budget, ...changes } })
  const cases = [
    { name: 'a lease', kind: 'lease', expected: 'ok', envelope: document.lease },
    await of('a lease for any caller, without a declared place', 'ok', { ...lease, callers: 'any', declared: null }),
    { name: 'a beat', kind: 'beat', expected: 'ok', envelope: document.beat },
    await of('a lease by a key that is trusted for nothing', 'dsse/signer', lease, stranger),
    {
      name: 'a lease whose payload was changed',
      kind: 'lease',
      expected: 'crypto/signature',
      envelope: otherPayload(document.lease, { expiresAt: lease.expiresAt + 1 }),
    },
    { name: 'a beat in place of a lease', kind: 'lease', expected: 'dsse/type', envelope: document.beat },
    { name: 'a lease in place of a beat', kind: 'beat', expected: 'dsse/type', envelope: document.lease },
    await of('a lease without its callers', 'shape/missing', without(lease, 'callers')),
    await of('a lease that names a caller', 'shape/unknown', {
      ...lease,
      callers: [{ id: 'alice', ...lease.callers[0] }],
    }),
    await of('a lease with one member more', 'shape/unknown', { ...lease, unlimited: true }),
    await of('a lease for no request', 'shape/range', budget({ requests: 0 })),
    await of('a lease for no input', 'shape/range', budget({ inputBytes: 0 })),
    await of('a lease for no work', 'shape/range', budget({ workUnits: 0 })),
    await of('a lease that counts requests alone', 'shape/missing', { ...lease, budget: { requests: 100 } }),
    await of('a lease that ends at a text', 'shape/type', { ...lease, expiresAt: String(lease.expiresAt) }),
    await of('a lease of a broker that claims more than it is', 'shape/form', {
      ...lease,
      standing: 'TRUSTED BROKER',
    }),
    {
      name: 'a lease that is signed in another spelling',
      kind: 'lease',
      expected: 'json/canonical',
      envelope: await signed('lease', lease, key, spaced(lease)),
    },
    {
      name: 'a beat with half a nonce',
      kind: 'beat',
      expected: 'shape/form',
      envelope: await signed('beat', { ...beat, nonce: beat.nonce.slice(0, 21) }, key),
    },
  ]
  const { format } = read('lease')
  write('lease', { format, brokers: [key.publicKey], cases }, lease, beat)
})

test('receipts', async () => {
  const broker = await newBroker()
  const minted = await mintNode(broker)
  const key = minted.receiptKey
  const { key: stranger } = await generateSigningKey('Ed25519')
  const { format, request, response } = read('receipt') as { format: string; request: string; response: string }
  const file = await mintReceipt(minted)
  const { openings } = file
  const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
  const receipt = {
    ...payloadOf(file.receipt),
    request: commitBody('request', bytes(request), openings.request),
    response: commitBody('response', bytes(response), openings.response),
    usage: {
      requests: 1,
      inputBytes: request.length / 2,
      inputUnits: 5523,
      outputUnits: 24,
      unit: 'audio-ms-and-tokens',
    },
  }
  const refused = { requests: 0, inputBytes: 0, inputUnits: 0, outputUnits: 0, unit: 'none' }
  const of = async (name: string, expected: string, value: unknown, by = key) => ({
    name,
    expected,
    envelope: await signed('receipt', value, by),
  })
  const first = await of('a receipt', 'ok', receipt)
  const cases = [
    first,
    await of('a receipt of a refusal, without pay', 'ok', { ...receipt, status: 429, usage: refused }),
    await of('a receipt by another key', 'dsse/signer', receipt, stranger),
    {
      name: 'a receipt whose payload was changed',
      expected: 'crypto/signature',
      envelope: otherPayload(first.envelope, { status: 201 }),
    },
    await of('a receipt that does not say whether anybody was a caller', 'shape/missing', without(receipt, 'caller')),
    await of('a receipt with one member more', 'shape/unknown', { ...receipt, free: true }),
    await of('a receipt for two requests', 'shape/range', { ...receipt, usage: { ...receipt.usage, requests: 2 } }),
    await of('a receipt that does not say how much came in', 'shape/missing', {
      ...receipt,
      usage: without(receipt.usage, 'inputBytes'),
    }),
    await of('a receipt on a platform that is neither', 'shape/form', { ...receipt, platform: 'cloud' }),
    {
      name: 'a receipt in another spelling',
      expected: 'json/canonical',
      envelope: await signed('receipt', receipt, key, spaced(receipt)),
    },
  ]
  const shown = { receipt: first.envelope, openings }
  write('receipt', { format, key: key.publicKey, request, response, openings, cases }, receipt, shown)
})

test('node documents', async () => {
  const broker = await newBroker()
  const minted = await mintNode(broker)
  const fresh = await freshEvidence(minted, toBase64Url(randomBytes(32)))
  const example: NodeDocument = { ...minted.document, fresh }
  const { format, cases } = read('node-document') as {
    format: string
    cases: { name: string; [member: string]: unknown }[]
  }
  const renewed = cases.map((one) => {
    if (one.name === 'a budget below zero') return { ...one, path: ['budgetLeft', 'requests'] }
    if (one.name === 'one key in two roles')
      return { ...one, path: ['keyset', 'release'], value: example.keyset.request }
    return one
  })
  const leak = {
    name: 'a leak that nobody knows',
    path: ['config', 'leaks'],
    value: ['telepathy'],
    expected: 'shape/form',
  }
  const all = renewed.some((one) => one.name === leak.name) ? renewed : [...renewed, leak]
  write('node-document', { format, example, cases: all }, example)
})

test('statements whose form changed', async () => {
  const { key } = await generateSigningKey('Ed25519')
  const file = read('statements') as { cases: { name: string; envelope: Envelope; [member: string]: unknown }[] }
  const of = (name: string) => payloadOf(file.cases.find((one) => one.name === name)!.envelope)
  const head = { tenant: key.id }
  const trust = { ...of('a trust statement'), ...head, class: 'development' }
  const model = `${key.id}/whisper`
  const budget = { requests: 100_000, inputBytes: 100_000_000_000, workUnits: 1_000_000_000_000 }
  const registration = {
    ...of('a registration statement'),
    ...head,
    model,
    lease: { seconds: 3600, budget, nodes: 10 },
  }
  const one = async (name: string, kind: string, expect: string, value: unknown) => {
    return { name, kind, keys: [key.publicKey], current: null, envelope: await signed(kind, value, key), expect }
  }
  const renewed = [
    await one('a trust statement', 'trust', 'ok', trust),
    await one('a registration statement', 'registration', 'ok', registration),
    await one('a trust statement of no class', 'trust', 'shape/missing', without(trust, 'class')),
    await one('a registration without a budget', 'registration', 'shape/missing', {
      ...registration,
      lease: { seconds: 3600, nodes: 10 },
    }),
    await one('a registration that counts requests alone', 'registration', 'shape/missing', {
      ...registration,
      lease: { seconds: 3600, budget: { requests: 100_000 }, nodes: 10 },
    }),
  ]
  const kept = file.cases.map((old) => renewed.find(({ name }) => name === old.name) ?? old)
  const added = renewed.filter(({ name }) => !file.cases.some((old) => old.name === name))
  write('statements', { ...file, cases: [...kept, ...added] })
})

test('statements of a host', async () => {
  const { key } = await generateSigningKey('Ed25519')
  const { key: stranger } = await generateSigningKey('ES256')
  const place = { country: 'DE' }
  const operator = { legalName: 'Example GmbH', country: 'DE' }
  const said = { type: 'claviger/statement/host/v1', host: 'node-1', place, operator, issuedAt: 1_780_000_000 }
  const of = async (name: string, expected: string, value: unknown, by = key, shown = key) =>
    ({ name, expected, declaration: { statement: await signed('host', value, by), key: shown.publicKey } }) as const
  const whole = await of('place and operator', 'ok', said)
  const statement = { ...whole.declaration.statement, payloadType: 'application/vnd.claviger.policy+json' }
  const cases = [
    whole,
    await of('nothing stated but a name', 'ok', { ...said, place: null, operator: null }),
    await of('by an ES256 key', 'ok', said, stranger, stranger),
    await of('beside another key than the one that signed', 'dsse/signer', said, stranger),
    {
      name: 'another place under the same signature',
      expected: 'crypto/signature',
      declaration: {
        ...whole.declaration,
        statement: otherPayload(whole.declaration.statement, { place: { country: 'FR' } }),
      },
    },
    { name: 'an envelope of another kind', expected: 'dsse/type', declaration: { ...whole.declaration, statement } },
    await of('no place, and not null either', 'shape/missing', without(said, 'place')),
    await of('a grade that the host gives itself', 'shape/unknown', { ...said, grade: 'L3' }),
    await of('a country in small letters', 'shape/form', { ...said, place: { country: 'de' } }),
    await of('an operator without a country', 'shape/missing', { ...said, operator: { legalName: 'Example GmbH' } }),
    await of('another version', 'shape/form', { ...said, type: 'claviger/statement/host/v2' }),
    {
      name: 'signed with spaces',
      expected: 'json/canonical',
      declaration: { statement: await signed('host', said, key, spaced(said)), key: key.publicKey },
    },
  ]
  for (const { name, expected, declaration } of cases) {
    const { statement: envelope, key: by } = declaration
    expect([name, await codeOfPromise(verifyHostStatement(envelope, by))]).toEqual([name, expected])
  }
  write('host-statement', { format: 'docs/spec/host-statement.md', cases }, whole.declaration, said)
})

interface BundleVectors {
  readonly description: string
  readonly cases: readonly { readonly name: string; readonly change?: Members }[]
}
/** The cases that stand there, with the values that belong to another bundle. */
function casesWith(format: string, values: Members): BundleVectors {
  const { description, cases } = read(format) as BundleVectors
  const renew = (one: BundleVectors['cases'][number]) =>
    Object.hasOwn(values, one.name) ? { ...one, change: { ...one.change, value: values[one.name] } } : one
  return { description, cases: cases.map(renew) }
}

/** A reader who believes this broker and owner. */
async function readersTrust({ test, owner }: Registered): Promise<Trust> {
  const { broker, testLog, verifier } = test
  return {
    ...trustIn(await newBroker()),
    name: 'example',
    issuedAt: startTime,
    expiresAt: startTime + 90 * 86_400,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker.example', key: broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [{ alias: 'verifier.example', key: verifier.publicKey }],
    logs: [testLog.vkey],
    witnessPolicy: testLog.quorumPolicy,
    independentWitnesses: ['w0'],
    runtimes: [{ title: 'runtime 0.1.0', values: testReferenceValues() }],
  }
}

async function verified(bundle: unknown, trust: Trust): Promise<void> {
  const verdict = await judgeBundle(asJson(bundle), trust)
  if (!verdict.ok) throw verdict.failure
}
const { open } = anyDatabase()

test('a bundle of a denial, and the trust file under which it verifies', async () => {
  const policy = '@id("place") permit (principal, action, resource) when { context.place.country == "DE" };'
  const chain = await registered(await open(), { policy })
  await ask(chain, await testNode(chain, { host: { country: 'FR' } }))
  const bundle = (await bundleAt(chain.test.broker, 5, null)) as Bundle
  await chain.test.close()
  const trust = await readersTrust(chain)
  await verified(bundle, trust)
  const report = Buffer.from((bundle.request.evidence as { report: string }).report, 'base64')
  report[0x90]! ^= 1
  const { description, cases } = casesWith('bundle', {
    'another time': bundle.at + 1,
    'another opening': toBase64Url(randomBytes(32)),
    'evidence changed': report.toString('base64'),
    'another keyset': bundle.request.keyset.notAfter + 1,
    'request with an id': toHex(randomBytes(16)),
  })
  write('bundle', { description, trust, bundle, cases }, bundle)
  const file = await signTrust(trust, (await generateSigningKey('ES256')).key)
  expect((await verifyTrustFile(file, null, trust.issuedAt)).trust).toEqual(trust)
  const old = read('trust-file') as { cases: { at: number }[]; file: { trust: Envelope } }
  const { issuedAt } = payloadOf(old.file.trust)
  const moved = old.cases.map((one) => ({ ...one, at: one.at - issuedAt + trust.issuedAt }))
  write('trust-file', { ...old, file, cases: moved }, file, trust)
})

test('bundles of a change and of a model key by KBS', async () => {
  const chain = await registered(await open(), { registration: { delivery: ['v1', 'kbs'] } })
  await change(chain, 'policy', { name: 'test', language: 'cedar', text: `${permitAll} // again` })
  const { get } = await guest(chain)
  expect((await get(pathOf(chain))).status).toBe(200)
  const [state, kbs] = [await bundleAt(chain.test.broker, 5, null), await bundleAt(chain.test.broker, 6, null)]
  await chain.test.close()
  const trust = await readersTrust(chain)
  const flipped = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
  for (const [format, bundle] of [
    ['state-bundle', state as StateBundle],
    ['kbs-bundle', kbs as KbsBundle],
  ] as const) {
    await verified(bundle, trust)
    const { description, cases } = casesWith(format, {
      'another time': bundle.at + 1,
      'another opening': toBase64Url(randomBytes(32)),
      ...(bundle.type === 'claviger/state-bundle/v1'
        ? { 'one bit of the signature changed': flipped(bundle.statement.signatures[0]!.sig) }
        : { 'another version': bundle.resource.replace(/1$/, '2') }),
    })
    write(format, { description, trust, bundle, cases }, bundle)
  }
})
