import { and, eq, sql } from 'drizzle-orm'
import { canonicalJson } from '#core/encoding/json.js'
import type { Connection } from '#host/database.js'
import { encodeShare } from '#keybroker/model-key.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import { storeAccount } from '#keybroker/store/accounts.js'
import { storeDecisions } from '#keybroker/store/decisions.js'
import { appendEntry, forgetRequest } from '#keybroker/store/entries.js'
import { endLease, renewLease, storeDevices, storeTerms } from '#keybroker/store/leases.js'
import { cancelProposal, storeApproval, storeProposal } from '#keybroker/store/proposals.js'
import { readerOf, readStanding } from '#keybroker/store/reader.js'
import { storeKbsReleased } from '#keybroker/store/released.js'
import { pseudonyms, statements, tenants } from '#keybroker/store/schema.js'
import { appendStatement, createTenant, replaceModelKey, storeModelKey } from '#keybroker/store/tenants.js'

export function transactionOf(tx: Connection): StoreTransaction {
  const reader = readerOf(tx)
  return {
    ...reader,
    async shareTenant(id) {
      await tx.execute(sql`select 1 from ${tenants} where ${tenants.id} = ${id} for share`)
    },
    holdStanding: (tenant, model, version) => readStanding(tx, { tenant, model, version }, true),
    // An update and not a lock alone: a decision whose snapshot is older then fails and begins again, where a lock
    // would only have made it wait.
    async claimTenant(id) {
      await tx
        .update(tenants)
        .set({ createdAt: sql`${tenants.createdAt}` })
        .where(eq(tenants.id, id))
    },
    async createTenant({ id, class: tenantClass, ownerKeysDigest, opening }, ownerKeys, at) {
      await createTenant(tx, { id, class: tenantClass, ownerKeys, ownerKeysDigest, createdAt: at })
      await tx.insert(pseudonyms).values({ tenant: id, opening })
    },
    appendStatement: (tenant, statement, at) =>
      appendStatement(tx, {
        ...statement,
        tenant,
        envelope: canonicalJson(statement.envelope),
        accepted: statement.accepted && canonicalJson(statement.accepted),
        recordedAt: at,
      }),
    async recordAccepted(tenant, digest, accepted) {
      await tx
        .update(statements)
        .set({ accepted: canonicalJson(accepted) })
        .where(and(eq(statements.tenant, tenant), eq(statements.digest, digest)))
    },
    storeProposal: (tenant, proposal, at) => storeProposal(tx, tenant, proposal, at),
    cancelProposal: (...given) => cancelProposal(tx, ...given),
    storeApproval: (...given) => storeApproval(tx, ...given),
    appendEntry: (entry) => appendEntry(tx, entry),
    async storeModelKey(key, at) {
      const known = await reader.loadModelKey(key.tenant, key.model, key.version)
      await (known === null ? storeModelKey : replaceModelKey)(tx, {
        ...key,
        share: encodeShare(key.share),
        createdAt: at,
      })
    },
    storeDecisions: (writes, at) => storeDecisions(tx, writes, at),
    renewLease: (lease, at) => renewLease(tx, lease, at),
    endLease: (id, at) => endLease(tx, id, at),
    storeKbsReleased: (released, at) => storeKbsReleased(tx, released, at),
    storeTerms: (id, terms) => storeTerms(tx, id, terms),
    storeDevices: (lease, devices) => storeDevices(tx, lease, devices),
    storeAccount: (id, state) => storeAccount(tx, id, state),
    forgetGranted: (request) => forgetRequest(tx, request),
  }
}
