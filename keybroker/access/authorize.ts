import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type AccessIdentity,
  type AccessList,
  apiKeyForm,
  apiKeyHash,
  verifyAccessList,
} from '#core/wire/access-list.js'
import { identityOfCertificate } from '#keybroker/access/certificate.js'
import type { AccessCode } from '#keybroker/access/failures.js'
import { type Permission, permissions } from '#keybroker/access/roles.js'
import { type ClaimedToken, readToken, signatureOf, speaksOf } from '#keybroker/access/token.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { readTenantStatement } from '#keybroker/standing.js'

/** What somebody shows of who they are. */
export interface Presented {
  /** behind `Bearer`; null when there is no such header */
  readonly bearer: string | null
  /** that the connection's client proved to hold, DER, leaf first; empty when it showed none */
  readonly certificates: readonly Uint8Array[]
  /** the network they come from, for bounds */
  readonly network: string
}

/** Keys of the issuers that owners' lists name; nobody else's are ever asked for. */
export interface IssuerKeys {
  /**
   * The issuer's JWK set of now. `newer`: a token names a key that is not in it; asks again, unless it just did.
   *
   * throws  access/issuer
   */
  keysOf(issuer: string, newer: boolean): Promise<readonly Json[]>
}

/** What identities are told apart with, and how often they may ask. */
export interface Access {
  readonly issuers: IssuerKeys
  /** whether a network may try once more */
  admitAttempt(network: string): boolean
  /** One more refusal is counted, by its code alone: neither decided nor logged by itself. */
  refused(code: string): void
  /** What was counted since the last time, which is no longer kept. */
  takeRefused(): ReadonlyMap<string, number>
}

/** Who asks, as the owner's list says. */
export interface Caller {
  readonly tenant: string
  readonly identity: AccessIdentity
}

const unlisted = () =>
  new Failure<BrokerCode>('broker/unknown-tenant', 'there is no such tenant here, or this credential is none of its', {
    detail: {
      hint: 'is the tenant id right, and does the access list that its owner signed last name you: ./claviger token list',
    },
  })

/**
 * Returns only when what was presented is an identity of this tenant's list, as its owner signed it last, within its time,
 * with a role that may do this, and not too often.
 *
 * A tenant that is not known, one without a list, and one whose list does not name the credential answer alike.
 * throws  access/credential, access/token-form, access/token-algorithm, access/token-time, access/expired, access/role,
 *         access/rate, access/issuer, broker/unknown-tenant, broker/record, judge/statement-false, database/...
 */
export async function authorize(
  broker: Broker,
  access: Access,
  presented: Presented,
  tenant: string,
  permission: Permission,
): Promise<Caller> {
  const at = broker.clock()
  const shown = readPresented(presented, at)
  if (!access.admitAttempt(presented.network)) throw tooOften('too many attempts from this address', 60)
  const list = await accessListOf(broker, tenant)
  const identity = await identityOf(shown, list, access, at)
  if (identity === null) throw unlisted()
  verifyTime(identity, at)
  verifyRole(identity, permission)
  const wait = await broker.rates.wait(`requests ${tenant}`, list.requestsPerMinute)
  if (wait > 0) throw tooOften(`more than ${list.requestsPerMinute} requests a minute for this tenant`, wait)
  return { tenant, identity }
}

type Shown =
  | { readonly kind: 'api-key'; readonly hash: string }
  | { readonly kind: 'token'; readonly token: ClaimedToken }
  | { readonly kind: 'certificate'; readonly sent: readonly Uint8Array[] }

/** What was presented, as far as it can be told without knowing any tenant. A bearer credential goes before a certificate. */
function readPresented({ bearer, certificates }: Presented, at: UnixSeconds): Shown {
  if (bearer !== null) {
    if (apiKeyForm.test(bearer)) return { kind: 'api-key', hash: apiKeyHash(bearer) }
    return { kind: 'token', token: readToken(bearer, at) }
  }
  if (certificates.length > 0) return { kind: 'certificate', sent: certificates }
  throw new Failure<AccessCode>('access/credential', 'this needs a credential', {
    detail: { hint: 'an API key or a token of your issuer behind Authorization: Bearer, or a client certificate' },
  })
}

/** @throws broker/unknown-tenant, broker/record, judge/statement-false, database/... */
async function accessListOf(broker: Broker, tenant: string): Promise<AccessList> {
  // It comes out of a stranger's path: what is no id never reaches the database.
  if (!/^[A-Za-z0-9_-]{43}$/.test(tenant)) throw unlisted()
  const since = broker.heads.now()
  const signed = await broker.store.read(async (reader) => {
    if ((await reader.loadTenant(tenant)) === null) return null
    return readTenantStatement(reader, broker, tenant, 'access', since)
  })
  if (signed === null) throw unlisted()
  verifyAccessList(signed.value)
  // Of several that are meant, one whose time it is goes before one whose time is over.
  const at = broker.clock()
  const { identities, ...rest } = signed.value
  return { ...rest, identities: identities.toSorted((a, b) => Number(isTimeOf(b, at)) - Number(isTimeOf(a, at))) }
}

const isTimeOf = ({ notBefore, expiresAt }: AccessIdentity, at: UnixSeconds) => at >= notBefore && at < expiresAt

async function identityOf(
  shown: Shown,
  list: AccessList,
  access: Access,
  at: UnixSeconds,
): Promise<AccessIdentity | null> {
  if (shown.kind === 'certificate') return identityOfCertificate(shown.sent, list, at)
  if (shown.kind === 'token') return identityOfToken(shown.token, list, access.issuers)
  return list.identities.find(({ proof }) => proof.kind === 'api-key' && proof.hash === shown.hash) ?? null
}

/** The first identity of which the token speaks, when its issuer signed it. @throws access/issuer */
async function identityOfToken(
  token: ClaimedToken,
  { identities }: AccessList,
  issuers: IssuerKeys,
): Promise<AccessIdentity | null> {
  // Invariant: an issuer is asked because the owner's list names it, never because a token does.
  const spoken = identities.find(({ proof }) => speaksOf(token, proof))
  if (spoken?.proof.kind !== 'oidc') return null
  const { issuer } = spoken.proof
  let signature = await signatureOf(token, await issuers.keysOf(issuer, false))
  if (signature === 'key-unknown') signature = await signatureOf(token, await issuers.keysOf(issuer, true))
  return signature === 'signed' ? spoken : null
}

function verifyTime(identity: AccessIdentity, at: UnixSeconds): void {
  if (isTimeOf(identity, at)) return
  const { id, notBefore, expiresAt } = identity
  const message = at < notBefore ? `access of ${id} begins at ${notBefore}` : `access of ${id} ended at ${expiresAt}`
  throw new Failure<AccessCode>('access/expired', message, {
    detail: { hint: 'ask the owner for another one: ./claviger token create' },
  })
}

function verifyRole({ id, role }: AccessIdentity, permission: Permission): void {
  if (permissions[role].includes(permission)) return
  throw new Failure<AccessCode>('access/role', `${id} has the role ${role}, which may not ask for ${permission}`, {
    detail: { hint: 'the owner may list another role for you, or sign the question: ./claviger lease, bundle, usage' },
  })
}

function tooOften(message: string, retryAfterSeconds: number): Failure<AccessCode> {
  return new Failure<AccessCode>('access/rate', message, { detail: { retryAfterSeconds } })
}
