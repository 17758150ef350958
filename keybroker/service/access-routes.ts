import type { Context, Hono } from 'hono'
import { isFailure } from '#core/failure.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import { apiVersion } from '#core/wire/release.js'
import { clientCertificates, type Env, networkOfRequest } from '#host/http.js'
import { type Access, authorize, type Caller, type Presented } from '#keybroker/access/authorize.js'
import { type Permission, permissions } from '#keybroker/access/roles.js'
import type { Broker } from '#keybroker/broker.js'
import { bundleAt, heads, leases } from '#keybroker/queries.js'
import { isAdminToken } from '#keybroker/service/keys.js'
import { usageOf } from '#keybroker/usage-query.js'

export interface AccessRoutesOptions {
  readonly broker: Broker
  readonly access: Access
  readonly adminTokenDigest: Uint8Array
}

/**
 * What identities of an owner's list may read, below `/v1/tenants/{tenant}`: another tenant's answers like one that does not
 * exist. Nothing here changes anything.
 */
export function addAccessRoutes(routes: Hono<Env>, options: AccessRoutesOptions): void {
  const { broker } = options
  routes.get('/v1/tenants/:tenant/access', async (c) => {
    const { identity } = await allowed(c, options, 'self')
    const { id, role, notBefore, expiresAt } = identity
    return answer(c, { version: apiVersion, id, role, notBefore, expiresAt, permissions: permissions[role] })
  })
  routes.get('/v1/tenants/:tenant/statements', async (c) => {
    const { tenant } = await allowed(c, options, 'statements')
    return answer(c, await heads(broker, tenant))
  })
  routes.get('/v1/tenants/:tenant/leases', async (c) => {
    if (isAdminToken(c.req.header('authorization'), options.adminTokenDigest))
      return answer(c, await leases(broker, c.req.param('tenant')))
    const { tenant } = await allowed(c, options, 'leases')
    return answer(c, await leases(broker, tenant))
  })
  routes.get('/v1/tenants/:tenant/usage', async (c) => {
    const { tenant } = await allowed(c, options, 'usage')
    return answer(c, await usageOf(broker, tenant))
  })
  routes.get('/v1/tenants/:tenant/bundles/:entry', async (c) => {
    const { tenant } = await allowed(c, options, 'bundles')
    return answer(c, await bundleAt(broker, parseDecimal(c.req.param('entry')) ?? -1, tenant))
  })
}

/**
 * Who asks for the tenant in the path; a refusal is counted, and neither decided nor logged.
 *
 * throws  as authorize
 */
export async function allowed(
  c: Context<Env>,
  { broker, access }: AccessRoutesOptions,
  permission: Permission,
  tenant = c.req.param('tenant') ?? '',
): Promise<Caller> {
  try {
    return await authorize(broker, access, presentedBy(c), tenant, permission)
  } catch (error) {
    if (isFailure(error) && error.code.startsWith('access/')) access.refused(error.code)
    throw error
  }
}

/** Headers in which a proxy tells of a certificate are not believed: whoever reaches the proxy could write them. */
function presentedBy(c: Context<Env>): Presented {
  const bearer = /^Bearer +(\S{1,8192})$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? null
  return { bearer, certificates: clientCertificates(c), network: networkOfRequest(c) }
}

function answer(c: Context<Env>, value: unknown): Response {
  return c.json(value as object, 200, { 'cache-control': 'no-store' })
}
