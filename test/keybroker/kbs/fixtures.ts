import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { kbsVerifier } from '#cli/kbs-verifier.js'
import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import type { Database } from '#host/database.js'
import { type App, createApp } from '#host/http.js'
import { inputStatuses } from '#host/http-failures.js'
import type { ResourceTier } from '#keybroker/kbs/decide.js'
import { kbsStatuses } from '#keybroker/kbs/failures.js'
import type { KbsPorts, ModelKeyRoute } from '#keybroker/kbs/ports.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import { bearerAdmin } from '#keybroker/service/admin.js'
import { DevelopmentRoots } from '#keybroker/service/development-roots.js'
import { type KbsOptions, kbsPorts } from '#keybroker/service/kbs.js'
import { encodeKbsFailure, kbsPrefix, kbsRoutes } from '#keybroker/service/kbs-routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { kbsPolicies, type PolicyKeeper } from '#keybroker/store/kbs-policies.js'
import { kbsEvidenceStore, kbsResources, kbsSessions } from '#keybroker/store/kbs-store.js'
import { migrateStore } from '#keybroker/store/open.js'
import type { SimulatedPlatform } from '#runtime/attester/simulated/platform.js'
import { attestation, type Certificates, type ClientKey, clientKey, clientReportData } from '#test/fakes/kbs-client.js'
import { testMeasurement, testPlatform, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'
import { runFolder } from '#test/fakes/run-folder.js'
import type { Registered } from '../fixtures.js'

const folder = mkdtempSync(join(runFolder(), 'kbs-'))

export const adminToken = 'admin-token-of-forty-three-characters-or-more'
export const initData = 'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"aa.toml" = "x"\n'

/** A broker's KBS route with the real store, verifier and key-encryption key. What policy says is the test's. */
export interface TestKbs {
  readonly app: App
  readonly ports: KbsPorts
  readonly clock: { now: number }
  /** decisions as they were recorded, and how often evidence was verified */
  readonly seen: { records: { path: string; allow: boolean }[]; verifications: number }
  readonly policy: { allow: boolean }
  ask(
    method: string,
    path: string,
    init?: { body?: string | Uint8Array; headers?: Record<string, string> },
  ): Promise<Response>
}

/** The routes in an application, as a service mounts them. */
export function kbsApp(ports: KbsPorts): Pick<TestKbs, 'app' | 'ask'> {
  const app = createApp({
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    statuses: { ...brokerStatuses, ...kbsStatuses, ...inputStatuses },
    encodeFailure: encodeKbsFailure,
  })
  app.hono.route(kbsPrefix, kbsRoutes(ports))
  const ask: TestKbs['ask'] = async (method, to, init = {}) =>
    app.hono.fetch(new Request(`http://kbs${to}`, { method, ...init } as RequestInit), { address: 'test' })
  return { app, ask }
}

/** What policies are sealed and logged with, before a log that only counts. */
function policyKeeper(database: Database, kek: PolicyKeeper['kek'], clock: () => number): PolicyKeeper {
  let index = 0
  return {
    kek,
    clock,
    random: randomBytes,
    callerSecret: randomBytes(32),
    standing: 'UNATTESTED BROKER',
    store: brokerStore(database),
    log: { append: async () => ({ index: index++, proof: '' }), proof: async () => '' },
  }
}

export async function testKbs(database: Database, models: ModelKeyRoute | null = null): Promise<TestKbs> {
  await migrateStore(database)
  const path = join(folder, toHex(randomBytes(8)))
  await createKekFile(path)
  const kek = await openKekFile(path)
  const clock = { now: testTime }
  const seen: TestKbs['seen'] = { records: [], verifications: 0 }
  const policy = { allow: true }
  const verify = kbsVerifier({
    anchors: async () => ({ simulatedRoots: [testRootDigest] }),
    referenceValues: testReferenceValues({ hostData: ['00'.repeat(32), toHex(sha256(utf8(initData)))] }),
    tenantClass: 'development',
  })
  const signer = (await generateSigningKey('ES256')).key
  const ports: KbsPorts = {
    clock: () => clock.now,
    random: randomBytes,
    signer,
    sessions: kbsSessions(database),
    evidence: kbsEvidenceStore(database),
    verifyEvidence: async (...given) => {
      seen.verifications++
      return verify(...given)
    },
    decide: async () => (policy.allow ? { allow: true } : { allow: false, reasons: ['test-forbid'] }),
    record: async (where, _token, decision) => {
      seen.records.push({ path: where.text, allow: decision.allow })
    },
    resources: kbsResources(database, kek, () => clock.now),
    models,
    authoriseAdmin: bearerAdmin({
      tokenDigest: sha256(utf8(adminToken)),
      keys: [],
      broker: signer.id,
      clock: () => clock.now,
    }),
    policies: kbsPolicies(
      database,
      policyKeeper(database, kek, () => clock.now),
      'production',
    ),
    kbsClass: 'production',
    dangerousAllowSample: false,
    verifiers: [],
  }
  return { ...kbsApp(ports), ports, clock, seen, policy }
}

export const request = (version = '0.4.0', tee = 'snp') => JSON.stringify({ version, tee, 'extra-params': {} })

export interface Opened {
  readonly cookie: string
  readonly nonce: string
}

/** The first half of a handshake. */
export async function auth(kbs: Pick<TestKbs, 'ask'>, tee = 'snp'): Promise<Opened> {
  const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request('0.4.0', tee) })
  if (answer.status !== 200) throw new Error(await answer.text())
  const { nonce } = (await answer.json()) as { nonce: string }
  return { nonce, cookie: answer.headers.get('set-cookie')!.split(';')[0]! }
}

export function certificatesOf(evidence: SnpEvidence): Certificates {
  const { vek, ask, ark, crl } = evidence
  return {
    VCEK: fromBase64(vek),
    ASK: fromBase64(ask),
    ARK: fromBase64(ark),
    ...(crl === null ? {} : { CRL: fromBase64(crl) }),
  }
}

export interface GuestOptions {
  readonly additional?: string
  readonly initData?: unknown
  readonly omitInitData?: boolean
  readonly hostData?: string
  /** what the guest binds instead of what it sends */
  readonly bound?: { nonce?: string; jwk?: Record<string, string>; additional?: string }
  readonly sentJwk?: Record<string, string>
  readonly measurement?: string
  /** instead of the usual machine */
  readonly platform?: SimulatedPlatform
}

/** The body of `/attest` that a guest on the simulated machine sends. */
export async function guestAttestation(opened: Opened, key: ClientKey, options: GuestOptions = {}): Promise<string> {
  const platform =
    options.platform ??
    (await testPlatform({
      measurement: options.measurement ?? testMeasurement,
      ...(options.hostData === undefined ? {} : { hostData: options.hostData }),
    }))
  const bound = options.bound ?? {}
  const reportData = clientReportData(
    bound.nonce ?? opened.nonce,
    bound.jwk ?? key.jwk,
    bound.additional ?? options.additional ?? '',
  )
  const evidence = await platform.attest(reportData)
  const jwk = options.sentJwk ?? key.jwk
  return attestation(opened.nonce, jwk, fromBase64(evidence.report), certificatesOf(evidence), options)
}

/** A whole handshake. */
export async function attested(
  kbs: Pick<TestKbs, 'ask'>,
  key: ClientKey = clientKey('P-256'),
  options: GuestOptions = {},
) {
  const opened = await auth(kbs)
  const answer = await kbs.ask('POST', '/kbs/v0/attest', {
    body: await guestAttestation(opened, key, options),
    headers: { cookie: opened.cookie },
  })
  return { ...opened, key, answer }
}

export const errorOf = async (answer: Response) =>
  (await answer.json()) as { type: string; detail: string; code: string; status: number }

/** The KBS route over a broker with a registered model. The route itself accepts any genuine evidence. */
export function route(
  chain: Registered,
  tiers: readonly ResourceTier[] = [],
  roots?: readonly string[],
  collateral?: Pick<CollateralSupply, 'complete'>,
  more: Partial<KbsOptions> = {},
) {
  const { broker, database } = chain.test
  const named = new DevelopmentRoots(broker, database, () => undefined)
  const verifyEvidence = kbsVerifier({
    anchors: async () => ({ simulatedRoots: roots ?? (await named.read()) }),
    ...(collateral ? { collateral } : {}),
    referenceValues: null,
    tenantClass: 'development',
  })
  const adminTokenDigest = sha256(utf8(adminToken))
  return kbsApp(kbsPorts({ broker, database, verifyEvidence, adminTokenDigest, resourceTiers: tiers, ...more }))
}
export const pathOf = (chain: Registered, version = 1) => `/kbs/v0/resource/${chain.owner.model}/${version}`

export async function guest(chain: Registered, kbs = route(chain)) {
  const { cookie, key, answer } = await attested(kbs, clientKey('P-256'), { platform: chain.platform })
  const { token } = (await answer.json()) as { token: string }
  return { kbs, key, token, get: (path: string) => kbs.ask('GET', path, { headers: { cookie } }) }
}
