import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { UnixSeconds } from '#core/time.js'
import type { Database } from '#host/database.js'
import { createApp } from '#host/http.js'
import { createLog } from '#host/log.js'
import type { Access } from '#keybroker/access/authorize.js'
import { createTenant } from '#keybroker/changes.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { ownStanding } from '#keybroker/proof.js'
import { registerModel } from '#keybroker/register.js'
import { openBroker } from '#keybroker/service/open.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { type FakeMachine, fakeGpu } from '#test/fakes/machines.js'
import { testPlatform, testTime } from '#test/fakes/platform.js'
import { logStatuses } from '#transparency/service/routes.js'
import {
  type Registered,
  type RegistrationOptions,
  registration,
  sign,
  startTime,
  tenantStatement,
  testBroker,
  testOwner,
  trustBody,
} from './fixtures.js'

export const adminToken = 'A'.repeat(43)

export type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
  /** what the client of the connection proved to hold */
  certificates?: readonly Uint8Array[],
) => Promise<Answer>
export interface Answer {
  readonly status: number
  readonly code: string | undefined
  readonly body: never
  readonly retryAfter?: string
}

/** The broker behind its routes, and no network. */
export async function served(
  database: Database,
  now?: UnixSeconds,
  access?: Access,
): Promise<{ chain: Registered; call: Call; warned: readonly string[] }> {
  const made = await testBroker(database, now === undefined ? {} : { now })
  const { app, warned } = await application(made, access)
  const call: Call = async (method, path, body, headers = {}, certificates) => {
    const init = {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/json', ...headers },
    }
    const answer = await app.hono.request(path, init, certificates && { certificates })
    const parsed = (await answer.json()) as { code?: string }
    const retryAfter = answer.headers.get('retry-after')
    return { status: answer.status, code: parsed.code, body: parsed as never, ...(retryAfter && { retryAfter }) }
  }
  const chain = { test: made, owner: await testOwner(), platform: await testPlatform({ at: startTime }) }
  return { chain, call, warned }
}

export async function application(
  made: Awaited<ReturnType<typeof testBroker>>,
  access?: Access,
  attester?: BrokerAttester,
) {
  const { broker, database, testLog, log: record, verifier, clock } = made
  const keys = { ...broker, adminTokenDigest: sha256(utf8(adminToken)), close: () => undefined } as never
  const options = { database, keys, log: broker.log, record, appraise: broker.appraise, clock: () => clock.now }
  const { document, prove } = await openBroker({
    attester,
    ...options,
    verifiers: async () => [verifier.publicKey],
    logs: [testLog.vkey],
    witnessPolicy: testLog.quorumPolicy,
  })
  const app = createApp({
    log: createLog('test', 'silent'),
    statuses: { ...brokerStatuses, ...logStatuses },
    limits: { bodySizeMax: registerBodyMax },
  })
  const warned: string[] = []
  app.hono.route(
    '/',
    makeBrokerRoutes({
      broker: { ...broker, standing: ownStanding(attester ?? null) },
      log: { warn: (fields, message) => void warned.push(`${message} ${JSON.stringify(fields)}`) },
      document,
      prove,
      adminTokenDigest: sha256(utf8(adminToken)),
      ...(access && { access }),
    }),
  )
  return { app, document, prove, warned }
}

export const bearer = { authorization: `Bearer ${adminToken}` }

export interface Chain extends Registered {
  readonly call: Call
  /** what its operator reads of alarms */
  readonly warned: readonly string[]
}

/** A broker at which an owner accepts a machine of this kind and no other, at the time for which such machines are minted. */
export async function chainFor(
  database: Database,
  machine: FakeMachine,
  options: RegistrationOptions = {},
): Promise<Chain> {
  const { chain, call, warned } = await served(database, testTime)
  const { test: made } = chain
  const owner = await testOwner()
  const tenantClass = options.class ?? 'development'
  await createTenant(made.broker, await tenantStatement(owner, tenantClass))
  const roots = [...machine.simulatedRoots, ...fakeGpu.simulatedRoots]
  await sign(owner, 'trust', trustBody(made, null, tenantClass, roots))
  const lease = { seconds: 300, budget: budgetOf(100), nodes: 50 }
  const given = { values: machine.values, ...options, registration: { lease, ...options.registration } }
  await registerModel(made.broker, await registration(made, owner, null, given))
  return { ...chain, owner, call, warned }
}
