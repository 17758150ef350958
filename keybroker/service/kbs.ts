import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk, SignatureJwk } from '#core/crypto/jwk.js'
import type { Database } from '#host/database.js'
import { inSpan } from '#host/spans.js'
import type { Broker } from '#keybroker/broker.js'
import { decideOperatorResource, type ResourceTier } from '#keybroker/kbs/decide.js'
import { verifyVerifiers } from '#keybroker/kbs/passport.js'
import type { KbsClass } from '#keybroker/kbs/policies.js'
import type { KbsPorts, VerifyKbsEvidence } from '#keybroker/kbs/ports.js'
import { kbsModels, recordResources } from '#keybroker/kbs-models.js'
import { bearerAdmin } from '#keybroker/service/admin.js'
import { kbsPolicies } from '#keybroker/store/kbs-policies.js'
import { kbsEvidenceStore, kbsResources, kbsSessions } from '#keybroker/store/kbs-store.js'

/** What an operator sets for the KBS route. */
export interface KbsSettings {
  /** keys that sign administrators' tokens */
  readonly adminKeys?: readonly Ed25519Jwk[]
  /** keys of other verifiers whose tokens are taken */
  readonly verifiers?: readonly SignatureJwk[]
  /** of the operator's own resources; default `production` */
  readonly kbsClass?: KbsClass
  /** takes the protocol's sample evidence, which proves nothing; has no effect in `production` */
  readonly dangerousAllowSample?: boolean
}

export interface KbsOptions extends KbsSettings {
  readonly broker: Broker
  readonly database: Database
  readonly verifyEvidence: VerifyKbsEvidence
  /** SHA-256 of the text of the admin token */
  readonly adminTokenDigest: Uint8Array
  /** where no policy was uploaded: results that resources of the operator may go to; with none of them, none goes anywhere */
  readonly resourceTiers: readonly ResourceTier[]
}

/** The KBS routes' ports over a broker: its keys, database, log and statements. @throws kbs/token for verifiers */
export function kbsPorts(options: KbsOptions): KbsPorts {
  const { broker, database, verifyEvidence, adminTokenDigest, resourceTiers } = options
  const { adminKeys = [], verifiers = [], kbsClass = 'production' } = options
  verifyVerifiers(verifiers)
  const evidence = kbsEvidenceStore(database)
  const policies = kbsPolicies(database, broker, kbsClass)
  return {
    clock: broker.clock,
    random: randomBytes,
    signer: broker.signer,
    sessions: kbsSessions(database),
    evidence,
    verifyEvidence: (...given) => inSpan('attest', {}, () => verifyEvidence(...given)),
    decide: async (path, token, at) =>
      decideOperatorResource({ path, token, policies: await policies.load(), tiers: resourceTiers, kbsClass, at }),
    record: recordResources(broker),
    resources: kbsResources(database, broker.kek, broker.clock),
    models: kbsModels(broker, evidence),
    authoriseAdmin: bearerAdmin({
      tokenDigest: adminTokenDigest,
      keys: adminKeys,
      broker: broker.signer.id,
      clock: broker.clock,
    }),
    policies,
    kbsClass,
    dangerousAllowSample: options.dangerousAllowSample === true && kbsClass === 'development',
    verifiers,
  }
}
