import { toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import {
  base64,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import {
  accessAuthoritiesMax,
  accessClaimsMax,
  accessIdentitiesMax,
  accessRequestsPerMinuteMax,
  certificateSizeMax,
} from '#core/limits.js'
import { nameShape, timeShape } from '#core/wire/names.js'

/** Failures of an access list that has the right form and makes no sense. */
export type AccessListCode =
  /** an identity that would be everybody's: no subject and no claim, or a `*` in it */
  | 'access/wildcard'
  /** a name twice, a time that ends before it begins, an issuer that is no plain https address, an authority that is not listed */
  | 'access/list'

/** What an identity may do stands in keybroker/access/roles.ts; none of them replaces the owner's signature (I18). */
export const accessRoleShape = oneOf('owner', 'host', 'auditor')
export type AccessRole = Shaped<typeof accessRoleShape>

/** Text of somebody else's naming, compared letter for letter. */
const subjectShape = string({ max: 255, form: /^[^\p{Cc}]+$/u })

const apiKeyProof = object({
  kind: literal('api-key'),
  /** SHA-256 of the key's text (`apiKeyHash`) */
  hash: hex(32),
})
const oidcProof = object({
  kind: literal('oidc'),
  /** https, no query and no fragment: letter for letter what tokens say in `iss` */
  issuer: string({ max: 255, form: /^https:\/\/[^\s?#]+$/ }),
  audience: subjectShape,
  /** what tokens say in `sub`; null where claims alone say who it is */
  subject: nullable(subjectShape),
  /** each must be there: as this text, or as a list of texts that has it */
  claims: list(object({ name: nameOfClaim(), value: subjectShape }), { max: accessClaimsMax }),
})
const certificateProof = object({
  kind: literal('certificate'),
  /** one of the list's authorities */
  authority: nameShape,
  name: object({ type: oneOf('dns', 'uri', 'email', 'common-name'), value: subjectShape }),
})

function nameOfClaim(): Shape<string> {
  return string({ max: 100, form: /^[A-Za-z0-9_:/.-]+$/ })
}

const proofShapes = { 'api-key': apiKeyProof, oidc: oidcProof, certificate: certificateProof } as const
const proofKind = oneOf('api-key', 'oidc', 'certificate')
export type AccessProof = Shaped<(typeof proofShapes)[keyof typeof proofShapes]>

/** By its kind, so that what is wrong with a proof is told of that kind. */
const proofShape: Shape<AccessProof> = (value, path) => {
  const isObject = value !== null && typeof value === 'object' && !Array.isArray(value)
  const kind = proofKind(isObject ? (value as { readonly kind?: Json }).kind : undefined, `${path}.kind`)
  return proofShapes[kind](value, path)
}

export const accessIdentityShape = object({
  id: nameShape,
  role: accessRoleShape,
  notBefore: timeShape,
  /** from this second on it counts no more */
  expiresAt: timeShape,
  proof: proofShape,
})
export type AccessIdentity = Shaped<typeof accessIdentityShape>

/** The members of an access list beside those of every statement. It is the whole list: who is left out has no access. */
export const accessMembers = {
  identities: list(accessIdentityShape, { max: accessIdentitiesMax }),
  /** roots whose client certificates are taken, in whole: base64 of DER */
  authorities: list(object({ name: nameShape, certificate: base64(undefined, certificateSizeMax) }), {
    max: accessAuthoritiesMax,
  }),
  /** of all identities together */
  requestsPerMinute: integer({ min: 1, max: accessRequestsPerMinuteMax }),
} as const
export type AccessList = {
  readonly identities: readonly AccessIdentity[]
  readonly authorities: readonly { readonly name: string; readonly certificate: string }[]
  readonly requestsPerMinute: number
}

/**
 * Returns only when each identity is somebody: none is everybody, no name is there twice, and what it refers to is listed.
 *
 * throws  access/wildcard, access/list
 */
export function verifyAccessList({ identities, authorities }: AccessList): void {
  verifyOnce('identity', identities, ({ id }) => id)
  verifyOnce('authority', authorities, ({ name }) => name)
  const keys = identities.flatMap(({ proof }) => (proof.kind === 'api-key' ? [proof.hash] : []))
  verifyOnce('API key', keys, (hash) => hash)
  for (const identity of identities) {
    if (identity.expiresAt <= identity.notBefore) throw refuse(`identity ${identity.id} ends before it begins`)
    verifyProof(identity, authorities)
  }
}

function refuse(message: string): Failure<AccessListCode> {
  return new Failure<AccessListCode>('access/list', message)
}

function verifyOnce<T>(what: string, all: readonly T[], nameOf: (one: T) => string): void {
  const seen = new Set<string>()
  for (const one of all) {
    const name = nameOf(one)
    if (seen.has(name)) throw refuse(`${what} ${name} stands there twice`)
    seen.add(name)
  }
}

function verifyProof({ id, proof }: AccessIdentity, authorities: AccessList['authorities']): void {
  if (proof.kind === 'api-key') return
  if (proof.kind === 'certificate') {
    verifyNoWildcard(id, [proof.name.value])
    if (authorities.some(({ name }) => name === proof.authority)) return
    throw refuse(`identity ${id} names authority ${proof.authority}, which is not listed`)
  }
  verifyNoWildcard(id, [proof.audience, proof.subject ?? '', ...proof.claims.map(({ value }) => value)])
  if (proof.subject === null && proof.claims.length === 0)
    throw new Failure<AccessListCode>('access/wildcard', `identity ${id} has no subject and no claim`, {
      detail: { hint: 'it would be everybody whom that issuer knows: name a subject, or a claim such as a group' },
    })
  verifyIssuer(id, proof.issuer)
}

function verifyNoWildcard(id: string, texts: readonly string[]): void {
  if (!texts.some((text) => text.includes('*'))) return
  throw new Failure<AccessListCode>('access/wildcard', `identity ${id} has a * in its name`, {
    detail: { hint: 'names are compared letter for letter, and nothing stands for everybody: name each one' },
  })
}

/** A host, a port perhaps and a path: one spelling for each, and no password. */
function verifyIssuer(id: string, issuer: string): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : null
  const spelled = url && [url.href, url.href.replace(/\/$/, '')]
  if (url?.protocol === 'https:' && url.username === '' && url.password === '' && spelled?.includes(issuer)) return
  throw refuse(`identity ${id} names an issuer that is no plain https address`)
}

/** What every API key begins with, so that a search through files finds one that was left there. */
export const apiKeyPrefix = 'claviger_key_'
/** The text of an API key: the prefix, and base64url of 32 random bytes. */
export const apiKeyForm = /^claviger_key_[A-Za-z0-9_-]{43}$/

/** A new API key. random: 32 random bytes */
export function encodeApiKey(random: Uint8Array): string {
  return `${apiKeyPrefix}${toBase64Url(random)}`
}

/** What the owner's list keeps of an API key. It has 256 random bits: a slow hash would add nothing. */
export function apiKeyHash(key: string): string {
  return toHex(sha256(utf8(key)))
}
