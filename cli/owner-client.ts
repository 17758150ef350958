import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { json, type Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type BrokerDocument, type RegisterRequest, verifyBrokerDocument } from '#core/wire/broker-document.js'
import { type BrokerProof, brokerProofAnswerShape } from '#core/wire/broker-proof.js'
import { type AnyBundle, anyBundleShape } from '#core/wire/bundle.js'
import {
  type Accepted,
  type ApprovalsAnswer,
  acceptedShape,
  approvalAnswerShape,
  approvalsAnswerShape,
  cancellationAnswerShape,
  type DecisionsAnswer,
  decisionsAnswerShape,
  type Head,
  headsAnswerShape,
  type LeasesAnswer,
  leasesAnswerShape,
  type OwnerQuery,
  type ReleasedAnswer,
  releasedAnswerShape,
  signOwnerQuery,
  type UsageAnswer,
  usageAnswerShape,
} from '#core/wire/owner-query.js'
import { apiVersion } from '#core/wire/release.js'
import type { StatementKind } from '#core/wire/statements.js'

/** Failures of an owner's talk with a broker. A refusal of the broker's keeps the broker's own code in `detail.code`. */
export type OwnerClientCode = 'owner/unreachable' | 'owner/refused' | 'owner/answer'

const answerSizeMax = 32 * MiB
const timeoutMs = 60_000

/** The broker at a URL, as an owner or its operator speaks with it. */
export class OwnerClient {
  readonly #url: string
  readonly #fetch: typeof fetch

  constructor(url: string, fetchWith: typeof fetch = fetch) {
    this.#url = url
    this.#fetch = fetchWith
  }

  /** What the broker says of itself. pinned: thumbprint that it must have; null on a first use that a person confirms */
  async document(pinned: string | null): Promise<BrokerDocument> {
    return verifyBrokerDocument(await this.#call('/v1/broker', undefined, envelopeShape), pinned)
  }

  /** Its document with evidence for a nonce: null of a broker that says that it has none. nonce: base64url of 32 bytes */
  async prove(nonce: string): Promise<BrokerProof | null> {
    try {
      return (await this.#call('/v1/broker/evidence', { version: apiVersion, nonce }, brokerProofAnswerShape)).proof
    } catch (error) {
      if (isFailure(error) && error.detail?.code === 'broker/unattested') return null
      throw error
    }
  }

  createTenant(tenant: Envelope, adminToken: string): Promise<Accepted> {
    const headers = { authorization: `Bearer ${adminToken}` }
    return this.#call('/v1/tenants', { version: apiVersion, tenant }, acceptedShape, headers)
  }

  /** One statement of an owner's takes effect. A tenant's own goes to `createTenant`. */
  sendStatement(kind: StatementKind, statement: Envelope): Promise<Accepted> {
    return this.#call('/v1/statements', { version: apiVersion, kind, statement }, acceptedShape)
  }

  /** The leases of the owner that run now. */
  async leases(query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>, key: SigningKey): Promise<LeasesAnswer['leases']> {
    return (await this.#query({ ...query, ask: 'leases', entry: null }, key, leasesAnswerShape)).leases
  }

  /** Inferences of the owner's versions. */
  async usage(query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>, key: SigningKey): Promise<UsageAnswer['usage']> {
    return (await this.#query({ ...query, ask: 'usage', entry: null }, key, usageAnswerShape)).usage
  }

  /** What was ever released to this machine. */
  async released(
    platform: string,
    query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>,
    key: SigningKey,
  ): Promise<ReleasedAnswer['released']> {
    return (await this.#query({ ...query, ask: 'released', entry: null, platform }, key, releasedAnswerShape)).released
  }

  /** Decisions about the owner's models, the newest first: those before an entry, or the last. */
  async decisions(
    before: number | null,
    query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>,
    key: SigningKey,
  ): Promise<DecisionsAnswer['decisions']> {
    return (await this.#query({ ...query, ask: 'decisions', entry: before }, key, decisionsAnswerShape)).decisions
  }

  /** What waits for agreement at an owner's: verify it. For the owner, and for approvers. */
  approvals(query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>, key: SigningKey): Promise<ApprovalsAnswer> {
    return this.#query({ ...query, ask: 'approvals', entry: null }, key, approvalsAnswerShape)
  }

  sendApproval(approval: Envelope): Promise<{ readonly inForce: boolean }> {
    return this.#call('/v1/approvals', { version: apiVersion, approval }, approvalAnswerShape)
  }

  async sendCancellation(cancellation: Envelope): Promise<void> {
    await this.#call('/v1/cancellations', { version: apiVersion, cancellation }, cancellationAnswerShape)
  }

  registerModel(request: RegisterRequest): Promise<Accepted> {
    return this.#call('/v1/models', request, acceptedShape)
  }

  /** The newest statement of each chain, as the broker has it: verify them. Null when it does not know the tenant. */
  async heads(query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>, key: SigningKey): Promise<readonly Head[] | null> {
    try {
      return (await this.#query({ ...query, ask: 'heads', entry: null }, key, headsAnswerShape)).heads
    } catch (error) {
      if (isFailure(error) && error.detail?.code === 'broker/unknown-tenant') return null
      throw error
    }
  }

  /** The bundle of an entry of the owner's. */
  bundle(entry: number, query: Pick<OwnerQuery, 'broker' | 'tenant' | 'at'>, key: SigningKey): Promise<AnyBundle> {
    return this.#query({ ...query, ask: 'bundle', entry }, key, anyBundleShape)
  }

  /** What somebody may read whom the owner's access list names. bearer: null where a client certificate says who it is */
  read(tenant: string, what: string, bearer: string | null): Promise<Json> {
    const headers = bearer === null ? {} : { authorization: `Bearer ${bearer}` }
    return this.#call(`/v1/tenants/${tenant}/${what}`, undefined, json, headers)
  }

  /** The bundle of any entry, for the operator. */
  bundleAsOperator(entry: number, adminToken: string): Promise<AnyBundle> {
    return this.#call(`/v1/bundles/${entry}`, undefined, anyBundleShape, { authorization: `Bearer ${adminToken}` })
  }

  async #query<T>(query: Omit<OwnerQuery, 'type'>, key: SigningKey, shape: Shape<T>): Promise<T> {
    const signed = await signOwnerQuery({ type: 'claviger/owner-query/v1', ...query }, key)
    return this.#call('/v1/queries', { version: apiVersion, query: signed }, shape)
  }

  async #call<T>(path: string, body: unknown, shape: Shape<T>, headers: Record<string, string> = {}): Promise<T> {
    const { status, bytes } = await this.#exchange(path, body, headers)
    if (status !== 200) throw refusalOf(status, bytes)
    try {
      return shape(parseJson(bytes, answerSizeMax), 'answer')
    } catch (cause) {
      if (!isFailure(cause)) throw cause
      throw new Failure<OwnerClientCode>('owner/answer', `answer to ${path}: ${cause.message}`, { cause })
    }
  }

  async #exchange(path: string, body: unknown, headers: Record<string, string>) {
    try {
      const response = await this.#fetch(new URL(path, this.#url), {
        method: body === undefined ? 'GET' : 'POST',
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
        headers: { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: Buffer.from(canonicalJson(body)) }),
      })
      return { status: response.status, bytes: await readBounded(response) }
    } catch (cause) {
      if (isFailure(cause)) throw cause
      throw new Failure<OwnerClientCode>('owner/unreachable', `no answer from ${this.#url}`, {
        cause,
        detail: { hint: 'is a broker running there? one is started with: ./claviger serve all' },
      })
    }
  }
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > answerSizeMax)
      throw new Failure<OwnerClientCode>('owner/answer', `answer has more than ${answerSizeMax} bytes`)
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** The broker's refusal, with what it says about it. */
function refusalOf(status: number, bytes: Uint8Array): Failure<OwnerClientCode> {
  let problem: { readonly [name: string]: Json } = {}
  try {
    const value = json(parseJson(bytes), 'problem')
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) problem = value as typeof problem
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  const text = (name: string) =>
    typeof problem[name] === 'string' ? (problem[name] as string).slice(0, 1000) : undefined
  const code = text('code') ?? `status ${status}`
  // What a node, or another server, says to what a broker is asked.
  const isElsewhere = code === 'channel/unsealed' || text('code') === undefined
  return new Failure<OwnerClientCode>(
    'owner/refused',
    `broker refused: ${text('detail') ?? 'no reason given'} (${code})`,
    {
      detail: { code, status, ...(isElsewhere ? { hint: 'is this the address of a broker?' } : {}) },
    },
  )
}

/** The query of an owner's: who asks whom, when. */
export function queryFrom(owner: SigningKey, broker: string, at: UnixSeconds) {
  return { broker, tenant: owner.id, at }
}
