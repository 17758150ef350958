import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { presentSdJwt } from '#core/sd-jwt.js'
import { type IssuerDirectory, readDirectory } from '#policies/credentials/directory.js'
import { credentialKinds } from '#policies/credentials/kinds.js'
import { type CredentialContext, verifyCredential } from '#policies/credentials/verify.js'
import { type RegistryContent, registryContentShape } from '#policies/registry/document.js'
import { at, issued, listToken, makeIssuers, uri } from '#test/policies/credentials/fixtures.js'

interface Case {
  readonly name: string
  readonly credential: string
  readonly statusLists: readonly (readonly [string, string])[]
  readonly at: number
  readonly presented: CredentialContext['presented']
  readonly expect: string
  readonly kind?: string
  readonly claims?: { readonly [name: string]: Json }
}
interface File {
  readonly directory: IssuerDirectory
  readonly registry: RegistryContent
  readonly cases: readonly Case[]
}

const path = 'test/vectors/credentials/cases.json'
// With CLAVIGER_MINT_VECTORS naming them, cases made in this run take the place of the ones in the repository.
if ((process.env.CLAVIGER_MINT_VECTORS ?? '').split(',').includes('credentials')) {
  mkdirSync('test/vectors/credentials', { recursive: true })
  writeFileSync(path, `${JSON.stringify(await mint(), null, 1)}\n`)
}
const file = JSON.parse(readFileSync(path, 'utf8')) as File

async function outcome(one: Case, of: File): Promise<Pick<Case, 'expect' | 'kind' | 'claims'>> {
  try {
    const { kind, claims } = await verifyCredential(one.credential, {
      directory: readDirectory(canonicalJson(of.directory)),
      registry: registryContentShape(parseJson(canonicalJson(of.registry)), 'registry'),
      at: one.at,
      statusLists: new Map(one.statusLists),
      presented: one.presented,
    })
    return { expect: 'ok', kind, claims: claims as never }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { expect: error.code }
  }
}

describe('vectors of credentials', () => {
  test.each(file.cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const { expect: code, kind, claims } = one
    expect(await outcome(one, file)).toEqual(code === 'ok' ? { expect: code, kind, claims } : { expect: code })
  })

  test('raise every code that a credential, a list or a presentation can, and accept every kind', () => {
    const codes = file.cases.map((one) => one.expect)
    for (const code of ['issuer', 'kind', 'not-yet-valid', 'expired', 'scope', 'status-unknown', 'revoked'])
      expect(codes).toContain(`credential/${code}`)
    expect(codes).toEqual(
      expect.arrayContaining(['sd-jwt/form', 'sd-jwt/disclosure', 'sd-jwt/binding', 'registry/unknown']),
    )
    expect([...new Set(file.cases.flatMap(({ kind }) => kind ?? []))].sort()).toEqual([...credentialKinds].sort())
  })
})

async function mint(): Promise<File> {
  const issuers = await makeIssuers()
  const { auditor, indian, holder, directory } = issuers
  const row = { condition: null, from: '1994-01-01T00:00:00Z', to: null, act: 'an act', checked: 'act' } as const
  const registry: RegistryContent = {
    countries: ['DE', 'FR', 'IN', 'US'],
    areas: [],
    groups: ['EEA', 'EU'].map((code) => ({ code, title: code })),
    conditions: [],
    memberships: ['DE', 'FR'].flatMap((member) => ['EU', 'EEA'].map((group) => ({ ...row, member, group }))),
    ignoredEnclaves: [],
    lists: [],
  }
  const lists = { auditor: await listToken(auditor), indian: await listToken(indian) }
  const made = (name: string, credential: string, change: Partial<Case> = {}): Case => ({
    name,
    credential,
    statusLists: [[uri, lists.auditor]],
    at,
    presented: null,
    expect: '',
    ...change,
  })
  const facility = await issued(issuers, 'facility')
  const staff = await issued(issuers, 'staff-eligibility')
  const presented = { audience: 'broker', nonce: 'n', ageSecondsMax: 60 }
  const shown = await presentSdJwt({
    sdJwt: staff,
    show: ['union-citizen'],
    holder,
    audience: 'broker',
    nonce: 'n',
    at,
  })
  const withList = async (...args: Parameters<typeof listToken>) => ({
    statusLists: [[uri, await listToken(...args)]] as const,
  })
  const { key: stranger } = await generateSigningKey('ES256')
  const [jwt, first, second] = staff.split('~') as [string, string, string]
  const cases: Case[] = [
    made('operator', await issued(issuers, 'operator-control')),
    made('facility', facility),
    made('placement', await issued(issuers, 'platform-placement')),
    made('staff', staff),
    made('clearance', await issued(issuers, 'export-clearance'), { statusLists: [[uri, lists.indian]] }),
    made('grant', await issued(issuers, 'usage-grant'), { statusLists: [[uri, lists.indian]] }),
    made('one predicate of two, presented', shown, { presented }),
    made('nothing disclosed', `${jwt}~`),
    made('presented to another reader', shown, { presented: { ...presented, audience: 'other' } }),
    made('presented for another nonce', shown, { presented: { ...presented, nonce: 'm' } }),
    made('presented too long ago', shown, { presented, at: at + 61 }),
    made('not presented', staff, { presented }),
    made('presented with a disclosure more', `${jwt}~${first}~${second}~${shown.split('~')[2]}`, { presented }),
    made('a disclosure twice', `${jwt}~${first}~${first}~`),
    made('a disclosure of another credential', `${facility}${first}~`),
    made('no tilde', jwt),
    made('by a stranger', await issued(issuers, 'facility', {}, stranger)),
    made('of a kind that its issuer may not', await issued(issuers, 'export-clearance', {}, auditor)),
    made('of a country that its issuer may not', await issued(issuers, 'facility', { area: 'DE' })),
    made('of a country that nobody knows', await issued(issuers, 'facility', { area: 'XX' })),
    made('of an unknown kind', await issued(issuers, 'facility', { vct: 'urn:claviger:vct:facility:2' })),
    made('with a member more', await issued(issuers, 'facility', { more: 1 })),
    made('without a holder', await issued(issuers, 'facility', { cnf: undefined })),
    made('from tomorrow', await issued(issuers, 'facility', { nbf: at + 86_400 })),
    made('that is over', await issued(issuers, 'facility', { exp: at })),
    made('revoked', facility, await withList(auditor, {}, [[7, 1]])),
    made('suspended', facility, await withList(auditor, {}, [[7, 2]])),
    made('whose neighbour is revoked', facility, await withList(auditor, {}, [[6, 1]])),
    made('without a status list', facility, { statusLists: [] }),
    made('with a stale status list', facility, await withList(auditor, { expiresAt: at })),
    made("with another issuer's status list", facility, await withList(indian)),
    made('beyond the end of its status list', facility, await withList(auditor, { bytes: new Uint8Array(1) })),
  ]
  const of = { directory, registry, cases }
  // What each should be is written down in credentials.test.ts, by hand; a vector says what it makes of bytes.
  return { ...of, cases: await Promise.all(cases.map(async (one) => ({ ...one, ...(await outcome(one, of)) }))) }
}
