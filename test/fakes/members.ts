import type { Json } from '#core/encoding/json.js'

export type Path = readonly (string | number)[]

/** The path of every scalar in a value. */
export function scalars(value: Json, path: Path = []): Path[] {
  if (value === null || typeof value !== 'object') return [path]
  const members: readonly (readonly [string | number, Json])[] = Array.isArray(value)
    ? value.map((item, i) => [i, item] as const)
    : Object.entries(value as Record<string, Json>)
  return members.flatMap(([name, item]) => scalars(item, [...path, name]))
}
/** The member at a path. */
export const memberAt = (value: Json, path: Path): Json =>
  path.reduce<Json>((one, name) => (one as Record<string, Json>)[name]!, value)
/** The value with another member at a path. */
export function replaced(value: Json, path: Path, to: Json): Json {
  const [name, ...rest] = path
  if (name === undefined) return to
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, Json>
  copy[name] = replaced(copy[name]!, rest, to)
  return copy as Json
}
/** Something of the same kind that is not the same. */
export function another(value: Json): Json {
  if (value === null) return 'x'
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return value + 1
  const last = value as string
  return last === '' ? 'x' : (last[0] === 'a' ? 'b' : 'a') + last.slice(1)
}
