/** Issuers, a directory and a registry for tests of credentials. */
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Json } from '#core/encoding/json.js'
import { issueSdJwt } from '#core/sd-jwt.js'
import { parseTime } from '#core/time.js'
import { type StatusList, signStatusList, withStatus } from '#core/wire/status-list.js'
import type { IssuerDirectory } from '#policies/credentials/directory.js'
import { type CredentialKind, disclosableOf } from '#policies/credentials/kinds.js'
import { type CredentialContext, credentialTyp } from '#policies/credentials/verify.js'
import { shippedContent } from '#policies/registry/shipped/read.js'

export const at = parseTime('2026-06-01T00:00:00Z')!
export const uri = 'https://issuer.example/status/1'
export const company = 'LEI:529900T8BM49AURSDO55'

export interface Issuers {
  readonly auditor: SigningKey
  readonly indian: SigningKey
  readonly holder: SigningKey
  readonly directory: IssuerDirectory
}

export async function makeIssuers(): Promise<Issuers> {
  const keys = await Promise.all([1, 2, 3].map(async () => (await generateSigningKey('ES256')).key))
  const [auditor, indian, holder] = keys as [SigningKey, SigningKey, SigningKey]
  const directory: IssuerDirectory = {
    type: 'claviger/issuer-directory/v1',
    name: 'issuers',
    version: 1,
    issuedAt: at - 86_400,
    validUntil: at + 86_400,
    previousDigest: null,
    issuers: [
      {
        id: 'french-auditor',
        title: 'An auditor',
        controlledBy: 'LEI:AUDITOR',
        keys: [auditor.publicKey],
        roles: [
          { kind: 'operator-control', areas: ['EEA'] },
          { kind: 'facility', areas: ['FR'] },
          { kind: 'platform-placement', areas: ['EU'] },
          { kind: 'staff-eligibility', areas: [] },
        ],
      },
      {
        id: 'indian-authority',
        title: 'An authority',
        controlledBy: null,
        keys: [indian.publicKey],
        roles: [
          { kind: 'export-clearance', areas: ['IN'] },
          { kind: 'usage-grant', areas: ['IN'] },
        ],
      },
    ],
  }
  return { auditor, indian, holder, directory }
}

const bodies: Readonly<Record<CredentialKind, { readonly [name: string]: Json }>> = {
  'operator-control': {
    legalName: 'Exemple SA',
    ids: [company],
    seat: 'FR',
    controllers: [
      { country: 'FR', shareBp: 7600, veto: false },
      { country: 'US', shareBp: 2400, veto: false },
    ],
    certifications: [
      { scheme: 'secnumcloud', level: '3.2', id: 'no 7', exp: at + 1000 },
      { scheme: 'c5', level: 'type2', id: 'no 8', exp: at - 1 },
    ],
    ual: 3,
  },
  facility: { facility: 'par-1', operators: [company], area: 'FR', exclave: false, visitedAt: at - 1000 },
  'platform-placement': { platform: 'ab'.repeat(32), facility: 'par-1', area: 'FR', exclave: false, seenAt: at - 1000 },
  'staff-eligibility': { person: 'cd'.repeat(32), employer: company, predicates: ['union-citizen', 'union-resident'] },
  'export-clearance': { operators: [company], label: 'frontier', by: 'IN', destinations: ['EEA', 'JP'] },
  'usage-grant': { licensees: [company], model: `${'A'.repeat(43)}/whisper`, purposes: ['care'], quota: 100 },
}

/** A credential with this change; `undefined` takes a member away. */
export async function issued(
  issuers: Issuers,
  kind: CredentialKind,
  change: { readonly [name: string]: Json | undefined } = {},
  key?: SigningKey,
): Promise<string> {
  const claims: { readonly [name: string]: Json | undefined } = {
    vct: `urn:claviger:vct:${kind}:1`,
    iat: at - 1000,
    exp: at + 3600,
    cnf: { jwk: { ...issuers.holder.publicKey } },
    status: { status_list: { idx: 7, uri } },
    ...bodies[kind],
    ...change,
  }
  const given = Object.fromEntries(Object.entries(claims).filter((one): one is [string, Json] => one[1] !== undefined))
  const of = kind === 'export-clearance' || kind === 'usage-grant' ? issuers.indian : issuers.auditor
  let salted = 0
  return issueSdJwt({
    key: key ?? of,
    typ: credentialTyp,
    claims: given,
    disclosable: disclosableOf[kind].filter((name) => name.replace('[]', '') in given),
    salt: () => new Uint8Array(16).fill(++salted),
  })
}

export async function listToken(
  key: SigningKey,
  change: Partial<StatusList> = {},
  values: readonly [number, number][] = [],
) {
  let list: StatusList = {
    uri,
    bits: 2,
    bytes: new Uint8Array(1000),
    issuedAt: at - 60,
    expiresAt: at + 600,
    ...change,
  }
  for (const [place, value] of values) list = withStatus(list, place, value)
  return signStatusList(list, key)
}

/** What a reader knows, with the list of the auditor; `lists` takes its place. */
export async function contextOf(issuers: Issuers, change: Partial<CredentialContext> = {}): Promise<CredentialContext> {
  const statusLists = new Map([[uri, await listToken(issuers.auditor)]])
  return { directory: issuers.directory, registry: shippedContent(), at, statusLists, presented: null, ...change }
}
