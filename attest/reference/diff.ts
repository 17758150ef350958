import { fromUtf8 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'

/** One thing that two sets of reference values do not have in common. */
export interface Difference {
  /** `snp.measurements`, `tdx.tcbEvaluationDataNumberMin` */
  readonly path: string
  /** canonical JSON; null where a side has nothing there */
  readonly before: string | null
  readonly after: string | null
}

/**
 * What `after` accepts or demands otherwise than `before`. Lists are sets: an item that is added or removed is a
 * difference of its own. A kind that one side lacks is one difference.
 */
export function diffReferenceValues(before: ReferenceValues, after: ReferenceValues): readonly Difference[] {
  const out: Difference[] = []
  compare('', plain(before), plain(after), out)
  return out
}

const plain = (values: ReferenceValues): Json => parseJson(canonicalJson(values))
const text = (value: Json | undefined): string | null => (value === undefined ? null : fromUtf8(canonicalJson(value)))
const isObject = (value: Json | undefined): value is { readonly [name: string]: Json } =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

function compare(path: string, before: Json | undefined, after: Json | undefined, out: Difference[]): void {
  if (isObject(before) && isObject(after)) {
    for (const name of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort())
      compare(path === '' ? name : `${path}.${name}`, memberOf(before, name), memberOf(after, name), out)
    return
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const [left, right] = [before.map(text), after.map(text)] as [string[], string[]]
    for (const one of left) if (!right.includes(one)) out.push({ path, before: one, after: null })
    for (const one of right) if (!left.includes(one)) out.push({ path, before: null, after: one })
    return
  }
  const [left, right] = [text(before), text(after)]
  if (left !== right) out.push({ path, before: left, after: right })
}

const memberOf = (value: { readonly [name: string]: Json }, name: string): Json | undefined =>
  Object.hasOwn(value, name) ? value[name] : undefined
