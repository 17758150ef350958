import { boolean, hex, integer, list, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { countryShape, modelIdShape } from '#core/wire/names.js'

/**
 * What a client demands of the node. It travels inside the sealed request and comes back in the receipt, so neither a
 * router nor a host can strip it (I8).
 */
export const clientPolicyShape = object({
  type: literal('claviger/client-policy/v1'),
  model: modelIdShape,
  /** accepted manifests; null for any that the trust file's owner registered */
  manifests: nullable(list(hex(32), { min: 1, max: 64 })),
  versionMin: integer({ min: 1 }),
  /** accepted countries of the declared place; null when the client does not ask */
  countries: nullable(list(countryShape, { min: 1, max: 250 })),
  /** oldest beat that is accepted, in seconds, by the client's clock */
  beatAgeSecondsMax: integer({ min: 1, max: 86_400 }),
  witnessesMin: integer({ max: 64 }),
  dangerousAllowSimulated: boolean,
})
export type ClientPolicy = Shaped<typeof clientPolicyShape>
