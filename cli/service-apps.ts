import type { CollateralSupply } from '#attest/collateral/supply.js'
import { authorizeByToken } from '#attest/service/authorize.js'
import { makeCollateralRoutes } from '#attest/service/collateral-routes.js'
import type { KeySet } from '#attest/service/keys.js'
import { attestStatuses, createAttestApp, makeAttestRoutes } from '#attest/service/routes.js'
import { kbsVerifier } from '#cli/kbs-verifier.js'
import { build } from '#cli/version.js'
import { MiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Database } from '#host/database.js'
import { type App, createApp, problemResponse } from '#host/http.js'
import { describeError, type Log as ServiceLog } from '#host/log.js'
import type { Metrics } from '#host/metrics.js'
import type { Access } from '#keybroker/access/authorize.js'
import type { Broker } from '#keybroker/broker.js'
import { kbsStatuses } from '#keybroker/kbs/failures.js'
import { DevelopmentRoots } from '#keybroker/service/development-roots.js'
import { type KbsSettings, kbsPorts } from '#keybroker/service/kbs.js'
import { encodeKbsFailure, kbsPrefix, kbsRoutes } from '#keybroker/service/kbs-routes.js'
import type { OpenedBroker } from '#keybroker/service/open.js'
import type { Readiness } from '#keybroker/service/readiness.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import type { LogReader } from '#transparency/log.js'
import { logStatuses, makeLogRoutes } from '#transparency/service/routes.js'

/** What attestation results say of who made them. */
export const issuer = 'claviger'

/** A broker with what stands around it, as its HTTP application needs it. */
export interface ServedBroker {
  readonly broker: Broker
  document: OpenedBroker['document']
  prove: OpenedBroker['prove']
  readonly adminTokenDigest: Uint8Array
  readonly database: Database
  readonly verifierKeys: () => Promise<KeySet>
  readonly collateral: CollateralSupply
  readonly kbs?: KbsSettings | undefined
  readonly now: () => UnixSeconds
  readonly ready: () => Promise<Readiness>
  readonly metrics: Metrics
  readonly access: Access
  readonly trustedProxies: readonly string[]
}

/** Guests of owners' nodes elsewhere: any genuine evidence gets a token, each owner decides by what was signed. */
function kbs({ broker, database, adminTokenDigest, collateral, kbs: settings }: ServedBroker, roots: DevelopmentRoots) {
  const verifyEvidence = kbsVerifier({
    anchors: async () => ({ simulatedRoots: await roots.read(), collateralFloors: await collateral.floors() }),
    collateral,
    referenceValues: null,
    tenantClass: 'development',
  })
  return kbsRoutes(
    kbsPorts({ broker, database, verifyEvidence, adminTokenDigest, resourceTiers: ['affirming'], ...settings }),
  )
}

/** The verifier for whoever holds the operator's token: evidence under development tenants' roots stays NOT HARDWARE. */
function verifier({ verifierKeys, adminTokenDigest, collateral, now }: ServedBroker, roots: DevelopmentRoots) {
  return makeAttestRoutes({
    issuer,
    build,
    keys: verifierKeys,
    anchors: async () => ({ simulatedRoots: await roots.read() }),
    authorize: authorizeByToken([adminTokenDigest]),
    collateral,
    now,
  })
}

/**
 * The broker's own API and its KBS route.
 *
 * reader  the log and the verifier are mounted beside them; null when each has a service of its own
 */
export function brokerApp(parts: ServedBroker, reader: LogReader | null, log: ServiceLog): App {
  const app = createApp({
    log,
    ready: parts.ready,
    metrics: parts.metrics,
    statuses: { ...attestStatuses, ...brokerStatuses, ...logStatuses, ...kbsStatuses },
    limits: { bodySizeMax: Math.max(registerBodyMax, MiB), timeoutMs: 30_000 },
    trustedProxies: parts.trustedProxies,
    onRefused: (code) => parts.access.refused(code),
    encodeFailure: (failure, status, path) =>
      path.startsWith(`${kbsPrefix}/`) ? encodeKbsFailure(failure, status) : problemResponse(failure, status),
  })
  const roots = new DevelopmentRoots(parts.broker, parts.database, (tenant, failure) =>
    log.warn({ tenant, ...describeError(failure) }, 'a development tenant is passed over: its records are false'),
  )
  app.hono.route('/', makeBrokerRoutes({ ...parts, log }))
  app.hono.route(kbsPrefix, kbs(parts, roots))
  if (reader !== null) {
    app.hono.route('/', makeLogRoutes(reader))
    app.hono.route('/', verifier(parts, roots))
  } else {
    const authorize = authorizeByToken([parts.adminTokenDigest])
    app.hono.route('/', makeCollateralRoutes({ collateral: parts.collateral, authorize }))
  }
  return app
}

/** Figures of a process for Prometheus, at an address of their own: they are the operator's, and no caller's. */
export function metricsApp(metrics: Metrics, log: ServiceLog): App {
  const app = createApp({ log, statuses: {} })
  const type = 'text/plain; version=0.0.4; charset=utf-8'
  app.hono.get('/metrics', async (c) =>
    c.body(await metrics.text(), 200, { 'content-type': type, 'cache-control': 'no-store' }),
  )
  return app
}

/** The read side of a log, for a process that does not write it. */
export function logApp(reader: LogReader, log: ServiceLog): App {
  const app = createApp({ log, statuses: logStatuses })
  app.hono.route('/', makeLogRoutes(reader))
  return app
}

/** The verifier as a service of its own. */
export function verifierApp(options: {
  readonly keys: () => Promise<KeySet>
  readonly tokenDigest: Uint8Array
  readonly simulatedRoots: readonly string[]
  /** null: evidence has to come with everything, and no floor is known */
  readonly collateral: CollateralSupply | null
  readonly now: () => UnixSeconds
  readonly log: ServiceLog
}): App {
  const { keys, simulatedRoots, now, log, collateral } = options
  const authorize = authorizeByToken([options.tokenDigest])
  const anchors = async () => ({ simulatedRoots })
  return createAttestApp({ issuer, build, keys, anchors, authorize, now, log, ...(collateral && { collateral }) })
}
