/**
 * What belongs in core/wire: one file per message that two parties must agree on byte for byte, and the checks that
 * need nothing but the message. No transport, no storage, no policy.
 */
import { integer, literal, type Shape, string } from '#core/encoding/shape.js'

/** `<owner key thumbprint>/<name>`: the owner is part of the name, so a broker cannot put another owner's model there. */
export const modelIdShape: Shape<string> = string({ form: /^[A-Za-z0-9_-]{43}\/[a-z0-9][a-z0-9._-]{0,99}$/ })
/** The name part of a model id, and any other name that people give. */
export const nameShape: Shape<string> = string({ max: 100, form: /^[a-z0-9][a-z0-9._-]*$/ })
/** Text that people read: no control characters. */
export const titleShape: Shape<string> = string({ max: 200, form: /^[^\p{Cc}]*$/u })
/** The same, which says something: a reason that people read afterwards. */
export const reasonTextShape: Shape<string> = string({ max: 200, form: /^[^\p{Cc}]*[^\p{Cc}\s][^\p{Cc}]*$/u })
/** ISO 3166-1 alpha-2. */
export const countryShape: Shape<string> = string({ max: 2, form: /^[A-Z]{2}$/ })
/** A random identifier of 16 bytes in hex. */
export const idShape: Shape<string> = string({ max: 32, form: /^[0-9a-f]{32}$/ })
/** Unix seconds, until the year 9999. */
export const timeShape: Shape<number> = integer({ max: 253_402_300_799 })
/** What an owner may sign that a policy leaves open: that any genuine chip will do, wherever it stands (TRUST 21). */
export const acceptsShape: Shape<'any-genuine-chip'> = literal('any-genuine-chip')
export const platformShape: Shape<'hardware' | 'simulated'> = (value, path) =>
  string({ form: /^(hardware|simulated)$/ })(value, path) as 'hardware' | 'simulated'

/** The owner's key thumbprint in a model id. */
export function ownerOf(modelId: string): string {
  return modelId.slice(0, 43)
}
