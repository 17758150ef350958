import { randomBytes } from '#core/crypto/hash.js'
import type { Database } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import type { KbsPorts, ResourceDecision, VerifyKbsEvidence } from '#keybroker/kbs/ports.js'
import { kbsModels, recordResources } from '#keybroker/kbs-models.js'
import { bearerAdmin } from '#keybroker/service/admin.js'
import { kbsEvidenceStore, kbsResources, kbsSessions } from '#keybroker/store/kbs-store.js'

export interface KbsOptions {
  readonly broker: Broker
  readonly database: Database
  readonly verifyEvidence: VerifyKbsEvidence
  /** SHA-256 of the text of the admin token */
  readonly adminTokenDigest: Uint8Array
  /** attestation results that resources of the operator may go to; with none of them, none goes anywhere */
  readonly resourceTiers: readonly ResourceTier[]
}

/** The status of a guest's result; `simulated` whatever else is said of evidence that is NOT HARDWARE (I6). */
export type ResourceTier = 'affirming' | 'warning' | 'contraindicated' | 'simulated'

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
      const tier: ResourceTier =
        claims.claviger_hardware === 'hardware' ? claims.submods.cpu0['ear.status'] : 'simulated'
      return resourceTiers.includes(tier) ? { allow: true } : { allow: false, reasons: [`resource-tier/${tier}`] }
    },
    record: recordResources(broker),
    resources: kbsResources(database, broker.kek, broker.clock),
    models: kbsModels(broker, evidence),
    authoriseAdmin: bearerAdmin(adminTokenDigest),
    policyIds: () => ['resource-tier'],
  }
}
