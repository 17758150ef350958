import type { SignatureJwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import {
  type Approval,
  type ApprovalRule,
  type ApprovedAction,
  approvedActions,
  signApprovalDocument,
} from '#core/wire/approvals.js'
import { payloadDigest, type Statement, type StatementKind } from '#core/wire/statements.js'
import { acceptStatement } from '#keybroker/changes.js'
import { type Registered, sign } from './fixtures.js'

/** Someone who may agree. */
export interface Person {
  readonly id: string
  readonly key: SigningKey
  readonly employer: string
  readonly group: string
}

export async function person(id: string, employer = `${id} Ltd`, group = employer): Promise<Person> {
  return { id, key: (await generateSigningKey('Ed25519')).key, employer, group }
}

export interface SetOptions {
  readonly actions?: readonly ApprovedAction[]
  readonly threshold?: number
  readonly lockSeconds?: number
  readonly expirySeconds?: number
  readonly rules?: readonly ApprovalRule[]
}

/** Two of these people, for policies, reference values, revocations and themselves, at once. */
export function setBody(people: readonly Person[], chain: Registered, options: SetOptions = {}) {
  const { threshold = 2, lockSeconds = 0, expirySeconds = 86_400 } = options
  const actions = options.actions ?? ['policy', 'reference-values', 'revocation', 'registration', 'trust', 'approvers']
  return {
    approvers: people.map(({ id, key, employer, group }) => ({
      id,
      key: key.publicKey as SignatureJwk,
      employer,
      group,
      actions: [...approvedActions],
      expiresAt: chain.test.clock.now + 10_000_000,
    })),
    rules: options.rules ?? actions.map((action) => ({ action, threshold, lockSeconds, expirySeconds })),
  }
}

/** What was proposed, and where. */
export interface Proposed {
  readonly kind: ApprovedAction
  readonly envelope: Envelope
  readonly digest: string
  readonly old: string | null
  readonly entry: number
}

type Body<K extends StatementKind> = Parameters<typeof sign<K>>[2]

/** The owner signs and sends a change that needs approvals. */
export async function proposeChange<K extends ApprovedAction>(
  chain: Registered,
  kind: K,
  body: Body<K>,
): Promise<Proposed> {
  const envelope = await sign(chain.owner, kind, body, { keepHead: true })
  const [accepted] = await acceptStatement(chain.test.broker, kind, envelope)
  const value = JSON.parse(atob(envelope.payload)) as Statement<K>
  return { kind, envelope, digest: payloadDigest(envelope), old: value.previous, entry: accepted!.entry }
}

/** Someone's approval of it, with parts changed. */
export async function approve(
  chain: Registered,
  proposed: Proposed,
  by: Person,
  changed: Partial<Approval> = {},
): Promise<Envelope> {
  const value = JSON.parse(atob(proposed.envelope.payload)) as { model?: string }
  const set = chain.owner.heads.get('approvers')
  const approval: Approval = {
    type: 'claviger/approval/v1',
    approver: by.key.id,
    broker: chain.test.broker.signer.id,
    tenant: chain.owner.id,
    action: proposed.kind,
    model: value.model ?? null,
    old: proposed.old,
    new: proposed.digest,
    approvers: set!.digest,
    stateIndex: proposed.entry,
    reason: 'reviewed',
    signedAt: chain.test.clock.now,
    expiresAt: chain.test.clock.now + 86_400,
    ...changed,
  }
  return signApprovalDocument('approval', approval, by.key)
}
