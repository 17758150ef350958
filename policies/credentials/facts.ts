import {
  boolean,
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
import { credentialsPresentedMax, ticketLandmarksMax } from '#core/limits.js'
import { landmarkNameShape } from '#core/wire/landmark.js'
import { countryShape, nameShape, titleShape } from '#core/wire/names.js'
import { companyShape } from '#policies/credentials/kinds.js'

const code = string({ max: 40, form: /^[A-Z][A-Z0-9_-]*$/ })
const codes = list(code, { max: 600 })
/** Some text that two names with a sign between them make. */
const joined = string({ max: 401, form: /^[^\p{Cc}]+$/u })

/** Nobody shows it: an absent fact, not an empty one. */
const notProven = { proven: literal(false) }

/** Who says it, how well that is founded and how old it is (I13). Documentary: as good as the issuer. */
const documentary = {
  /** 2: by whom the company controls itself; 3: by somebody else */
  grade: oneOfNumbers(2, 3),
  /** ids of the directory of issuers, sorted */
  issuers: list(nameShape, { min: 1, max: credentialsPresentedMax }),
  ageSeconds: integer(),
}

const company = object({
  proven: literal(true),
  name: titleShape,
  ids: list(companyShape, { min: 1, max: 10 }),
  seat: countryShape,
  /** all that the seat belongs to, itself included */
  jurisdictions: codes,
  /** left out, with the five below, where they are kept back */
  controllers: optional(list(countryShape, { max: 100 })),
  /** countries and groups in which every controller is, and of which no share is undisclosed */
  controlledWithin: optional(codes),
  outsideMaxBp: optional(integer({ max: 20_000 })),
  outsideSumBp: optional(integer({ max: 20_000 })),
  outsideVeto: optional(boolean),
  /** `scheme:level` of those that hold; left out where they are kept back */
  certifications: optional(list(joined, { max: 50 })),
  /** left out: none, or kept back */
  ual: optional(integer({ min: 1, max: 4 })),
  /** lists of the registry on which the company stands */
  lists: list(nameShape, { max: 20 }),
  /** `country:label`: may be given to this company where the node is */
  clearances: list(joined, { max: credentialsPresentedMax }),
  basis: literal('credential'),
  ...documentary,
})

const site = object({
  ...documentary,
  proven: literal(true),
  facility: nameShape,
  /** country, or a part of one that answers for itself */
  area: string({ max: 6, form: /^[A-Z]{2}(-[A-Z0-9]{1,3})?$/ }),
  country: countryShape,
  jurisdictions: codes,
  /** whether somebody says that the company runs what stands there; left out where nobody says who does */
  operated: optional(boolean),
  contradicted: literal(false),
  basis: oneOf('auditor', 'operator'),
  /** as above; 4: by somebody else, and round trips prove the country */
  grade: oneOfNumbers<2 | 3 | 4>(2, 4),
  /** countries and groups in which round trips prove the node to be; left out where they prove none */
  measuredWithin: optional(codes),
  /** how far from one of these it was at most, in km, when it was timed: left out likewise */
  radiusKm: optional(integer({ max: 21_000 })),
  landmarks: optional(list(landmarkNameShape, { min: 1, max: ticketLandmarksMax })),
})

const staff = object({
  proven: literal(true),
  /** how many people were shown */
  persons: integer({ min: 1, max: credentialsPresentedMax }),
  /** what was proven of each of them */
  predicates: list(nameShape, { max: 50 }),
  basis: literal('credential'),
  ...documentary,
})

const licence = object({
  proven: literal(true),
  /** what the model may be used for */
  purposes: list(nameShape, { min: 1, max: 50 }),
  /** inferences granted in all; left out: any number. How many were used is counted elsewhere (counter.md) */
  quota: optional(integer({ min: 1 })),
  /** until it is over */
  leftSeconds: integer({ min: 1 }),
  basis: literal('credential'),
  ...documentary,
})

/** Facts that rest on credentials: there, all of them, where the owner signed whom it believes (sources.md). */
export const establishedMembers = {
  credentials: object({
    presented: integer({ max: credentialsPresentedMax }),
    /** codes of why credentials, or the owner's own sources, do not count; sorted, each once */
    refused: list(string({ max: 100, form: /^[a-z0-9][a-z0-9./-]*$/ }), { max: 64 }),
  }),
  company: provenOr(object(notProven), company),
  site: provenOr(object({ ...notProven, contradicted: boolean }), site),
  staff: provenOr(object(notProven), staff),
  licence: provenOr(object(notProven), licence),
}
const establishedShape = object(establishedMembers)
export type Established = Shaped<typeof establishedShape>
export type Company = Shaped<typeof company>
export type Site = Shaped<typeof site>
export type Staff = Shaped<typeof staff>
export type Licence = Shaped<typeof licence>

/** Lists whose order means nothing: sorted, each value once, so that facts have one form. */
export const sortedLists: Readonly<Record<keyof Established, readonly string[]>> = {
  credentials: ['refused'],
  company: [
    'ids',
    'jurisdictions',
    'controllers',
    'controlledWithin',
    'certifications',
    'lists',
    'clearances',
    'issuers',
  ],
  site: ['jurisdictions', 'issuers', 'measuredWithin', 'landmarks'],
  staff: ['predicates', 'issuers'],
  licence: ['purposes', 'issuers'],
}
export const establishedGroups = Object.keys(sortedLists) as readonly (keyof Established)[]

/** The member `proven` decides which of the two it is. */
function provenOr<N, P>(none: Shape<N>, shape: Shape<P>): Shape<N | P> {
  return (value, path) => {
    const proven = (value as { readonly proven?: unknown } | null | undefined)?.proven
    return proven === false ? none(value, path) : shape(value, path)
  }
}

function oneOfNumbers<const T extends number>(min: T, max: T): Shape<T> {
  const inside = integer({ min, max })
  return (value, path) => inside(value, path) as T
}
