import { type Json, parseJson } from '#core/encoding/json.js'
import { json, list, literal, object, oneOf, optional, record, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { titleShape } from '#core/wire/names.js'
import { decide } from '#policies/decide.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import type { PolicySet } from '#policies/language/validate.js'
import { actions } from '#policies/language/vocabulary.js'

/** Failures of the worlds that a policy is tried in. */
export type WorldsCode =
  /** a world that changes a fact which is not there */
  'worlds/path'

const worldShape = object({
  name: titleShape,
  expect: oneOf('allow', 'deny'),
  /** the rule, or the code, by which it has to be denied */
  rule: optional(string({ max: 200 })),
  /** facts that are otherwise than in the base, by path; null takes one away */
  set: record(json, { max: 100 }),
})
const worldsShape = object({
  type: literal('claviger/policy-worlds/v1'),
  base: json,
  worlds: list(worldShape, { min: 1, max: 1000 }),
})

/** Facts under which a policy has to allow, or to deny. */
export interface World {
  readonly name: string
  readonly expect: 'allow' | 'deny'
  readonly rule: string | null
  readonly facts: Facts
}

/** The worlds in a file, each of them facts as a decision has them. @throws worlds/path, facts/..., shape/..., json/... */
export function readWorlds(bytes: Uint8Array): readonly World[] {
  const file = worldsShape(parseJson(bytes), 'worlds')
  return file.worlds.map((world) => ({
    name: world.name,
    expect: world.expect,
    rule: world.rule ?? null,
    facts: parseFacts(changed(file.base, world)),
  }))
}

type Members = { [name: string]: Json }

function changed(base: Json, { name, set }: Shaped<typeof worldShape>): Json {
  const facts = structuredClone(base) as Members
  for (const [path, value] of Object.entries(set)) {
    const names = path.split('.')
    const last = names.pop()!
    let at: Members | undefined = facts
    for (const one of names) at = Object.hasOwn(at ?? {}, one) ? (at![one] as Members) : undefined
    if (at === undefined || at === null || typeof at !== 'object' || Array.isArray(at) || !Object.hasOwn(at, last))
      throw new Failure<WorldsCode>(
        'worlds/path',
        `world ${JSON.stringify(name)} changes ${path}, which the base has not`,
      )
    if (value === null) delete at[last]
    else at[last] = value
  }
  return facts
}

/** What became of one world. */
export interface Tried {
  readonly world: World
  readonly passed: boolean
  /** why not, or by what it was denied as it has to be */
  readonly by: readonly string[]
}

/** Whether a policy decides each world as it has to, for a release and for a renewal. */
export function tryWorlds(policy: PolicySet, worlds: readonly World[]): readonly Tried[] {
  return worlds.map((world) => {
    const decisions = actions.map((action) => decide({ policy, facts: world.facts, action }))
    const by = [...new Set(decisions.flatMap(({ reasons }) => reasons.map(({ policyId }) => policyId)))]
    const passed = decisions.every(
      ({ allow, reasons }) =>
        allow === (world.expect === 'allow') &&
        (world.rule === null || reasons.some(({ policyId }) => policyId === world.rule)),
    )
    return { world, passed, by }
  })
}
