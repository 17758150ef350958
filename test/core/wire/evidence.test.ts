import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Json, parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { snpReferenceValuesShape } from '#core/wire/reference-values.js'

interface Table {
  readonly good: { readonly [name: string]: Json }
  readonly cases: readonly {
    readonly name: string
    readonly set: { readonly [name: string]: Json }
    readonly unset: readonly string[]
    readonly expect: string
  }[]
}
const vectors = parseJson(
  new Uint8Array(readFileSync(join(import.meta.dirname, '../../vectors/evidence/cases.json'))),
) as unknown as { readonly evidence: Table; readonly referenceValues: Table }

function outcome(shape: Shape<unknown>, value: Json): string {
  try {
    shape(value, '')
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

describe.each([
  ['evidence', evidenceShape as Shape<unknown>],
  ['referenceValues', snpReferenceValuesShape as Shape<unknown>],
] as const)('%s', (name, shape) => {
  const { good, cases } = vectors[name]
  test.each(cases.map((one) => [one.name, one] as const))('%s', (_, { set, unset, expect: expected }) => {
    const members = Object.entries({ ...good, ...set }).filter(([member]) => !unset.includes(member))
    expect(outcome(shape, Object.fromEntries(members))).toBe(expected)
  })
})
