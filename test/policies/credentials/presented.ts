/** An owner's sources, and credentials that a host presents under them. */
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Json } from '#core/encoding/json.js'
import { presentSdJwt } from '#core/sd-jwt.js'
import type { Presented } from '#core/wire/sources.js'
import type { Statement } from '#core/wire/statements.js'
import { type IssuerDirectory, signDirectory } from '#policies/credentials/directory.js'
import type { EstablishInput } from '#policies/credentials/establish.js'
import type { CredentialKind } from '#policies/credentials/kinds.js'
import { platformName } from '#policies/credentials/platform.js'
import { noBorders } from '#policies/location/borders.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { signRegistry } from '#policies/registry/signed.js'
import { at, type Issuers, issued, listToken, makeIssuers } from './fixtures.js'

export const salt = 'salt-of-the-registry-of-placements'
export type SourcesBody = Pick<
  Statement<'sources'>,
  'registry' | 'directory' | 'landmarks' | 'inside' | 'placementSalt' | 'statusSeconds' | 'cleared'
>

export interface SourcesWorld extends Issuers {
  readonly keeper: SigningKey
  readonly body: SourcesBody
}

export async function makeSources(
  options: { now?: number; content?: RegistryContent; directory?: (one: IssuerDirectory) => IssuerDirectory } = {},
): Promise<SourcesWorld> {
  const now = options.now ?? at
  const issuers = await makeIssuers()
  const { key: keeper } = await generateSigningKey('ES256')
  const header = { version: 1, issuedAt: now - 60, validUntil: now + 86_400, previousDigest: null }
  const content = options.content ?? shippedContent()
  const registry = { ...content, ...header, type: 'claviger/jurisdiction-registry/v1', name: 'law' } as const
  const given = { ...issuers.directory, ...header }
  const kept = { keepers: [keeper.publicKey], threshold: 1 }
  const body = {
    registry: { ...kept, document: await signRegistry(registry, [keeper]) },
    directory: { ...kept, document: await signDirectory(options.directory?.(given) ?? given, [keeper]) },
    inside: 'EU',
    placementSalt: salt,
    statusSeconds: 3600,
    landmarks: undefined,
    cleared: undefined,
  }
  return { ...issuers, keeper, body }
}

export interface Shown {
  readonly kind: CredentialKind
  readonly change?: { readonly [name: string]: Json | undefined }
  readonly show?: readonly string[]
  readonly key?: SigningKey
}

const disclosed: Partial<Record<CredentialKind, readonly string[]>> = {
  'operator-control': ['controllers', 'certifications', 'ual'],
  'staff-eligibility': ['union-citizen', 'union-resident'],
}

/** Credentials with the lists of both issuers, bound to what a request answers. */
export async function presentAll(
  world: SourcesWorld,
  to: { readonly audience: string; readonly nonce: string; readonly now?: number; readonly platformId?: string },
  shown: readonly Shown[],
  lists?: readonly string[],
): Promise<Presented> {
  const now = to.now ?? at
  const credentials = []
  for (const { kind, change, show, key } of shown) {
    const own =
      kind === 'platform-placement'
        ? { platform: platformName(to.platformId ?? platformId, salt), seenAt: now - 500 }
        : {}
    const time = { iat: now - 1000, exp: now + 3600 }
    const uri = kind === 'export-clearance' || kind === 'usage-grant' ? indianUri : undefined
    const status = uri === undefined ? {} : { status: { status_list: { idx: 7, uri } } }
    const sdJwt = await issued(world, kind, { ...time, ...own, ...status, ...change }, key)
    const binding = { holder: world.holder, audience: to.audience, nonce: to.nonce, at: now }
    credentials.push(await presentSdJwt({ sdJwt, show: show ?? disclosed[kind] ?? [], ...binding }))
  }
  const time = { issuedAt: now - 60, expiresAt: now + 600 }
  const own = [await listToken(world.auditor, time), await listToken(world.indian, { ...time, uri: indianUri })]
  return { credentials, statusLists: lists ?? own, timed: undefined }
}

const indianUri = 'https://authority.example/status/1'
export const platformId = '12'.repeat(64)
export const model = `${'o'.repeat(43)}/whisper`
export const audience = 'broker'
export const nonce = 'a digest of the binding'

export function inputOf(world: SourcesWorld, change: Partial<EstablishInput> = {}): EstablishInput {
  const head = { tenant: 'o'.repeat(43), sequence: 1, previous: null, issuedAt: at }
  return {
    sources: { type: 'claviger/statement/sources/v1', ...head, ...world.body },
    presented: undefined,
    audience,
    nonce,
    platformId,
    model,
    timeable: { landmarkKey: null, keysetDigest: 'ab'.repeat(32), challenge: 'A'.repeat(43), lease: null },
    borders: noBorders,
    declared: null,
    at,
    ...change,
  }
}
