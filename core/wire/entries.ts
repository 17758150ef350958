import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  base64Url,
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { entrySizeMax } from '#core/limits.js'
import { brokerStandingShape } from '#core/wire/broker-standing.js'
import { idShape, platformShape, timeShape } from '#core/wire/names.js'
import { actReasonShape } from '#core/wire/statements.js'

/** Failures of reading a log entry. */
export type EntryCode = 'entry/kind' | 'entry/size'

/**
 * What stands in the public log, one form for each kind. Digests of big random things stand as they are; names of
 * tenants and models, evidence (it holds chip ids), statements and decisions stand as commitments (I10, TRUST 6).
 */
const head = {
  type: literal('claviger/entry/v1'),
  /** broker's clock when the entry was made */
  at: timeShape,
  /** commitment to the tenant's id with one opening for all its entries: a pseudonym */
  tenant: hex(32),
}

const decided = {
  ...head,
  /** commitment to the model id */
  model: hex(32),
  /** index of the last state or proposal entry of this tenant that the decision had applied */
  state_index: integer(),
  nonce_digest: hex(32),
  /** commitment to the evidence as it came */
  evidence: hex(32),
  /** commitment to facts and decision */
  decision: hex(32),
  platform: platformShape,
  /** a broker outside a TEE says so in every decision; any other's word is what its evidence is for (I16) */
  broker: brokerStandingShape,
}

const released = {
  ...decided,
  version: integer({ min: 1 }),
  manifest_digest: hex(32),
  keyset_digest: hex(32),
  config_digest: hex(32),
  trust_digest: hex(32),
  policy_digest: hex(32),
  reference_values_digest: hex(32),
  ear_digest: hex(32),
  lease_id: idShape,
  lease_expires_at: timeShape,
  route: oneOf('v1', 'kbs'),
}

/** An entry names this many of a decision's reasons, the first ones; the decision that it commits to has all. */
export const loggedReasonsMax = 64

/** Of a key-encryption key: base64url of 16 bytes. */
const keyIdShape = base64Url(16)

const releaseShape = object({ kind: literal('release'), ...released })
const renewalShape = object({ kind: literal('renewal'), ...released })
const denialShape = object({
  kind: literal('denial'),
  ...decided,
  /** ids of the owner's rules, or codes of ours, that refused */
  reasons: list(string(), { min: 1, max: loggedReasonsMax }),
  policy_digest: nullable(hex(32)),
})
/** Kinds of statements whose changes stand in the log. */
const statedChangeShape = oneOf(
  'tenant',
  'trust',
  'registration',
  'policy',
  'reference-values',
  'revocation',
  'approvers',
  'kek',
  'break-glass',
  'sources',
  'access',
)
const stateShape = object({
  kind: literal('state'),
  ...head,
  change: statedChangeShape,
  model: nullable(hex(32)),
  sequence: integer({ min: 1 }),
  /** commitment to the signed statement's digest */
  statement: hex(32),
  /** why, as far as the owner says it: the code alone */
  reason: optional(actReasonShape),
})
/** A node's last word on a lease: how much came back is the owner's alone to know. */
const usageShape = object({
  kind: literal('usage'),
  ...head,
  /** commitment to the model id */
  model: hex(32),
  lease_id: idShape,
  /** commitment to the digest of the counter that the node's TEE signed */
  counter: hex(32),
})
/** A change that needs approvals: proposed, and not in force, or called off by someone of the owner's. */
const proposalShape = object({
  kind: literal('proposal'),
  ...head,
  act: oneOf('proposed', 'cancelled'),
  change: statedChangeShape,
  model: nullable(hex(32)),
  /** commitment to the digest of the signed statement that is proposed */
  statement: hex(32),
})
/**
 * A decision about a resource of the KBS route, or a model key whose owner delivers it there. Its client proves nothing
 * beyond its evidence and holds no lease, so it is counted among none.
 */
const kbsShape = object({
  kind: literal('kbs'),
  type: literal('claviger/entry/v1'),
  at: timeShape,
  /** null for a resource of the broker's operator */
  tenant: nullable(hex(32)),
  state_index: nullable(integer()),
  version: nullable(integer({ min: 1 })),
  manifest_digest: nullable(hex(32)),
  policy_digest: nullable(hex(32)),
  /** commitments to the resource's path, to the claims of the guest's token, and to the decision */
  resource: hex(32),
  token: hex(32),
  decision: hex(32),
  platform: platformShape,
  broker: brokerStandingShape,
  client: literal('unleased, unproven client'),
  allow: boolean,
  /** what refused; empty when nothing did */
  reasons: list(string(), { max: loggedReasonsMax }),
})
const summaryShape = object({
  kind: literal('refusals'),
  type: literal('claviger/entry/v1'),
  at: timeShape,
  since: timeShape,
  /** requests that were refused before they were decisions, counted by failure code */
  counts: list(object({ code: string(), count: integer({ min: 1 }) }), { max: 200 }),
})
/** From here on the stored keys are wrapped again under another key-encryption key, or a newer version of the same. */
const rotationShape = object({
  kind: literal('kek-rotation'),
  type: literal('claviger/entry/v1'),
  at: timeShape,
  /** ids of the keys that wrapped before */
  from: list(keyIdShape, { min: 1, max: 16 }),
  to: keyIdShape,
  provider: oneOf('file', 'pkcs11', 'vault', 'broker'),
  holder: oneOf('operator', 'broker'),
  broker: brokerStandingShape,
})

/** An operator says that the broker's database is known to be behind the log: a backup was restored. */
const rollbackShape = object({
  kind: literal('rollback'),
  type: literal('claviger/entry/v1'),
  at: timeShape,
  /** entries of the log when it was said; what is missing lies below */
  log_size: integer({ min: 1 }),
  first_lost: integer(),
  /** how many are missing, and how many of them are changes of owners */
  lost: integer({ min: 1 }),
  changes_lost: integer(),
  broker: brokerStandingShape,
})

/**
 * The broker's operator sets by what its own resources on the KBS route are given out, or guests affirmed. No key of an owner's hangs
 * on it.
 */
const kbsPolicyShape = object({
  kind: literal('kbs-policy'),
  type: literal('claviger/entry/v1'),
  at: timeShape,
  /** of the resources that it is for */
  class: oneOf('production', 'development'),
  decides: oneOf('resource', 'attestation'),
  /** commitment to the policy, whose id names resources */
  policy: hex(32),
  /** as decisions name it */
  policy_digest: hex(32),
  /** of the policy of the same id that it replaces; null for none */
  previous_digest: nullable(hex(32)),
  broker: brokerStandingShape,
})

export type ReleaseEntry = Shaped<typeof releaseShape> | Shaped<typeof renewalShape>
export type DenialEntry = Shaped<typeof denialShape>
export type StateEntry = Shaped<typeof stateShape>
export type UsageEntry = Shaped<typeof usageShape>
export type ProposalEntry = Shaped<typeof proposalShape>
export type RefusalsEntry = Shaped<typeof summaryShape>
export type KbsEntry = Shaped<typeof kbsShape>
export type RotationEntry = Shaped<typeof rotationShape>
export type RollbackEntry = Shaped<typeof rollbackShape>
export type KbsPolicyEntry = Shaped<typeof kbsPolicyShape>
export type Entry =
  | ReleaseEntry
  | DenialEntry
  | StateEntry
  | UsageEntry
  | ProposalEntry
  | RefusalsEntry
  | KbsEntry
  | RotationEntry
  | RollbackEntry
  | KbsPolicyEntry

const shapes: { readonly [K in Entry['kind']]: Shape<Entry> } = {
  release: releaseShape,
  renewal: renewalShape,
  denial: denialShape,
  state: stateShape,
  usage: usageShape,
  proposal: proposalShape,
  refusals: summaryShape,
  kbs: kbsShape,
  'kek-rotation': rotationShape,
  rollback: rollbackShape,
  'kbs-policy': kbsPolicyShape,
}

/** The leaf of an entry: its canonical JSON, below the 64 KiB that tlog-tiles allows. @throws entry/size */
export function encodeEntry(entry: Entry): Uint8Array {
  const leaf = canonicalJson(entry)
  if (leaf.length > entrySizeMax)
    throw new Failure<EntryCode>('entry/size', `entry has ${leaf.length} bytes, at most ${entrySizeMax}`)
  return leaf
}

/** The entry that a leaf holds. @throws entry/kind, entry/size, json/..., shape/... */
export function parseEntry(leaf: Uint8Array): Entry {
  if (leaf.length > entrySizeMax)
    throw new Failure<EntryCode>('entry/size', `entry has ${leaf.length} bytes, at most ${entrySizeMax}`)
  const value = parseCanonicalJson(leaf)
  const kind =
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as { kind?: unknown }).kind
      : undefined
  if (typeof kind !== 'string' || !Object.hasOwn(shapes, kind))
    throw new Failure<EntryCode>('entry/kind', 'unknown kind of entry')
  return shapes[kind as Entry['kind']](value, 'entry')
}
