import { envelopeShape } from '#core/dsse.js'
import {
  base64,
  json,
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
import { entrySizeMax, noteSizeMax } from '#core/limits.js'
import { acceptedShape } from '#core/wire/approvals.js'
import { openingShape } from '#core/wire/commitment.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { kbsTokenShape, passportShape } from '#core/wire/kbs-token.js'
import { timeShape } from '#core/wire/names.js'
import { openingsShape, releaseRequestShape } from '#core/wire/release.js'
import { statementKindShape } from '#core/wire/statements.js'

/** How the statements of an owner with approvers came to stand (approvals.md). */
const approvedShape = object({
  sets: list(envelopeShape, { min: 1, max: 16 }),
  accepted: list(acceptedShape, { max: 16 }),
})
const statementsShape = object({
  tenant: envelopeShape,
  trust: nullable(envelopeShape),
  registration: nullable(envelopeShape),
  policy: nullable(envelopeShape),
  referenceValues: nullable(envelopeShape),
  revocation: nullable(envelopeShape),
  kek: optional(envelopeShape),
  breakGlass: optional(envelopeShape),
  sources: optional(envelopeShape),
  approved: optional(approvedShape),
})

/**
 * What stands in a bundle for the id under which a node repeats a request: the id takes no part in the decision and
 * nothing in the log is bound to it, so a reader could not tell it from another.
 */
export const bundledRequestId = '0'.repeat(32)

/** One decision with everything that it was made of: it can be judged again offline (I7). */
export const bundleShape = object({
  type: literal('claviger/bundle/v1'),
  /** broker's clock at the decision */
  at: timeShape,
  request: releaseRequestShape,
  statements: statementsShape,
  decision: json,
  ear: nullable(string({ max: 256 * 1024 })),
  openings: openingsShape,
  leaf: base64(undefined, entrySizeMax * 2),
  proof: string({ max: noteSizeMax }),
})
export type Bundle = Shaped<typeof bundleShape>

/** One change that an owner made, with what shows that a leaf of the log is it. */
export const stateBundleShape = object({
  type: literal('claviger/state-bundle/v1'),
  /** broker's clock when the statement was accepted */
  at: timeShape,
  change: statementKindShape,
  /** the statement that made the tenant: it names the keys that may have signed */
  tenant: envelopeShape,
  statement: envelopeShape,
  /** the statement that it replaced; null for the first of its chain */
  previous: nullable(envelopeShape),
  /** how it came to stand, where its owner had approvers: with the set that it did under (approvals.md) */
  approved: optional(object({ sets: list(envelopeShape, { min: 1, max: 2 }), accepted: acceptedShape })),
  openings: object({ tenant: openingShape, model: nullable(openingShape), statement: openingShape }),
  leaf: base64(undefined, entrySizeMax * 2),
  proof: string({ max: noteSizeMax }),
})
export type StateBundle = Shaped<typeof stateBundleShape>

/** One change that was proposed, or called off, and needs approvals: it is not in force by this. */
export const proposalBundleShape = object({
  type: literal('claviger/proposal-bundle/v1'),
  at: timeShape,
  act: oneOf('proposed', 'cancelled'),
  change: statementKindShape,
  tenant: envelopeShape,
  /** the statement that is proposed */
  statement: envelopeShape,
  /** by whom it was called off; null in a proposal */
  cancellation: nullable(envelopeShape),
  openings: object({ tenant: openingShape, model: nullable(openingShape), statement: openingShape }),
  leaf: base64(undefined, entrySizeMax * 2),
  proof: string({ max: noteSizeMax }),
})
export type ProposalBundle = Shaped<typeof proposalBundleShape>

const presentedShape: Shape<Shaped<typeof kbsTokenShape> | Shaped<typeof passportShape>> = (value, path) =>
  value !== null && typeof value === 'object' && 'type' in value
    ? passportShape(value, path)
    : kbsTokenShape(value, path)

/** One decision of the KBS route with what it was made of. */
export const kbsBundleShape = object({
  type: literal('claviger/kbs-bundle/v1'),
  at: timeShape,
  /** path of the resource */
  resource: string({ max: 400 }),
  /** claims of the guest's token, as the broker signed them; or as another verifier did, whom the operator named */
  token: presentedShape,
  /** what a model key was decided by; null, all of it, for a resource of the operator */
  evidence: nullable(evidenceShape),
  statements: nullable(statementsShape),
  decision: json,
  openings: object({
    tenant: nullable(openingShape),
    resource: openingShape,
    token: openingShape,
    decision: openingShape,
  }),
  leaf: base64(undefined, entrySizeMax * 2),
  proof: string({ max: noteSizeMax }),
})
export type KbsBundle = Shaped<typeof kbsBundleShape>
/** The bundle of an entry, of whatever kind. */
export type AnyBundle = Bundle | StateBundle | ProposalBundle | KbsBundle

const shapes: { readonly [type: string]: Shape<AnyBundle> } = {
  'claviger/state-bundle/v1': stateBundleShape,
  'claviger/proposal-bundle/v1': proposalBundleShape,
  'claviger/kbs-bundle/v1': kbsBundleShape,
}

/** The bundle of any entry: its `type` says which. */
export const anyBundleShape: Shape<AnyBundle> = (value, path) => {
  const type = (value as { readonly type?: unknown } | null | undefined)?.type
  const shape = typeof type === 'string' && Object.hasOwn(shapes, type) ? shapes[type]! : bundleShape
  return shape(value, path)
}
