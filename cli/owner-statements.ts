import { equal } from '#core/bytes/bytes.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Head } from '#core/wire/owner-query.js'
import {
  type Signed,
  type Statement,
  type StatementKind,
  signStatement,
  verifyStatement,
} from '#core/wire/statements.js'

/** Failures of composing what an owner says next. */
export type OwnerStatementCode =
  /** the broker shows a statement that the owner did not make */
  'owner/head'

export type Body<K extends StatementKind> = Omit<
  Statement<K>,
  'type' | 'tenant' | 'sequence' | 'previous' | 'issuedAt' | 'why'
>

/** A statement to send: the one that stands already, when it says the same, or the next of its chain. */
export interface Composed {
  readonly kind: StatementKind
  readonly envelope: Envelope
  readonly sequence: number
  readonly isNew: boolean
}

/**
 * What the owner says next on a subject, following what it said last.
 *
 * why     given with it; the same said for another reason is nothing new
 * heads   as the broker shows them; the one of this chain is verified before anything is signed after it
 * throws  owner/head, dsse/..., crypto/signature, json/..., shape/...
 */
export async function compose<K extends StatementKind>(
  kind: K,
  body: Body<K>,
  owner: SigningKey,
  heads: readonly Head[],
  at: UnixSeconds,
  why?: Statement['why'],
): Promise<Composed> {
  const model = 'model' in body ? (body.model as string) : null
  const last = await newest(kind, model, owner.publicKey, heads)
  if (last && says(last.value, body)) {
    return { kind, envelope: last.envelope, sequence: last.value.sequence, isNew: false }
  }
  const sequence = (last?.value.sequence ?? 0) + 1
  const statement = {
    type: `claviger/statement/${kind}/v1`,
    tenant: owner.id,
    sequence,
    previous: last?.digest ?? null,
    issuedAt: at,
    ...(why === undefined ? {} : { why }),
    ...body,
  } as unknown as Statement<K>
  return { kind, envelope: await signStatement(kind, statement, owner), sequence, isNew: true }
}

/**
 * What the owner said last on a subject, as it was signed; null when nothing.
 *
 * model   null for a statement on the whole tenant
 * throws  owner/head, dsse/..., crypto/signature, json/..., shape/...
 */
export async function newest<K extends StatementKind>(
  kind: K,
  model: string | null,
  key: SignatureJwk,
  heads: readonly Head[],
): Promise<Signed<Statement<K>> | null> {
  const head = heads.find((one) => one.kind === kind && one.model === model)
  if (head === undefined) return null
  const signed = await verifyStatement(kind, head.statement, [key])
  if (signed.digest !== head.digest || signed.value.sequence !== head.sequence)
    throw new Failure<OwnerStatementCode>('owner/head', `the broker shows a ${kind} statement that is not what it says`)
  return signed
}

/** Whether a statement says the same as `body`, whenever it was signed. */
function says(value: object, body: object): boolean {
  const {
    type: _t,
    tenant: _o,
    sequence: _s,
    previous: _p,
    issuedAt: _i,
    why: _w,
    ...rest
  } = value as Record<string, unknown>
  return equal(canonicalJson(rest), canonicalJson(body))
}
