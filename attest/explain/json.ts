import { type ExplainedField, field } from '#attest/explain/part.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

const fieldsMax = 3000

/** Every member of a JSON document by its path. Lists of plain values, and of objects of one member, stand on one line. */
export function explainJson(bytes: Uint8Array): readonly ExplainedField[] {
  let value: Json
  try {
    fromUtf8(bytes)
    value = parseJson(bytes, 16 * MiB)
  } catch (error) {
    if (!isFailure(error)) throw error
    return [field('(not JSON)', error.message)]
  }
  const out: ExplainedField[] = []
  walk(value, '', out)
  return out
}

const isObject = (value: Json): value is { readonly [name: string]: Json } =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
const isPlain = (value: Json) => value === null || typeof value !== 'object'
const text = (value: Json) => (typeof value === 'string' ? value : JSON.stringify(value))

/** The values of a list on one line; null when it needs more. */
function oneLine(value: readonly Json[]): string | null {
  if (value.every(isPlain)) return value.map(text).join(', ')
  const single = value.every((one) => isObject(one) && Object.keys(one).length <= 3 && 'svn' in one)
  return single ? `svn ${value.map((one) => text((one as { readonly svn: Json }).svn)).join(', ')}` : null
}

function walk(value: Json, path: string, out: ExplainedField[]): void {
  if (out.length === fieldsMax) out.push(field('(more)', `only the first ${fieldsMax} members are shown`))
  if (out.length > fieldsMax) return
  if (Array.isArray(value)) {
    const line = oneLine(value)
    if (line !== null) out.push(field(path, line))
    else for (const [i, one] of value.entries()) walk(one, `${path}[${i}]`, out)
  } else if (isObject(value)) {
    for (const [name, one] of Object.entries(value)) walk(one, path === '' ? name : `${path}.${name}`, out)
  } else out.push(field(path, text(value)))
}
