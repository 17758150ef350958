import { envelopeShape } from '#core/dsse.js'
import { base64, json, literal, nullable, object, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { entrySizeMax, noteSizeMax } from '#core/limits.js'
import { openingShape } from '#core/wire/commitment.js'
import { timeShape } from '#core/wire/names.js'
import { openingsShape, releaseRequestShape } from '#core/wire/release.js'
import { statementKindShape } from '#core/wire/statements.js'

/** One decision with everything that it was made of: it can be judged again offline (I7). */
export const bundleShape = object({
  type: literal('claviger/bundle/v1'),
  /** broker's clock at the decision */
  at: timeShape,
  request: releaseRequestShape,
  statements: object({
    tenant: envelopeShape,
    trust: nullable(envelopeShape),
    registration: nullable(envelopeShape),
    policy: nullable(envelopeShape),
    referenceValues: nullable(envelopeShape),
    revocation: nullable(envelopeShape),
  }),
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
  statement: envelopeShape,
  openings: object({ tenant: openingShape, model: nullable(openingShape), statement: openingShape }),
  leaf: base64(undefined, entrySizeMax * 2),
  proof: string({ max: noteSizeMax }),
})
export type StateBundle = Shaped<typeof stateBundleShape>

/** The bundle of any entry: its `type` says which. */
export const anyBundleShape: Shape<Bundle | StateBundle> = (value, path) => {
  const type = (value as { readonly type?: unknown } | null | undefined)?.type
  return type === 'claviger/state-bundle/v1' ? stateBundleShape(value, path) : bundleShape(value, path)
}
