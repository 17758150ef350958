/**
 * What belongs in policies/credentials: what people and companies sign about operators, sites, chips, staff and licences;
 * who may sign which of it; and what follows for a decision. All of it is documentary: as good as its issuer (I13).
 */
import type { Json } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  json,
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
import { countryShape, modelIdShape, nameShape, timeShape, titleShape } from '#core/wire/names.js'
import { statusReferenceShape } from '#core/wire/status-list.js'

/** Failures of a credential, beside those of SD-JWT, JWS and status list. */
export type CredentialCode =
  | 'credential/kind'
  | 'credential/not-yet-valid'
  | 'credential/expired'
  /** its issuer is in no directory that the reader believes */
  | 'credential/issuer'
  /** its issuer may say something else, or this elsewhere */
  | 'credential/scope'
  /** no status list that is in its time says that it still holds */
  | 'credential/status-unknown'
  /** revoked or suspended */
  | 'credential/revoked'
  /** what it says of shares cannot be */
  | 'credential/shares'

/** Hundredths of a percent. */
const basisPoints = integer({ max: 10_000 })
/** `LEI:...`, `EUID:...`: a company under the register that names it. */
export const companyShape: Shape<string> = string({ max: 64, form: /^[A-Z]{2,10}:[A-Za-z0-9._-]+$/ })
const area = string({ max: 6, form: /^[A-Z]{2}(-[A-Z0-9]{1,3})?$/ })
const anyArea = string({ max: 40, form: /^[A-Z][A-Z0-9_-]*$/ })
const text = string({ max: 500, form: /^[^\p{Cc}]*$/u })

/** What every credential has; none of it can be kept back. source: draft-ietf-oauth-sd-jwt-vc, "Registered JWT Claims" */
const common = {
  iat: timeShape,
  exp: timeShape,
  nbf: optional(timeShape),
  /** the holder's key, read by holderOf */
  cnf: json,
  status: statusReferenceShape,
  /** where a person can read what the issuer looked at */
  evidence: optional(text),
}

const shapes = {
  /** who a company is, where it sits and who controls it. Shares are rounded up */
  'operator-control': object({
    ...common,
    vct: literal('urn:claviger:vct:operator-control:1'),
    legalName: titleShape,
    ids: list(companyShape, { min: 1, max: 10 }),
    seat: countryShape,
    /** left out: not disclosed, and then no share is known */
    controllers: optional(list(object({ country: countryShape, shareBp: basisPoints, veto: boolean }), { max: 100 })),
    certifications: optional(
      list(object({ scheme: nameShape, level: nameShape, id: titleShape, exp: timeShape }), { max: 50 }),
    ),
    /** Union assurance level, 1 to 4; left out: none */
    ual: optional(integer({ min: 1, max: 4 })),
  }),
  /** a building, and who runs what stands in it */
  facility: object({
    ...common,
    vct: literal('urn:claviger:vct:facility:1'),
    facility: nameShape,
    operators: list(companyShape, { min: 1, max: 100 }),
    area,
    exclave: boolean,
    visitedAt: timeShape,
  }),
  /** which chip was seen in which building. The chip's id is salted and hashed: it would be a handle to follow it by */
  'platform-placement': object({
    ...common,
    vct: literal('urn:claviger:vct:platform-placement:1'),
    platform: hex(32),
    facility: nameShape,
    area,
    exclave: boolean,
    seenAt: timeShape,
  }),
  /** what was proven of a person, never more: `union-citizen`, not a nationality. Each element is disclosed by itself */
  'staff-eligibility': object({
    ...common,
    vct: literal('urn:claviger:vct:staff-eligibility:1'),
    person: hex(32),
    employer: companyShape,
    predicates: list(nameShape, { max: 50 }),
  }),
  /** to whom weights of this label may go, and where */
  'export-clearance': object({
    ...common,
    vct: literal('urn:claviger:vct:export-clearance:1'),
    operators: list(companyShape, { min: 1, max: 100 }),
    label: nameShape,
    /** the authority's country */
    by: countryShape,
    destinations: list(anyArea, { min: 1, max: 300 }),
  }),
  /** who may use a model for what, how often and until when */
  'usage-grant': object({
    ...common,
    vct: literal('urn:claviger:vct:usage-grant:1'),
    licensees: list(companyShape, { min: 1, max: 100 }),
    model: modelIdShape,
    purposes: list(nameShape, { min: 1, max: 50 }),
    quota: optional(integer({ min: 1 })),
    country: optional(countryShape),
  }),
} as const

export type CredentialKind = keyof typeof shapes
export const credentialKinds = Object.keys(shapes) as readonly CredentialKind[]
export const credentialKind: Shape<CredentialKind> = oneOf(
  'operator-control',
  'facility',
  'platform-placement',
  'staff-eligibility',
  'export-clearance',
  'usage-grant',
)

/** What the holder of each kind may keep back. */
export const disclosableOf: Readonly<Record<CredentialKind, readonly string[]>> = {
  'operator-control': ['controllers', 'certifications', 'ual', 'evidence'],
  facility: ['evidence'],
  'platform-placement': ['evidence'],
  'staff-eligibility': ['predicates[]', 'evidence'],
  'export-clearance': ['evidence'],
  'usage-grant': ['evidence'],
}

type Read = { readonly [K in CredentialKind]: { readonly kind: K; readonly claims: Shaped<(typeof shapes)[K]> } }
/** A credential's kind with what it says. */
export type Credential = Read[CredentialKind]
export type CredentialOf<K extends CredentialKind> = Read[K]

/** The claims of a credential, of the kind that its `vct` names. @throws credential/kind, shape/... */
export function readCredential(claims: { readonly [name: string]: Json }): Credential {
  const kind = credentialKinds.find((one) => claims.vct === `urn:claviger:vct:${one}:1`)
  if (kind === undefined)
    throw new Failure<CredentialCode>('credential/kind', `credential is of type ${JSON.stringify(claims.vct)}`)
  return { kind, claims: shapes[kind](claims, kind) } as Credential
}

/** The areas that a credential speaks about: its issuer has to be entitled to each. */
export function areasOf({ kind, claims }: Credential): readonly string[] {
  switch (kind) {
    case 'operator-control':
      return [claims.seat]
    case 'facility':
    case 'platform-placement':
      return [claims.area]
    case 'export-clearance':
      return [claims.by]
    case 'usage-grant':
      return claims.country === undefined ? [] : [claims.country]
    case 'staff-eligibility':
      return []
  }
}
