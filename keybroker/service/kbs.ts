import { randomBytes } from '#core/crypto/hash.js'
import type { Database } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import type { KbsPorts, ResourceDecision, VerifyKbsEvidence } from '#keybroker/kbs/ports.js'
import type { KbsToken } from '#keybroker/kbs/token.js'
import { kbsModels, recordResources } from '#keybroker/kbs-models.js'
import { bearerAdmin } from '#keybroker/service/admin.js'
import { readTenant } from '#keybroker/standing.js'
import { kbsEvidenceStore, kbsResources, kbsSessions } from '#keybroker/store/kbs-store.js'
import { listTenants } from '#keybroker/store/tenants.js'
import { verifyOne } from '#policies/release/statements.js'

export interface KbsOptions {
  readonly broker: Broker
  readonly database: Database
  readonly verifyEvidence: VerifyKbsEvidence
  /** SHA-256 of the text of the admin token */
  readonly adminTokenDigest: Uint8Array
  /** attestation results that resources of the operator may go to; with none of them, none goes anywhere */
  readonly resourceTiers: readonly KbsToken['claims']['submods']['cpu0']['ear.status'][]
}

const developmentTenantsMax = 100

/**
 * Roots of simulated evidence that owners of development tenants named in their trust statements, each verified with its
 * owner's keys. Evidence under one of them gets a token that says NOT HARDWARE, and no key of any other tenant.
 *
 * throws  broker/record, judge/statement-false, database/...
 */
export async function developmentRoots(broker: Broker, database: Database): Promise<readonly string[]> {
  const tenants = (await database.read((db) => listTenants(db))).filter((one) => one.class === 'development')
  const roots = new Set<string>()
  for (const { id } of tenants.slice(0, developmentTenantsMax)) {
    const { made, trust } = await broker.store.read(async (reader) => ({
      made: (await readTenant(reader, id)).made,
      trust: (await reader.loadStatements(id, '')).find((row) => row.kind === 'trust'),
    }))
    if (trust === undefined || made.value.class !== 'development') continue
    const { value } = await verifyOne('trust', trust.envelope, made, null)
    for (const root of value.simulatedRoots) roots.add(root)
  }
  return [...roots]
}

/** The KBS routes' ports over a broker: its keys, database, log and statements. */
export function kbsPorts(options: KbsOptions): KbsPorts {
  const { broker, database, verifyEvidence, adminTokenDigest, resourceTiers } = options
  const evidence = kbsEvidenceStore(database)
  return {
    clock: broker.clock,
    random: randomBytes,
    signer: broker.signer,
    sessions: kbsSessions(database),
    evidence,
    verifyEvidence,
    async decide(_path, { claims }): Promise<ResourceDecision> {
      const tier = claims.submods.cpu0['ear.status']
      return resourceTiers.includes(tier) ? { allow: true } : { allow: false, reasons: [`resource-tier/${tier}`] }
    },
    record: recordResources(broker),
    resources: kbsResources(database, broker.kek, broker.clock),
    models: kbsModels(broker, evidence),
    authoriseAdmin: bearerAdmin(adminTokenDigest),
    policyIds: () => ['resource-tier'],
  }
}
