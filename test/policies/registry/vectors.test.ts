import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { parseTime } from '#core/time.js'
import type { Registry, RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf, type PlaceAsked } from '#policies/registry/resolve.js'
import { registryPayloadType, verifyRegistry } from '#policies/registry/signed.js'

type Place = Omit<PlaceAsked, 'at'>
interface Case {
  readonly name: string
  readonly envelope: Envelope
  readonly keys: readonly SignatureJwk[]
  readonly threshold: number
  readonly at: number
  readonly place: Place
  readonly expect: string
  readonly codes?: readonly string[]
}

const path = 'test/vectors/jurisdiction-registry/cases.json'
// With CLAVIGER_MINT_VECTORS naming them, cases made in this run take the place of the ones in the repository.
const minted = (process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('jurisdiction-registry')
if (minted) {
  mkdirSync('test/vectors/jurisdiction-registry', { recursive: true })
  writeFileSync(path, `${JSON.stringify({ cases: await mint() }, null, 1)}\n`)
}
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly Case[] }

async function outcome(one: Case): Promise<Pick<Case, 'expect' | 'codes'>> {
  try {
    const envelope = envelopeShape(one.envelope as never, 'envelope')
    const { document: registry } = await verifyRegistry(envelope, { keys: one.keys, threshold: one.threshold }, one.at)
    return { expect: 'ok', codes: jurisdictionsOf(registry, { ...one.place, at: one.at }).codes }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { expect: error.code }
  }
}

describe('vectors of jurisdiction registries', () => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const { expect: code, codes } = one
    expect(await outcome(one)).toEqual(code === 'ok' ? { expect: code, codes } : { expect: code })
  })

  test('raise every code that a document, a time or a place can', () => {
    const codes = new Set(cases.map((one) => one.expect))
    const wanted = ['row', 'threshold', 'not-yet-valid', 'expired', 'unknown', 'disputed'].map(
      (one) => `registry/${one}`,
    )
    expect([...codes]).toEqual(
      expect.arrayContaining(['ok', 'dsse/type', 'dsse/signer', 'crypto/signature', ...wanted]),
    )
  })
})

async function mint(): Promise<readonly Case[]> {
  const at = parseTime('2026-06-01T00:00:00Z')!
  const row = { condition: null, from: '1994-01-01T00:00:00Z', to: null, act: 'an act', checked: 'act' } as const
  const content: RegistryContent = {
    countries: ['BR', 'ES', 'FR', 'US'],
    areas: [
      { code: 'ES-CE', name: 'Ceuta', within: 'ES', exclave: true, disputed: false },
      { code: 'FR-X', name: 'disputed in this example', within: 'FR', exclave: false, disputed: true },
    ],
    groups: ['EEA', 'ADEQUATE', 'EEA_OR_ADEQUATE'].map((code) => ({ code, title: code })),
    conditions: [{ name: 'dpf', title: 'certified' }],
    memberships: [
      { ...row, member: 'ES', group: 'EEA' },
      { ...row, member: 'FR', group: 'EEA' },
      { ...row, member: 'BR', group: 'ADEQUATE', from: '2026-05-30T00:00:00Z' },
      { ...row, member: 'US', group: 'ADEQUATE', from: '2023-07-10T00:00:00Z', condition: 'dpf' },
      { ...row, member: 'US', group: 'ADEQUATE', from: '2016-07-12T00:00:00Z', to: '2020-07-16T00:00:00Z' },
      { ...row, member: 'EEA', group: 'EEA_OR_ADEQUATE' },
      { ...row, member: 'ADEQUATE', group: 'EEA_OR_ADEQUATE' },
    ],
    ignoredEnclaves: [],
    lists: [],
  }
  const type = 'claviger/jurisdiction-registry/v1'
  const header = {
    type,
    name: 'law',
    version: 1,
    issuedAt: at - 864_000,
    validUntil: at + 864_000,
    previousDigest: null,
  } as const
  const registry: Registry = { ...header, ...content }
  const [a, b, c] = await Promise.all([1, 2, 3].map(async () => (await generateSigningKey('Ed25519')).key))
  const keys = [a!.publicKey, b!.publicKey]
  const sealed = (of: unknown, by = [a!, b!], payloadType = registryPayloadType) =>
    signEnvelope(payloadType, canonicalJson(of), by)
  const good = await sealed(registry)
  const fr: Place = { code: 'FR', exclave: false, shown: [] }
  const made = (name: string, change: Partial<Case>): Case => ({
    name,
    envelope: good,
    keys,
    threshold: 2,
    at,
    place: fr,
    expect: '',
    ...change,
  })
  const place = (code: string, more: Partial<Place> = {}) => ({ place: { ...fr, code, ...more } })
  const broken = { ...good.signatures[0]!, sig: good.signatures[1]!.sig }
  const all = [
    made('a Member State', {}),
    made('a country whose decision is in its time', place('BR')),
    made('a country whose decision is not there yet', { ...place('BR'), at: header.issuedAt }),
    made('a country under a condition that was not shown', place('US')),
    made('a country under a condition that was shown', place('US', { shown: ['dpf'] })),
    made('an exclave by its own code', place('ES-CE', { exclave: true })),
    made('an exclave by its country alone', place('ES', { exclave: true })),
    made('a country that is not listed', place('GB')),
    made('a group, which is no place', place('EEA')),
    made('a disputed place', place('FR-X')),
    made('one signature of two', { envelope: await sealed(registry, [a!]) }),
    made('one signature of two and a stranger', { envelope: await sealed(registry, [a!, c!]) }),
    made('one signature twice', { envelope: { ...good, signatures: [good.signatures[0]!, good.signatures[0]!] } }),
    made('a stranger alone', { envelope: await sealed(registry, [c!]) }),
    made('a signature of another key', { envelope: { ...good, signatures: [broken, good.signatures[1]!] } }),
    made('another payload type', { envelope: await sealed(registry, [a!, b!], 'application/json') }),
    made('before its time', { at: header.issuedAt - 61 }),
    made('at its end', { at: header.validUntil }),
    made('a country twice', { envelope: await sealed({ ...registry, countries: [...content.countries, 'FR'] }) }),
    made('a group that contains itself', {
      envelope: await sealed({
        ...registry,
        memberships: [...content.memberships, { ...row, member: 'EEA_OR_ADEQUATE', group: 'EEA' }],
      }),
    }),
    made('a member that nobody knows', { envelope: await sealed({ ...registry, more: 1 }) }),
    made('a date that does not exist', {
      envelope: await sealed({
        ...registry,
        memberships: [{ ...row, member: 'FR', group: 'EEA', from: '2025-02-29T00:00:00Z' }],
      }),
    }),
  ]
  // The rule is written down in registry.test.ts, by hand; a vector says what it makes of bytes.
  return Promise.all(all.map(async (one) => ({ ...one, ...(await outcome(one)) })))
}
