import { randomBytes } from '#core/crypto/hash.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type AccessIdentity, type AccessProof, apiKeyHash, encodeApiKey } from '#core/wire/access-list.js'
import { apiVersion } from '#core/wire/release.js'
import { payloadDigest, type Statement, signStatement } from '#core/wire/statements.js'
import type { Database } from '#host/database.js'
import type { Access } from '#keybroker/access/authorize.js'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { openAccess } from '#keybroker/service/access.js'
import { openIssuers } from '#keybroker/service/issuers.js'
import type { Issuer } from '#test/fakes/issuer.js'
import { registration, sign, startTime, type TestOwner, tenantStatement, testOwner } from '../fixtures.js'
import { served } from '../served.js'

export type AccessBody = Omit<Statement<'access'>, 'type' | 'tenant' | 'sequence' | 'previous' | 'issuedAt'>

export const later = startTime + 30 * 86_400
export const identity = (
  id: string,
  role: AccessIdentity['role'],
  proof: AccessProof,
  more: Partial<AccessIdentity> = {},
): AccessIdentity => ({ id, role, notBefore: startTime - 60, expiresAt: later, proof, ...more })

export function newKey() {
  const key = encodeApiKey(randomBytes(32))
  return { key, proof: { kind: 'api-key', hash: apiKeyHash(key) } as const }
}
export const list = (identities: readonly AccessIdentity[], more: Partial<AccessBody> = {}): AccessBody => ({
  identities,
  authorities: [],
  requestsPerMinute: 600,
  ...more,
})
export const bearerOf = (text: string) => ({ authorization: `Bearer ${text}` })

/** A broker over HTTP with two owners who know nothing of each other, each with a model. */
export async function twoTenants(database: Database, issuer?: Issuer, access?: Access) {
  const issuers = openIssuers(issuer ? { ca: issuer.ca, privateIssuers: [issuer.place] } : {})
  const { chain, call } = await served(database, undefined, access ?? openAccess(issuers))
  const other = await testOwner('other')
  for (const owner of [chain.owner, other]) {
    await createTenant(chain.test.broker, await tenantStatement(owner, 'development'))
    await registerModel(chain.test.broker, await registration(chain.test, owner, chain.platform))
  }
  const say = async (owner: TestOwner, body: AccessBody) =>
    call('POST', '/v1/statements', {
      version: apiVersion,
      kind: 'access',
      statement: await sign(owner, 'access', body),
    })
  const get = (owner: Pick<TestOwner, 'id'>, what: string, bearer?: string, certificates?: readonly Uint8Array[]) =>
    call(
      'GET',
      `/v1/tenants/${owner.id}/${what}`,
      undefined,
      bearer === undefined ? {} : bearerOf(bearer),
      certificates,
    )
  return { chain, owner: chain.owner, other, call, say, get }
}

/** An access list that somebody else signed as if it were the owner's next. */
export async function forgedList(owner: TestOwner, body: AccessBody) {
  const { key } = await generateSigningKey('ES256')
  const statement: Statement<'access'> = {
    type: 'claviger/statement/access/v1',
    tenant: owner.id,
    sequence: 1,
    previous: null,
    issuedAt: startTime,
    ...body,
  }
  const envelope = await signStatement('access', statement, key)
  return { envelope, digest: payloadDigest(envelope) }
}
