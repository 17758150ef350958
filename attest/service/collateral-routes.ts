import { Hono } from 'hono'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import type { Authorize } from '#attest/service/authorize.js'
import type { Env } from '#host/http.js'

/**
 * `GET /v1/collateral`: what the store holds and how its sources do, for whoever holds the operator's token, since names
 * of single chips are in it.
 */
export function makeCollateralRoutes(options: {
  readonly collateral: Pick<CollateralSupply, 'status'>
  readonly authorize: Authorize
}): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/v1/collateral', async (c) => {
    options.authorize(c.req.header('authorization'))
    return c.json(await options.collateral.status(), 200, { 'cache-control': 'no-store' })
  })
  return routes
}
