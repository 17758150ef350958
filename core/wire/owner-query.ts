import { type SignatureJwk, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds, releasedMax, statementChainsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { declaredShape } from '#core/wire/lease.js'
import { idShape, modelIdShape, nameShape, timeShape } from '#core/wire/names.js'
import { apiVersion } from '#core/wire/release.js'
import { namedMachineShape } from '#core/wire/revoked.js'
import { type Signed, type Statement, statementKindShape } from '#core/wire/statements.js'

/** Failures of an owner's question to its broker. */
export type OwnerQueryCode = 'query/broker' | 'query/tenant' | 'query/time' | 'query/ask'

/**
 * What an owner asks of its broker, signed with an owner's key. It only reads, so that the little a replay within the
 * allowed minute could do is to have the same answer sent again to whoever holds the connection.
 */
export const ownerQueryShape = object({
  type: literal('claviger/owner-query/v1'),
  /** thumbprint of the broker that may answer */
  broker: thumbprintShape,
  tenant: thumbprintShape,
  ask: oneOf('heads', 'leases', 'usage', 'bundle', 'approvals', 'decisions', 'released', 'qualify'),
  /** index in the log of the wanted bundle, or of the entry before which decisions are wanted; null for the other questions */
  entry: nullable(integer()),
  /** for `released`, and there alone: the machine, as leases name it */
  platform: optional(string({ max: 256 })),
  at: timeShape,
})
type Query = Shaped<typeof ownerQueryShape>
export type OwnerQuery = Omit<Query, 'platform'> & { readonly platform?: Query['platform'] }

const queryType = 'application/vnd.claviger.owner-query+json'

export async function signOwnerQuery(query: OwnerQuery, key: SigningKey): Promise<Envelope> {
  return signEnvelope(queryType, canonicalJson(query), [key])
}

/** The tenant that a query claims to come from: it says whose keys to verify it with. @throws json/..., shape/... */
export function claimedQuery(payload: Uint8Array): OwnerQuery {
  return ownerQueryShape(parseCanonicalJson(payload), 'query')
}

/**
 * A question that one of the tenant's keys signed for this broker within the last minute.
 *
 * others  keys of others who may ask this too
 * throws  query/broker, query/tenant, query/time, dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyOwnerQuery(
  envelope: Envelope,
  tenant: Signed<Statement<'tenant'>>,
  broker: string,
  at: UnixSeconds,
  others: readonly SignatureJwk[] = [],
): Promise<OwnerQuery> {
  const { payload } = await verifyEnvelope(envelope, queryType, [...tenant.value.keys, ...others], 'owner query')
  const query = claimedQuery(payload)
  if (query.broker !== broker) throw new Failure<OwnerQueryCode>('query/broker', 'query is for another broker')
  if (query.tenant !== tenant.value.tenant)
    throw new Failure<OwnerQueryCode>('query/tenant', 'query is of another tenant')
  if (Math.abs(at - query.at) > clockSkewSeconds) {
    throw new Failure<OwnerQueryCode>('query/time', `query was signed at ${query.at}, it is ${at}`)
  }
  return query
}

/** `POST /v1/queries`. */
export const queryRequestShape = object({ version: literal(apiVersion), query: envelopeShape })

/** `POST /v1/tenants`, with the broker's admin token: both are needed, neither replaces the other. */
export const tenantRequestShape = object({ version: literal(apiVersion), tenant: envelopeShape })

/** `POST /v1/statements`: one statement of an owner. A tenant's own statement goes to `/v1/tenants`. */
export const statementRequestShape = object({
  version: literal(apiVersion),
  kind: statementKindShape,
  statement: envelopeShape,
})

/** The newest statement of one chain, as it was signed. `model` is null for a statement on the whole tenant. */
export const headShape = object({
  kind: statementKindShape,
  model: nullable(modelIdShape),
  sequence: integer({ min: 1 }),
  digest: hex(32),
  statement: envelopeShape,
})
export type Head = Shaped<typeof headShape>

/** Answer to `heads`. */
export const headsAnswerShape = object({
  version: literal(apiVersion),
  heads: list(headShape, { max: statementChainsMax }),
})

/** Answer to a statement, a tenant or a registration that was accepted and stands in the log. */
export const acceptedShape = object({
  version: literal(apiVersion),
  accepted: list(
    object({
      kind: statementKindShape,
      sequence: integer({ min: 1 }),
      digest: hex(32),
      /** index in the log of the entry that made it public */
      entry: integer(),
      /** it is proposed, and in force when those who have to did agree (approvals.md); absent when it is in force */
      pending: optional(literal(true)),
    }),
    { max: 8 },
  ),
})
export type Accepted = Shaped<typeof acceptedShape>

/**
 * Inferences of a lease or of all. `debited` is the most that may have been used, `used` what TEEs signed, `returned` what
 * last words gave back; what is left of `debited` counts as used until somebody says otherwise.
 */
const inferencesShape = object({ debited: integer(), used: integer(), returned: nullable(integer()) })

/** Answer to `usage`: each version that was ever leased or has an allowance, and its newest leases. */
export const usageAnswerShape = object({
  version: literal(apiVersion),
  usage: list(
    object({
      model: modelIdShape,
      version: integer({ min: 1 }),
      /** this broker's part of what the owner signed; null for a version that is not the registered one, or has none */
      allowance: nullable(object({ inferences: nullable(integer()), expiresAt: nullable(timeShape) })),
      /** what the allowance has paid for: debited less returned */
      counted: integer(),
      /** what TEEs signed that they used */
      used: integer(),
      /** debited to leases that run, beyond what they said that they used */
      outstanding: integer(),
      /** debited to leases that are over without a last word, beyond what they said: it counts as used */
      silent: integer(),
      leases: list(
        object({
          id: idShape,
          state: oneOf('runs', 'over'),
          grantedAt: timeShape,
          expiresAt: timeShape,
          inferences: inferencesShape,
        }),
        { max: 1000 },
      ),
      /** how many there are beside those */
      more: integer(),
    }),
    { max: statementChainsMax * 16 },
  ),
})
export type UsageAnswer = Shaped<typeof usageAnswerShape>

/** Answer to `leases`: what runs now. */
export const leasesAnswerShape = object({
  version: literal(apiVersion),
  leases: list(
    object({
      id: idShape,
      model: modelIdShape,
      version: integer({ min: 1 }),
      keysetDigest: hex(32),
      grantedAt: timeShape,
      expiresAt: timeShape,
      /** index of the release or of the last renewal; null while the log has not confirmed it */
      entry: nullable(integer()),
      measurement: string(),
      /** what the owner may take it back by, beside those above */
      machine: namedMachineShape,
      /** place and operator as the host signed them; null for none */
      declared: nullable(declaredShape),
      inferences: inferencesShape,
    }),
    { max: 100_000 },
  ),
})
export type LeasesAnswer = Shaped<typeof leasesAnswerShape>

/** Answer to `released`: each version whose key ever went to a machine, over any route, or to one that hides which it is. */
export const releasedAnswerShape = object({
  version: literal(apiVersion),
  released: list(
    object({
      model: modelIdShape,
      version: integer({ min: 1 }),
      firstAt: timeShape,
      lastAt: timeShape,
      /** it went to machines that named none: perhaps to this one */
      hidden: boolean,
    }),
    { max: releasedMax },
  ),
})
export type ReleasedAnswer = Shaped<typeof releasedAnswerShape>

/** Answer to `approvals`: what waits for agreement, and what became of what did. Verify the statements and approvals. */
export const approvalsAnswerShape = object({
  version: literal(apiVersion),
  /** the statement that names those who have to agree; null when nobody has to */
  approvers: nullable(envelopeShape),
  proposals: list(
    object({
      /** of the statement that is proposed */
      digest: hex(32),
      kind: statementKindShape,
      model: nullable(modelIdShape),
      statement: envelopeShape,
      /** the statement that it would replace; null for none, or where something else replaced that meanwhile */
      previous: nullable(envelopeShape),
      /** over: its time is, or that of what it was to replace */
      state: oneOf('waiting', 'locked', 'ready', 'in force', 'cancelled', 'over'),
      /** index in the log of its entry; null while the log has not confirmed it */
      entry: nullable(integer()),
      proposedAt: timeShape,
      /** how many groups have to agree; null where no rule asks for it any more */
      threshold: nullable(integer()),
      notBefore: nullable(timeShape),
      lapsesAt: nullable(timeShape),
      /** names of those who agree, each of another group */
      agreed: list(nameShape, { max: 32 }),
    }),
    { max: 200 },
  ),
})
export type ApprovalsAnswer = Shaped<typeof approvalsAnswerShape>

/** `POST /v1/approvals`. */
export const approvalRequestShape = object({ version: literal(apiVersion), approval: envelopeShape })

/** Its answer: whether the change is in force by it. */
export const approvalAnswerShape = object({ version: literal(apiVersion), inForce: boolean })

/** `POST /v1/cancellations`. */
export const cancellationRequestShape = object({ version: literal(apiVersion), cancellation: envelopeShape })
export const cancellationAnswerShape = object({ version: literal(apiVersion) })

/** Answer to `decisions`: releases, renewals and denials, the newest first; empty when there are no more. */
export const decisionsAnswerShape = object({
  version: literal(apiVersion),
  decisions: list(
    object({ entry: integer(), kind: oneOf('release', 'renewal', 'denial'), model: modelIdShape, at: timeShape }),
    { max: 100 },
  ),
})
export type DecisionsAnswer = Shaped<typeof decisionsAnswerShape>
