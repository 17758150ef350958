import { envelopeShape } from '#core/dsse.js'
import { base64, json, literal, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { entrySizeMax } from '#core/limits.js'
import { timeShape } from '#core/wire/names.js'
import { openingsShape, releaseRequestShape } from '#core/wire/release.js'

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
  proof: string({ max: 64 * 1024 }),
})
export type Bundle = Shaped<typeof bundleShape>
