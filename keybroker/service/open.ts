import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk, SignatureJwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { type BrokerDocument, signBrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerProof } from '#core/wire/broker-proof.js'
import type { Database } from '#host/database.js'
import { verifyDurable } from '#host/durability.js'
import { createRateLimit } from '#host/rate-limit.js'
import type { Broker } from '#keybroker/broker.js'
import { HeadMemory } from '#keybroker/heads.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { publishPending } from '#keybroker/outbox.js'
import type { BrokerAttester, Clock, Kek, Log, LogRecord } from '#keybroker/ports.js'
import { ownStanding, proveBroker } from '#keybroker/proof.js'
import { sharedRates } from '#keybroker/rates.js'
import { verifyNotBehind } from '#keybroker/rollback.js'
import type { BrokerKeys } from '#keybroker/service/keys.js'
import { traced } from '#keybroker/service/spans.js'
import { verifyKeksOpen } from '#keybroker/service/stored-keys.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { migrateStore } from '#keybroker/store/open.js'
import { listTenants } from '#keybroker/store/tenants.js'
import { heldBorders } from '#policies/location/atlas/read.js'
import { KeptStatements } from '#policies/release/kept.js'

export interface OpenBrokerOptions {
  readonly database: Database
  readonly keys: BrokerKeys
  readonly log: Log
  /** the same log, to be compared with what the database has of it */
  readonly record: LogRecord
  /** the verifier, and the keys that its results are signed with */
  readonly appraise: Broker['appraise']
  readonly verifiers: () => Promise<readonly SignatureJwk[]>
  /** verifier keys of the logs, and the witness policy that this broker proposes to owners */
  readonly logs: readonly string[]
  readonly witnessPolicy: string
  readonly clock: Clock
  /** what makes evidence of this broker; absent: it runs outside a TEE */
  readonly attester?: BrokerAttester | undefined
  /** decisions a minute, in bursts of as many */
  readonly rates?: { readonly perTenant?: number; readonly perMachine?: number }
}

/** A machine renews every few minutes and retries a few times; a tenant has many machines, at all processes together. */
const rateDefaults = { perTenant: 3000, perMachine: 120 }

/** A broker that is ready: its tables are there, and no entry of the time before waits for the log. */
export interface OpenedBroker {
  readonly broker: Broker
  /** what it says of itself at `/v1/broker`, signed: with the verifier's keys of now */
  document(): Promise<Envelope>
  /** the same with evidence that answers a nonce. @throws broker/unattested */
  prove(nonce: string): Promise<BrokerProof>
  /** entries that a crash had kept from the log */
  readonly recovered: number
}

/** What acknowledged production tenants rely on is still so. @throws database/not-durable, kek/vault-tls, database/... */
async function verifyFitForTenants(database: Database, kek: Kek): Promise<void> {
  const tenants = await database.read((db) => listTenants(db))
  if (!tenants.some((tenant) => tenant.class === 'production')) return
  await verifyDurable(database)
  kek.verifyProtected()
}

function releasedBy({ released }: OpenKek): Pick<BrokerDocument, 'kekBroker' | 'kekModel'> {
  return { kekBroker: released?.broker, kekModel: released?.model }
}

/** What a broker's document says of who can use its key. */
export const kekWords: Readonly<Record<OpenKek['holder'], BrokerDocument['kek']>> = {
  operator: 'KEK HELD BY OPERATOR',
  broker: 'KEK RELEASED BY BROKER',
}

/**
 * Opens a broker over its keys, database and log. What an earlier process stored and could not log any more is logged
 * before anything new is decided.
 *
 * throws  broker/rollback when the database is behind the log, database/not-durable and kek/vault-tls when it has production tenants, kek/key-id, log/...,
 *         database/...
 */
export async function openBroker(options: OpenBrokerOptions): Promise<OpenedBroker> {
  const { database, keys, log, appraise, clock } = options
  await migrateStore(database)
  const { signer, wrapping, wrappingHybrid, kek, callerSecret } = keys
  const own = { signer, wrapping, wrappingHybrid, kek, callerSecret, random: randomBytes }
  const { perTenant, perMachine } = { ...rateDefaults, ...options.rates }
  const nowMs = () => performance.now()
  const store = brokerStore(database)
  const rates = sharedRates({ take: store.takeRate, nowMs })
  const machines = createRateLimit({ perMinute: perMachine, nowMs })
  // A machine's bound is this process's own: shared it would cost a write for nearly every renewal, and its tenant's holds over all.
  const admit: Broker['admit'] = async (tenant, machine) =>
    machines.allow(`${tenant} ${machine}`) && (await rates.wait(`decisions ${tenant}`, perTenant)) === 0
  await verifyFitForTenants(database, kek)
  await verifyKeksOpen(database, kek)
  const attester = options.attester ?? null
  const standing = ownStanding(attester)
  const ports = { ...own, standing, store, log, appraise, clock, borders: heldBorders }
  const broker: Broker = { admit, rates, ...traced(ports), heads: new HeadMemory(), kept: new KeptStatements() }
  const recovered = await publishPending(broker, null)
  await verifyNotBehind(broker, options.record)
  const make = async () => {
    const document: BrokerDocument = {
      type: 'claviger/broker/v1',
      key: signer.publicKey as Ed25519Jwk,
      wrapping: wrapping.publicKey,
      wrappingHybrid: wrappingHybrid.publicKey,
      verifiers: await options.verifiers(),
      logs: options.logs,
      witnessPolicy: options.witnessPolicy,
      standing,
      kek: kekWords[kek.usableBy],
      ...(kek.usableBy === 'broker' ? releasedBy(kek) : { kekBroker: undefined, kekModel: undefined }),
      issuedAt: clock(),
    }
    return { document, envelope: await signBrokerDocument(document, signer) }
  }
  return {
    broker,
    document: async () => (await make()).envelope,
    prove: async (nonce) => proveBroker(attester, await make(), nonce),
    recovered,
  }
}
