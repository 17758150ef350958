import type { Context, Hono } from 'hono'
import { Failure, isFailure } from '#core/failure.js'
import { ownerOf } from '#core/wire/names.js'
import { qualifyRequestShape } from '#core/wire/qualify.js'
import type { Env } from '#host/http.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { qualify } from '#keybroker/qualify.js'
import { verifyAsked } from '#keybroker/queries.js'
import { countRefusal } from '#keybroker/refusals.js'
import { type AccessRoutesOptions, allowed } from '#keybroker/service/access-routes.js'
import { json, readRequest } from '#keybroker/service/requests.js'

/** Questions a minute of one tenant's: each verifies evidence, as a release does, and takes nothing from what releases have. */
const qualifyPerMinute = 30

/** Whether a node would get a model. It needs a credential: the owner's signed question, or that of an identity which may ask. */
export function addQualifyRoute(routes: Hono<Env>, options: AccessRoutesOptions): void {
  const { broker } = options
  routes.post('/v1/qualify', async (c) => {
    const { request, query } = await readRequest(c, qualifyRequestShape)
    const tenant = ownerOf(request.binding.model)
    const reader = query === null ? await roleOf(c, options, tenant) : 'owner'
    if (query !== null) await verifyAsked(broker, query, 'qualify', tenant)
    if ((await broker.rates.wait(`qualify ${tenant}`, qualifyPerMinute)) > 0)
      throw new Failure<BrokerCode>('broker/rate', 'more questions in a minute than are answered; wait')
    try {
      return json(c, await qualify(broker, request, reader))
    } catch (error) {
      if (isFailure(error)) await countRefusal(broker, error.code)
      throw error
    }
  })
}

async function roleOf(c: Context<Env>, options: AccessRoutesOptions, tenant: string): Promise<'owner' | 'host'> {
  const { identity } = await allowed(c, options, 'qualify', tenant)
  return identity.role === 'owner' ? 'owner' : 'host'
}
