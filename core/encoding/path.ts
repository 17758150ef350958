import { type Shape, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { pathLengthMax } from '#core/limits.js'

/** A path that may lead out of its folder, or has a second spelling. */
export type PathCode = 'path/form'

// One part: no separator, no control character, nothing that a shell, a URL or Windows reads as something else.
const part = /^[A-Za-z0-9_+@=,()~-][A-Za-z0-9_+@=,()~. -]*$/
const depthMax = 16

/**
 * A path below some folder, in its one accepted form: parts of ASCII letters, digits and `_+@=,()~.- ` joined by `/`,
 * none starting with a dot or a space, none ending with one. So no `..`, no root, no drive, no backslash, no hidden file.
 *
 * text    at most 512 characters and 16 parts
 * throws  path/form
 */
export function parsePath(text: string): string {
  const parts = text.split('/')
  const good =
    text.length <= pathLengthMax &&
    parts.length <= depthMax &&
    parts.every((one) => part.test(one) && !one.endsWith('.') && !one.endsWith(' '))
  if (!good) {
    throw new Failure<PathCode>('path/form', `${JSON.stringify(text.slice(0, 80))} is not a plain relative path`, {
      detail: { path: text.slice(0, pathLengthMax) },
    })
  }
  return text
}

/** A member that is such a path. */
export const pathShape: Shape<string> = (value, path) => parsePath(string({ max: pathLengthMax })(value, path))
