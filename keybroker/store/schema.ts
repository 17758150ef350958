/**
 * What belongs in keybroker/store: the broker's tables and the statements that read and change them, each with its
 * transactional contract. What does not: any decision, any verification of a signature. The database is not an
 * authority (I18): owners' statements are kept as the signed bytes, and whoever reads them verifies them again.
 *
 * The migrations spell these tables in SQL; the two change together, and a test compares them.
 */
import { bigint, boolean, foreignKey, integer, pgSchema, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { bytes, unixSeconds } from '#host/columns.js'

export const storeSchemaName = 'keybroker'
const schema = pgSchema(storeSchemaName)

/** `class` is fixed at creation: the database refuses to change it, and every wrapped key is bound to it. */
export const tenants = schema.table('tenants', {
  id: text().primaryKey(),
  class: text({ enum: ['production', 'development'] }).notNull(),
  /** canonical JSON of the owner's root keys, as the tenant was created with them */
  ownerKeys: bytes('owner_keys').notNull(),
  ownerKeysDigest: text('owner_keys_digest').notNull(),
  createdAt: unixSeconds('created_at').notNull(),
})

/** Opening of the tenant's pseudonym in the log, base64url of 32 bytes. Forgetting it unties all its entries from it. */
export const pseudonyms = schema.table('pseudonyms', {
  tenant: text()
    .primaryKey()
    .references(() => tenants.id),
  opening: text().notNull(),
})

/** What owners decided, as they signed it. `model` is empty for a statement on the whole tenant. */
export const statements = schema.table(
  'statements',
  {
    tenant: text()
      .notNull()
      .references(() => tenants.id),
    kind: text().notNull(),
    model: text().notNull(),
    sequence: integer().notNull(),
    digest: text().notNull(),
    /** digest of the statement with the sequence number before this one; null for the first */
    predecessor: text(),
    envelope: bytes().notNull(),
    /** the entry that made it public */
    entry: text().references(() => entries.id),
    recordedAt: unixSeconds('recorded_at').notNull(),
    /** canonical JSON of how it came to stand, where its owner has approvers */
    accepted: bytes(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.kind, table.model, table.sequence] }),
    uniqueIndex('statements_digest').on(table.tenant, table.digest),
  ],
)

export const modelKeys = schema.table(
  'model_keys',
  {
    tenant: text()
      .notNull()
      .references(() => tenants.id),
    model: text().notNull(),
    version: integer().notNull(),
    manifestDigest: text('manifest_digest').notNull(),
    trustDigest: text('trust_digest').notNull(),
    /** the key-encryption key that wrapped it */
    keyId: text('key_id').notNull(),
    wrapped: bytes().notNull(),
    /** canonical JSON of what a share is bound to, and of its opening; null for a whole key */
    share: bytes(),
    createdAt: unixSeconds('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.model, table.version] })],
)

/** Challenges that wait for their one use. `context` is what the challenge was given out for. */
export const nonces = schema.table('nonces', {
  nonce: bytes().primaryKey(),
  purpose: text().notNull(),
  context: bytes().notNull(),
  expiresAt: unixSeconds('expires_at').notNull(),
})

/** KBS sessions, by the digest of their id: who reads the table cannot take one over. */
export const sessions = schema.table('sessions', {
  idDigest: bytes('id_digest').primaryKey(),
  tee: text().notNull(),
  nonce: text().notNull(),
  state: text({ enum: ['challenged', 'attesting', 'attested'] }).notNull(),
  token: text(),
  expiresAt: unixSeconds('expires_at').notNull(),
})

/** `terms` is the lease as it was given to the node, canonical JSON. */
export const leases = schema.table('leases', {
  id: text().primaryKey(),
  tenant: text()
    .notNull()
    .references(() => tenants.id),
  model: text().notNull(),
  version: integer().notNull(),
  /** what names the machine among its tenant's leases: equal for the same chip */
  platform: text().notNull(),
  keysetDigest: text('keyset_digest').notNull(),
  /** the entry of the decision that granted or last renewed it */
  entry: text()
    .notNull()
    .references(() => entries.id),
  grantedAt: unixSeconds('granted_at').notNull(),
  expiresAt: unixSeconds('expires_at').notNull(),
  endedAt: bigint('ended_at', { mode: 'number' }),
  terms: bytes().notNull(),
})

/** Model keys that left by the KBS route, where nobody has a lease; `platform` as in leases. */
export const kbsReleased = schema.table(
  'kbs_released',
  {
    tenant: text()
      .notNull()
      .references(() => tenants.id),
    platform: text().notNull(),
    model: text().notNull(),
    version: integer().notNull(),
    firstAt: unixSeconds('first_at').notNull(),
    lastAt: unixSeconds('last_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.platform, table.model, table.version] })],
)

/** Devices of leases, so that one device in two leases is found, of whatever tenants. */
export const leaseDevices = schema.table(
  'lease_devices',
  {
    lease: text()
      .notNull()
      .references(() => leases.id),
    device: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.device, table.lease] })],
)

/** Where allowances of inferences stand, by the digest of tenant, model and version: sealed, canonical JSON. */
export const accounts = schema.table('accounts', { id: text().primaryKey(), state: bytes().notNull() })

/** Outbox of the log: written with the change that it reports, given to the log afterwards, in this order. */
export const entries = schema.table('entries', {
  id: text().primaryKey(),
  position: bigint({ mode: 'number' }).generatedAlwaysAsIdentity(),
  /** null for an entry about no tenant: a summary of refusals */
  tenant: text().references(() => tenants.id),
  kind: text().notNull(),
  /** whether it changes what later decisions are made from */
  isState: boolean('is_state').notNull(),
  leaf: bytes().notNull(),
  bundle: bytes().notNull(),
  recordedAt: unixSeconds('recorded_at').notNull(),
  /** its index in the log; null until the log has it */
  entryIndex: bigint('entry_index', { mode: 'number' }),
  /** the account of inferences that changed with it; null for none */
  account: text(),
})

/** Requests that were decided, so that a retry is known as one. */
export const requests = schema.table(
  'requests',
  {
    tenant: text().notNull(),
    id: text().notNull(),
    /** digest of what must be the same in a retry */
    digest: text().notNull(),
    lease: text(),
    entry: text()
      .notNull()
      .references(() => entries.id),
    decidedAt: unixSeconds('decided_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.id] })],
)

/** Refusals that are no entries of their own, counted by code and period until a summary entry reports them. */
export const refusals = schema.table(
  'refusals',
  {
    tenant: text().notNull(),
    code: text().notNull(),
    periodStart: unixSeconds('period_start').notNull(),
    count: bigint({ mode: 'number' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.code, table.periodStart] })],
)

/** Resources of the KBS route that administrators put here, each sealed under a key of its own, which the KEK wraps. */
export const resources = schema.table('resources', {
  path: text().primaryKey(),
  keyId: text('key_id').notNull(),
  wrappedKey: bytes('wrapped_key').notNull(),
  /** iv, ciphertext, tag */
  sealed: bytes().notNull(),
  storedAt: unixSeconds('stored_at').notNull(),
})

/** Evidence behind tokens of the KBS route, by the token's id, as long as the token lives: model keys are judged by it. */
export const kbsEvidence = schema.table('kbs_evidence', {
  token: text().primaryKey(),
  /** canonical JSON */
  evidence: bytes().notNull(),
  expiresAt: unixSeconds('expires_at').notNull(),
})

/**
 * Statements that wait for approvals. None says of itself what became of it: that it took effect is that it stands among the
 * statements, that it was called off is the entry of it.
 */
export const proposals = schema.table(
  'proposals',
  {
    tenant: text()
      .notNull()
      .references(() => tenants.id),
    /** of the statement */
    digest: text().notNull(),
    kind: text().notNull(),
    model: text().notNull(),
    envelope: bytes().notNull(),
    /** the entry that made it public */
    entry: text()
      .notNull()
      .references(() => entries.id),
    cancelledEntry: text('cancelled_entry').references(() => entries.id),
    cancellation: bytes(),
    recordedAt: unixSeconds('recorded_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.digest] })],
)

/** Who agreed to a proposal, as they signed it. They are verified each time that they count. */
export const approvals = schema.table(
  'approvals',
  {
    tenant: text().notNull(),
    proposal: text().notNull(),
    signer: text().notNull(),
    envelope: bytes().notNull(),
    recordedAt: unixSeconds('recorded_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.proposal, table.signer] }),
    foreignKey({ columns: [table.tenant, table.proposal], foreignColumns: [proposals.tenant, proposals.digest] }),
  ],
)

/** When it was seen last that what is said of a platform's place contradicts itself: it stands until its owner clears it. */
export const contradictions = schema.table(
  'contradictions',
  {
    tenant: text()
      .notNull()
      .references(() => tenants.id),
    platform: text().notNull(),
    seenAt: unixSeconds('seen_at').notNull(),
    because: text().notNull(),
    /** the denial in which it was seen */
    entry: text()
      .notNull()
      .references(() => entries.id),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.platform] })],
)

/** What happened in a minute, of what is bounded for all processes together. */
export const rates = schema.table('rates', {
  name: text().primaryKey(),
  /** minutes since 1970, by the clock of the database */
  minute: bigint({ mode: 'number' }).notNull(),
  used: bigint({ mode: 'number' }).notNull(),
})
