import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { thumbprintShape } from '#core/crypto/jwk.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  object,
  oneOf,
  optional,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import {
  countryShape,
  modelIdShape,
  nameShape,
  ownerOf,
  platformShape,
  timeShape,
  titleShape,
} from '#core/wire/names.js'
import { type Established, establishedGroups, establishedMembers, sortedLists } from '#policies/credentials/facts.js'
import { countryMeant, isCountry } from '#policies/registry/countries.js'

/** Failures of making or reading facts, beside the `shape/...` codes of a member that has not its form. */
export type FactsCode = 'facts/time' | 'facts/country' | 'facts/model' | 'facts/order' | 'facts/groups'

const svn = optional(integer({ max: 255 }))
const measurement = string({ max: 128, form: /^(?:[0-9a-f]{2}){16,64}$/ })
const code = string({ max: 100, form: /^[a-z0-9][a-z0-9./-]*$/ })

/** Nobody says it: an absent fact, not an empty one. */
const notStated = object({ stated: literal(false) })

/** Who says where the node is or who runs it, how well that is founded, and how old it is (I13). */
const declared = {
  stated: literal(true),
  country: countryShape,
  /** the host's own signed word; other bases come with the credentials that found them */
  basis: literal('declared'),
  /** L0: verified by nothing */
  grade: literal(0),
  /** thumbprint of the key that signed */
  issuer: thumbprintShape,
  ageSeconds: integer(),
}

/** `notStated`, or this shape: the member `stated` decides. */
function statedOr<T>(shape: Shape<T>): Shape<T | Shaped<typeof notStated>> {
  return (value, path) => {
    const stated = (value as { readonly stated?: unknown } | null | undefined)?.stated
    return stated === false ? notStated(value, path) : shape(value, path)
  }
}

const factsShape = object({
  type: literal('claviger/facts/v1'),
  /** broker's clock at the decision */
  time: timeShape,
  node: object({ keysetDigest: hex(32) }),
  tenant: object({ class: oneOf('production', 'development') }),
  model: object({
    id: modelIdShape,
    owner: thumbprintShape,
    name: nameShape,
    version: integer({ min: 1 }),
    manifestDigest: hex(32),
  }),
  evidence: object({
    kind: code,
    platform: platformShape,
    tier: oneOf('none', 'affirming', 'warning', 'contraindicated'),
    /** sorted, each once */
    warnings: list(code, { max: 64 }),
    measurement,
    debug: boolean,
    product: optional(nonEmpty(titleShape)),
    ageSeconds: integer(),
    /** sorted, each once; every value that names software on the machine */
    measurements: list(measurement, { min: 1, max: 64 }),
    /** left out where the kind has none or the host hides it */
    platformId: optional(string({ max: 128, form: /^(?:[0-9a-f]{2}){1,64}$/ })),
    /** sorted, each once */
    devices: list(string({ max: 128, form: /^(?:[0-9a-f]{2}){1,64}$/ }), { max: 64 }),
    /** the vendor's word; left out where it has none */
    tcbStatus: optional(string({ max: 100, form: /^[A-Za-z][A-Za-z0-9]*$/ })),
    tcb: object({ bootLoader: svn, tee: svn, snp: svn, microcode: svn, fmc: svn }),
  }),
  place: statedOr(object(declared)),
  operator: statedOr(object({ ...declared, name: nonEmpty(titleShape) })),
  purpose: statedOr(object({ stated: literal(true), name: nameShape })),
  credentials: optional(establishedMembers.credentials),
  company: optional(establishedMembers.company),
  site: optional(establishedMembers.site),
  staff: optional(establishedMembers.staff),
  licence: optional(establishedMembers.licence),
})

/** All that a decision is made of, beside the policy. Plain JSON: a bundle carries it. */
export type Facts = Shaped<typeof factsShape>

/** What an attestation result says, in words that belong to no vendor. */
export interface AttestedClaims {
  readonly kind: string
  readonly platform: 'hardware' | 'simulated'
  readonly tier: Facts['evidence']['tier']
  /** codes of what the appraisal warned of */
  readonly warnings: readonly string[]
  /** lowercase hex */
  readonly measurement: string
  /** every value that names software on the machine, that one included */
  readonly measurements: readonly string[]
  /** null where the kind has none or the host hides it */
  readonly platformId: string | null
  readonly devices: readonly string[]
  readonly debug: boolean
  readonly product: string | null
  /** the vendor's word for the state of the firmware; null where it has none */
  readonly tcbStatus: string | null
  /** reported security versions; what the kind does not have is left out */
  readonly svns: {
    readonly bootLoader?: number
    readonly tee?: number
    readonly snp?: number
    readonly microcode?: number
    readonly fmc?: number
  }
  readonly verifiedAt: UnixSeconds
}

/** What the host's verified statement says, and whose key signed it. */
export interface DeclaredByHost {
  readonly place: { readonly country: string } | null
  readonly operator: { readonly legalName: string; readonly country: string } | null
  readonly issuedAt: UnixSeconds
  readonly issuer: string
}

export interface FactsInput {
  /** broker's clock */
  readonly at: UnixSeconds
  readonly keysetDigest: string
  readonly attested: AttestedClaims
  /** null when the host states nothing */
  readonly declared: DeclaredByHost | null
  readonly model: { readonly id: string; readonly version: number; readonly manifestDigest: string }
  readonly tenantClass: 'production' | 'development'
  /** null when the request names none */
  readonly purpose: string | null
  /** what rests on credentials; absent where the owner never said whom it believes, and then these facts are absent too */
  readonly established?: Established | undefined
}

/**
 * The facts of one decision. What nobody states is an absent fact: `{ stated: false }`, or a member left out.
 *
 * input   `declared` is a statement whose signature the caller verified with the key `issuer`
 * throws  facts/time (a statement or evidence from the future), facts/country, shape/...
 */
export function buildFacts(input: FactsInput): Facts {
  const { at, attested, declared, model } = input
  const { kind, platform, tier, measurement, platformId, debug, product, tcbStatus, svns } = attested
  const basis = declared && {
    basis: 'declared',
    grade: 0,
    issuer: declared.issuer,
    ageSeconds: ageOf(declared.issuedAt, at, "the host's statement"),
  }
  return parseFacts({
    type: 'claviger/facts/v1',
    time: at,
    node: { keysetDigest: input.keysetDigest },
    tenant: { class: input.tenantClass },
    model: { ...model, owner: ownerOf(model.id), name: model.id.slice(44) },
    evidence: {
      kind,
      platform,
      tier,
      warnings: sorted(attested.warnings),
      measurement,
      measurements: sorted(attested.measurements),
      ...(platformId === null ? {} : { platformId }),
      devices: sorted(attested.devices),
      debug,
      ...(product === null ? {} : { product }),
      ageSeconds: ageOf(attested.verifiedAt, at, 'the attestation result'),
      ...(tcbStatus === null ? {} : { tcbStatus }),
      tcb: svns,
    },
    place: basis && declared.place ? { stated: true, country: declared.place.country, ...basis } : { stated: false },
    operator:
      basis && declared.operator
        ? { stated: true, name: declared.operator.legalName, country: declared.operator.country, ...basis }
        : { stated: false },
    purpose: input.purpose === null ? { stated: false } : { stated: true, name: input.purpose },
    ...withoutAbsent(input.established ?? {}),
  })
}

/** As JSON has it: a member that is undefined is none. */
function withoutAbsent(groups: object): { readonly [name: string]: Json } {
  const present = (group: object) =>
    Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined))
  return Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, present(group)]))
}

const sorted = (list: readonly string[]): readonly string[] => [...new Set(list)].sort()

/** Seconds since `then`. A clock may be ahead of ours by the forgiven difference, which counts as no age. */
function ageOf(then: UnixSeconds, at: UnixSeconds, what: string): number {
  if (then > at + clockSkewSeconds)
    throw new Failure<FactsCode>('facts/time', `${what} is dated ${then - at} seconds ahead of the clock`)
  return Math.max(0, at - then)
}

/**
 * Facts read back, as from a bundle: exactly the members of docs/spec/facts.md.
 *
 * throws  facts/country, facts/model (id, owner and name disagree), facts/order, facts/groups, shape/...
 */
export function parseFacts(value: Json | undefined): Facts {
  const facts = factsShape(value, 'facts')
  for (const country of countriesIn(facts)) {
    if (isCountry(country)) continue
    const meant = countryMeant(country)
    throw new Failure<FactsCode>(
      'facts/country',
      `${country} is not an assigned ISO 3166-1 code${meant ? `, ${meant} is` : ''}`,
    )
  }
  const { model, evidence } = facts
  if (`${model.owner}/${model.name}` !== model.id)
    throw new Failure<FactsCode>('facts/model', 'model id is not its owner and name')
  // One form a value: the digest of facts must not depend on how a list was ordered.
  for (const name of ['warnings', 'measurements', 'devices'] as const) {
    const list = evidence[name]
    if (list.some((one, i) => i > 0 && list[i - 1]! >= one))
      throw new Failure<FactsCode>('facts/order', `${name} are not sorted, each once`)
  }
  verifyEstablished(facts)
  return facts
}

function countriesIn({ place, operator, company, site }: Facts): readonly string[] {
  return [
    ...[place, operator].flatMap((claim) => (claim.stated ? [claim.country] : [])),
    ...(company?.proven ? [company.seat, ...(company.controllers ?? [])] : []),
    ...(site?.proven ? [site.country] : []),
  ]
}

/** Groups that rest on credentials are there together, each list in one form. */
function verifyEstablished(facts: Facts): void {
  const missing = establishedGroups.filter((name) => facts[name] === undefined)
  if (missing.length > 0 && missing.length < establishedGroups.length)
    throw new Failure<FactsCode>('facts/groups', `there is no group ${missing.join(', ')} beside the others`)
  for (const group of establishedGroups)
    for (const name of sortedLists[group]) {
      const list = (facts[group] as { readonly [name: string]: unknown } | undefined)?.[name]
      if (Array.isArray(list) && list.some((one, i) => i > 0 && list[i - 1] >= one))
        throw new Failure<FactsCode>('facts/order', `${group}.${name} are not sorted, each once`)
    }
}

function nonEmpty(shape: Shape<string>): Shape<string> {
  const some = string({ form: /^./su })
  return (value, path) => shape(some(value, path), path)
}

/** Lowercase hex of SHA-256 over the canonical JSON of facts. */
export function factsDigest(facts: Facts): string {
  return toHex(sha256(canonicalJson(facts)))
}
