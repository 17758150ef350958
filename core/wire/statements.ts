import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { ed25519Jwk, type SignatureJwk, signatureJwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  base64Url,
  either,
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
import { breakGlassSecondsMax, policySizeMax } from '#core/limits.js'
import { quorumShape } from '#core/sealed/quorum.js'
import { accessMembers } from '#core/wire/access-list.js'
import { approversMembers } from '#core/wire/approvals.js'
import { brokerDemandShape } from '#core/wire/broker-standing.js'
import { budgetShape } from '#core/wire/budget.js'
import {
  acceptsShape,
  countryShape,
  modelIdShape,
  nameShape,
  reasonTextShape,
  timeShape,
  titleShape,
} from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { revokedKinds } from '#core/wire/revoked.js'
import { sourcesMembers } from '#core/wire/sources.js'

/** Failures of a signed statement. */
export type StatementCode = 'statement/chain' | 'statement/tenant' | 'statement/model'

/** Why an owner acts: few words, since everybody can read them in the log. */
export const actReasons = [
  'routine',
  'incident',
  'compliance',
  'rotation',
  'personnel',
  'correction',
  'emergency',
] as const
export type ActReason = (typeof actReasons)[number]
export const actReasonShape: Shape<ActReason> = oneOf(...actReasons)

/**
 * What every statement of an owner says about itself. A statement names its place in a chain of its kind (and model),
 * so that a database can neither drop one in the middle nor bring an old one back unseen (I18).
 */
const head = {
  /** thumbprint of the tenant's first key */
  tenant: thumbprintShape,
  /** 1 for the first of its kind for this model, then one more each time */
  sequence: integer({ min: 1 }),
  /** digest of the payload that it replaces; null for the first */
  previous: nullable(hex(32)),
  issuedAt: timeShape,
  /** why its owner says so; absent where the owner gives no reason. Nothing is decided by it; the log shows the code */
  why: optional(object({ code: actReasonShape, note: titleShape })),
}

const classShape = oneOf('production', 'development')

const callerShape = object({
  id: nameShape,
  /** SHA-256 of the text of the credential: base64url of 32 random bytes (`credentialHash`) */
  credentialHash: hex(32),
  expiresAt: timeShape,
})
/** Who may call a model: `any`, or exactly these. */
export const callersShape = either(literal('any'), list(callerShape, { max: 1000 }))
export type Callers = Shaped<typeof callersShape>

/** `inferences` over all leases of the version, null for any number; `expiresAt`: when the licence ends, null for never. */
const allowanceShape = object({
  inferences: nullable(integer({ min: 1 })),
  expiresAt: nullable(timeShape),
})

const revokedShape = object({ kind: oneOf(...revokedKinds), value: string({ max: 200 }) })

/** One shape for each kind of statement that an owner signs. */
export const statementShapes = {
  /** Creates a tenant. Its class is fixed here for ever. Signed by the first key. */
  tenant: object({
    type: literal('claviger/statement/tenant/v1'),
    ...head,
    name: nameShape,
    class: classShape,
    keys: list(signatureJwk, { min: 1, max: 16 }),
  }),
  /** Whom the owner's nodes and readers believe (TRUST 2). */
  trust: object({
    type: literal('claviger/statement/trust/v1'),
    ...head,
    /** that of the tenant, for those who see this statement alone: a node, before it asks for anything */
    class: classShape,
    brokers: list(ed25519Jwk, { min: 1, max: 16 }),
    verifiers: list(signatureJwk, { min: 1, max: 16 }),
    /** C2SP signed-note verifier keys */
    logs: list(string({ max: 300 }), { min: 1, max: 8 }),
    /** C2SP tlog-policy text */
    witnessPolicy: string({ max: 16 * 1024 }),
    /** SHA-256 of root keys that stand for no vendor: heeded for development tenants only, and never as hardware */
    simulatedRoots: list(hex(32), { max: 16 }),
    /** witness names that count as independent of broker, log and host */
    independentWitnesses: list(string(), { max: 32 }),
    /**
     * Brokers that have to prove themselves before a node sends them anything, each by its thumbprint (I16). One that is not
     * named may run outside a TEE, and is shown as an `UNATTESTED BROKER`; absent: none is named.
     */
    attestedBrokers: optional(
      list(object({ broker: thumbprintShape, demand: brokerDemandShape }), { min: 1, max: 16 }),
    ),
  }),
  registration: object({
    type: literal('claviger/statement/registration/v1'),
    ...head,
    model: modelIdShape,
    version: integer({ min: 1 }),
    manifestDigest: hex(32),
    /** versions below it are never released again */
    versionFloor: integer({ min: 1 }),
    /** on which routes the key may leave the broker */
    delivery: list(oneOf('v1', 'kbs'), { min: 1, max: 2 }),
    lease: object({
      seconds: integer({ min: 10, max: 86_400 }),
      budget: budgetShape,
      nodes: integer({ min: 1, max: 100_000 }),
    }),
    /** how much and how long all nodes together may use this version; absent: only leases bound it */
    allowance: optional(allowanceShape),
    callers: callersShape,
    /** the key leaves under X-Wing alone; absent: the node's attested keyset says under what */
    keyExchange: optional(literal('hybrid')),
    /** the brokers among whom the key is split, as the manifest has it. Absent: this broker holds the whole key */
    quorum: optional(quorumShape),
  }),
  policy: object({
    type: literal('claviger/statement/policy/v1'),
    ...head,
    model: modelIdShape,
    name: nameShape,
    language: literal('cedar'),
    text: string({ max: policySizeMax }),
    /** what a policy of a production tenant leaves open, where its owner knows (TRUST 21). Absent: nothing */
    accepts: optional(acceptsShape),
  }),
  'reference-values': object({
    type: literal('claviger/statement/reference-values/v1'),
    ...head,
    model: modelIdShape,
    values: referenceValuesShape,
  }),
  revocation: object({
    type: literal('claviger/statement/revocation/v1'),
    ...head,
    model: modelIdShape,
    /** the whole list, not what was added */
    revoked: list(revokedShape, { max: 10_000 }),
    reason: titleShape,
  }),
  /** Who has to agree to what (TRUST 12): see approvals.md. */
  approvers: object({ type: literal('claviger/statement/approvers/v1'), ...head, ...approversMembers }),
  /** For so long, rules of the policy that are annotated `@breakglass` do not refuse where this policy permits (TRUST 12). */
  'break-glass': object({
    type: literal('claviger/statement/break-glass/v1'),
    ...head,
    model: modelIdShape,
    language: literal('cedar'),
    text: string({ max: policySizeMax }),
    /** from the moment that it takes effect; 0 ends the one before */
    seconds: integer({ max: breakGlassSecondsMax }),
    /** what the emergency is: it stands in the log */
    reason: reasonTextShape,
  }),
  /** Under which key-encryption keys the owner's model keys may be kept. */
  kek: object({
    type: literal('claviger/statement/kek/v1'),
    ...head,
    /** ids of key-encryption keys */
    keys: list(base64Url(16), { min: 1, max: 16 }),
  }),
  /** Whom the owner believes about places and companies, and what they say: see sources.md. */
  sources: object({ type: literal('claviger/statement/sources/v1'), ...head, ...sourcesMembers }),
  /** Who may read as whom, beside the owner who signs. */
  access: object({
    type: literal('claviger/statement/access/v1'),
    ...head,
    ...accessMembers,
  }),
} as const

export type StatementKind = keyof typeof statementShapes
/** What may be absent may be left out by whoever makes one. */
type Leaving<T> = T extends { readonly why: infer W }
  ? Omit<T, 'why' | 'attestedBrokers' | 'accepts'> & { readonly why?: W } & Leavable<T>
  : never
type Leavable<T> = T extends { readonly attestedBrokers: infer A }
  ? { readonly attestedBrokers?: A }
  : T extends { readonly accepts: infer A }
    ? { readonly accepts?: A }
    : unknown
export type Statement<K extends StatementKind = StatementKind> = Leaving<Shaped<(typeof statementShapes)[K]>>
export const statementKindShape: Shape<StatementKind> = oneOf(
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

/** What the host says of itself, signed by the host's key: basis `declared`, grade L0, nothing more. */
export const hostStatementShape = object({
  type: literal('claviger/statement/host/v1'),
  host: nameShape,
  place: nullable(object({ country: countryShape })),
  operator: nullable(object({ legalName: titleShape, country: countryShape })),
  issuedAt: timeShape,
})
export type HostStatement = Shaped<typeof hostStatementShape>

/** A statement that was verified: its value, its digest and who signed. */
export interface Signed<T> {
  readonly value: T
  /** lowercase hex of SHA-256 over the payload bytes */
  readonly digest: string
  readonly signers: readonly string[]
  readonly envelope: Envelope
}

const payloadType = (kind: StatementKind | 'host') => `application/vnd.claviger.${kind}+json`

/** Signs a statement: the payload is its canonical JSON. */
export async function signStatement<K extends StatementKind>(
  kind: K,
  statement: Statement<K>,
  key: SigningKey,
): Promise<Envelope> {
  return signEnvelope(payloadType(kind), canonicalJson(statement), [key])
}

/** Signs a host's statement. */
export async function signHostStatement(statement: HostStatement, key: SigningKey): Promise<Envelope> {
  return signEnvelope(payloadType('host'), canonicalJson(statement), [key])
}

/** The digest that names a signed document: SHA-256 over its payload bytes, lowercase hex. */
export function payloadDigest(envelope: Envelope): string {
  return toHex(sha256(fromBase64(envelope.payload)))
}

/**
 * A statement of this kind that one of `keys` signed. A tenant's own statement is verified with the keys inside it:
 * the caller then compares its tenant id with the one expected.
 *
 * throws  dsse/type, dsse/signer, crypto/signature, json/..., shape/..., statement/tenant, statement/model
 */
export async function verifyStatement<K extends StatementKind>(
  kind: K,
  envelope: Envelope,
  keys: readonly SignatureJwk[],
): Promise<Signed<Statement<K>>> {
  const { payload, signers } = await verifyEnvelope(envelope, payloadType(kind), keys, `${kind} statement`)
  const value = (statementShapes[kind] as unknown as Shape<Statement<K>>)(parseCanonicalJson(payload), kind)
  if ('model' in value && !value.model.startsWith(`${value.tenant}/`)) {
    throw new Failure<StatementCode>('statement/model', `${kind} statement names a model of another owner`)
  }
  return { value, digest: toHex(sha256(payload)), signers, envelope }
}

/** The tenant's own statement: its tenant id must be the thumbprint of its first key, and that key must have signed. */
export async function verifyTenantStatement(envelope: Envelope): Promise<Signed<Statement<'tenant'>>> {
  const claimed = statementShapes.tenant(parseCanonicalJson(fromBase64(envelope.payload)), 'tenant')
  const first = claimed.keys[0]!
  if (thumbprint(first) !== claimed.tenant) {
    throw new Failure<StatementCode>('statement/tenant', 'tenant id is not the thumbprint of its first key')
  }
  return verifyStatement('tenant', envelope, [first])
}

/** A host's statement with the key that made it; the key is information, not an anchor. */
export async function verifyHostStatement(envelope: Envelope, key: SignatureJwk): Promise<Signed<HostStatement>> {
  const { payload, signers } = await verifyEnvelope(envelope, payloadType('host'), [key], 'host statement')
  return {
    value: hostStatementShape(parseCanonicalJson(payload), 'host'),
    digest: toHex(sha256(payload)),
    signers,
    envelope,
  }
}

/** Returns only when `next` follows `current` in its chain. @throws statement/chain */
export function verifySuccession(
  current: { readonly value: { readonly sequence: number }; readonly digest: string } | null,
  next: { readonly sequence: number; readonly previous: string | null },
): void {
  const sequence = (current?.value.sequence ?? 0) + 1
  if (next.sequence !== sequence || next.previous !== (current?.digest ?? null)) {
    throw new Failure<StatementCode>(
      'statement/chain',
      `statement has sequence ${next.sequence}, expected ${sequence} after the current one`,
      {
        detail: { expectedSequence: sequence, expectedPrevious: current?.digest ?? null },
      },
    )
  }
}

/** Digest of the tenant's key set: part of what a wrapped key is bound to. */
export function ownerKeysDigest(keys: readonly SignatureJwk[]): string {
  return toHex(sha256(canonicalJson(keys)))
}
