/** What belongs in keybroker/service: the broker over HTTP, its key folder, and its opening. Decisions stand outside. */
import { type Context, Hono } from 'hono'
import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import { registerRequestShape } from '#core/wire/broker-document.js'
import { type BrokerProof, brokerProofRequestShape } from '#core/wire/broker-proof.js'
import { finalRequestShape } from '#core/wire/counter.js'
import { queryRequestShape, statementRequestShape, tenantRequestShape } from '#core/wire/owner-query.js'
import { apiVersion, beatRequestShape, challengeRequestShape, releaseRequestShape } from '#core/wire/release.js'
import { type Env, limitBody, problemResponse } from '#host/http.js'
import type { Log } from '#host/log.js'
import { inSpan } from '#host/spans.js'
import type { Access } from '#keybroker/access/authorize.js'
import { beat } from '#keybroker/beat.js'
import type { Broker } from '#keybroker/broker.js'
import { challenge } from '#keybroker/challenge.js'
import { acceptStatement, createTenant } from '#keybroker/changes.js'
import { acceptFinal } from '#keybroker/final.js'
import { answerOwner, bundleAt, trustStatementOf } from '#keybroker/queries.js'
import { countRefusal } from '#keybroker/refusals.js'
import { registerModel } from '#keybroker/register.js'
import { type Outcome, release } from '#keybroker/release.js'
import { openAccess } from '#keybroker/service/access.js'
import { addAccessRoutes } from '#keybroker/service/access-routes.js'
import { mountApprovals } from '#keybroker/service/approval-routes.js'
import { openIssuers } from '#keybroker/service/issuers.js'
import { verifyAdminToken } from '#keybroker/service/keys.js'
import { brokerOpenApi } from '#keybroker/service/openapi.js'
import { addQualifyRoute } from '#keybroker/service/qualify-routes.js'
import { json, readRequest, smallBodyMax } from '#keybroker/service/requests.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { alarmsIn } from '#policies/release/alarms.js'

export interface BrokerRoutesOptions {
  readonly broker: Broker
  /** hears of denials that are an alarm */
  readonly log: Pick<Log, 'warn'>
  /** the broker's signed document, of now */
  document(): Promise<Envelope>
  /** the same with evidence that answers a nonce */
  prove(nonce: string): Promise<BrokerProof>
  /** SHA-256 of the text of the admin token */
  readonly adminTokenDigest: Uint8Array
  /** with what identities of owners' lists are told apart; default: with issuers at public addresses */
  readonly access?: Access
}

/** A registration carries the manifest of a large model. */
export const registerBodyMax = 16 * MiB

/**
 * The broker's own API below `/v1`.
 *
 * Mount it in an application that bounds rate, time and concurrency, whose body bound is `registerBodyMax`, and whose
 * table of statuses holds `brokerStatuses` and the log's.
 */
export function makeBrokerRoutes(options: BrokerRoutesOptions): Hono<Env> {
  const { broker, log, adminTokenDigest } = options
  const routes = new Hono<Env>()
  const admin = (c: Context<Env>) => verifyAdminToken(c.req.header('authorization'), adminTokenDigest)
  routes.use('/v1/*', async (c, next) => (c.req.path === '/v1/models' ? next() : limitSmall(c, next)))

  routes.get('/v1/broker', async (c) => json(c, await options.document()))
  routes.post('/v1/broker/evidence', async (c) => {
    const { nonce } = await readRequest(c, brokerProofRequestShape)
    return json(c, { version: apiVersion, proof: await options.prove(nonce) })
  })
  routes.get('/v1/broker/openapi.json', (c) => c.json(brokerOpenApi(apiVersion), 200))
  routes.get('/v1/owners/:owner/trust', async (c) => json(c, await trustStatementOf(broker, c.req.param('owner'))))
  routes.post('/v1/challenges', async (c) => {
    const { model, renewal, timed } = await readRequest(c, challengeRequestShape)
    return json(c, await challenge(broker, model, renewal, timed))
  })
  routes.post('/v1/releases', (c) => decide(broker, log, c, (request) => request.lease === null))
  routes.post('/v1/renewals', (c) => decide(broker, log, c, (request) => request.lease !== null))
  routes.post('/v1/beats', async (c) => json(c, await beat(broker, await readRequest(c, beatRequestShape))))

  routes.post('/v1/finals', async (c) => json(c, await acceptFinal(broker, await readRequest(c, finalRequestShape))))

  routes.post('/v1/tenants', async (c) => {
    admin(c)
    const { tenant } = await readRequest(c, tenantRequestShape)
    return json(c, { version: apiVersion, accepted: await createTenant(broker, tenant) })
  })
  routes.post('/v1/statements', async (c) => {
    const { kind, statement } = await readRequest(c, statementRequestShape)
    return json(c, { version: apiVersion, accepted: await acceptStatement(broker, kind, statement) })
  })
  routes.post('/v1/models', async (c) => {
    const request = await readRequest(c, registerRequestShape, registerBodyMax)
    return json(c, { version: apiVersion, accepted: await registerModel(broker, request) })
  })
  routes.post('/v1/queries', async (c) =>
    json(c, await answerOwner(broker, (await readRequest(c, queryRequestShape)).query)),
  )
  routes.get('/v1/bundles/:entry', async (c) => {
    admin(c)
    return json(c, await bundleAt(broker, parseDecimal(c.req.param('entry')) ?? -1, null))
  })
  mountApprovals(routes, broker)
  const access = { broker, adminTokenDigest, access: options.access ?? openAccess(openIssuers()) }
  addAccessRoutes(routes, access)
  addQualifyRoute(routes, access)
  return routes
}

const limitSmall = limitBody(smallBodyMax)

/** A release or a renewal: each has its own route, and a request on the wrong one is none. */
async function decide(
  broker: Broker,
  log: Pick<Log, 'warn'>,
  c: Context<Env>,
  belongs: (request: { readonly lease: string | null }) => boolean,
): Promise<Response> {
  const request = await readRequest(c, releaseRequestShape)
  if (!belongs(request)) throw new Failure('shape/form', 'lease: null in a release, the lease to renew in a renewal')
  let outcome: Outcome
  try {
    outcome = await inSpan('release', {}, async (add) => {
      const decided = await release(broker, request)
      add({ 'claviger.outcome': decided.kind })
      return decided
    })
  } catch (error) {
    if (isFailure(error) && isCounted(error.code)) await countRefusal(broker, error.code)
    throw error
  }
  if (outcome.kind === 'refused') await countRefusal(broker, outcome.code)
  if (outcome.kind === 'denied') warnOfAlarms(log, outcome)
  return answerTo(c, outcome)
}

/** Who runs the broker reads the bundle of the entry with the admin token; the line itself names nobody. */
function warnOfAlarms(log: Pick<Log, 'warn'>, { reasons, entry }: Outcome & { readonly kind: 'denied' }): void {
  for (const { reason, seen } of alarmsIn(reasons.map(({ id }) => id)))
    log.warn({ reason, entry }, `alarm: a node was denied: ${seen}`)
}

/** A request that was refused, and not one that the broker could not deal with. */
function isCounted(code: string): boolean {
  const status = Object.hasOwn(brokerStatuses, code) ? brokerStatuses[code as keyof typeof brokerStatuses] : 500
  return status < 500
}

function answerTo(c: Context<Env>, outcome: Outcome): Response {
  if (outcome.kind === 'granted') return json(c, outcome.answer)
  if (outcome.kind === 'refused') {
    const detail = outcome.fix === null ? {} : { detail: { fix: outcome.fix } }
    return problemResponse(new Failure(outcome.code, outcome.message, detail), 422)
  }
  const { reasons, entry, simulated } = outcome
  const document = {
    type: 'about:blank',
    title: 'Forbidden',
    status: 403,
    code: 'broker/denied',
    detail: `denied by ${reasons.map((one) => one.id).join(', ')}${simulated ? ' (simulated evidence: NOT HARDWARE)' : ''}`,
    reasons,
    entry,
    simulated,
  }
  return c.body(JSON.stringify(document), 403, {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
  })
}
