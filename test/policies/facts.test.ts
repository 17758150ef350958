import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { buildFacts, factsDigest, parseFacts } from '#policies/index.js'
import { factsWith, germanInput, now, placed } from '#test/policies/worlds.js'

interface Vector {
  readonly name: string
  readonly facts: Json
  readonly expected: string
  readonly digest?: string
}
const vectors: readonly Vector[] = JSON.parse(
  readFileSync(new URL('../vectors/policy/facts.json', import.meta.url), 'utf8'),
)

function codeOf(value: Json | undefined): string {
  try {
    parseFacts(value)
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

describe('facts vectors', () => {
  test.each(vectors)('$expected: $name', ({ facts, expected, digest }) => {
    expect(codeOf(facts)).toBe(expected)
    if (expected === 'ok') expect(factsDigest(parseFacts(facts))).toBe(digest)
  })
})

describe('building facts', () => {
  test('place and operator carry basis, grade, issuer and age, never a bare country', () => {
    const claim = {
      stated: true,
      country: 'DE',
      basis: 'declared',
      grade: 0,
      issuer: 'h'.repeat(43),
      ageSeconds: 86_400,
    }
    expect(factsWith().place).toEqual(claim)
    expect(factsWith().operator).toEqual({ ...claim, name: 'Rechenzentrum Nord GmbH' })
  })

  test('what nobody states is an absent fact', () => {
    const silent = factsWith({ declared: null })
    expect([silent.place, silent.operator, silent.purpose]).toEqual(Array(3).fill({ stated: false }))
    expect(placed(null)).toMatchObject({ place: { stated: false }, operator: { stated: true } })
    expect(placed('DE', null)).toMatchObject({ place: { stated: true }, operator: { stated: false } })
    expect(factsWith({}, { product: null, svns: {} }).evidence).not.toHaveProperty('product')
  })

  test('ages are whole seconds; a clock ahead by the forgiven difference counts as no age', () => {
    const signedAt = (issuedAt: number) => factsWith({ declared: { ...germanInput.declared!, issuedAt } })
    expect(signedAt(now - 7).place).toMatchObject({ ageSeconds: 7 })
    expect(signedAt(now + clockSkewSeconds).place).toMatchObject({ ageSeconds: 0 })
    expect(() => signedAt(now + clockSkewSeconds + 1)).toThrow(expect.objectContaining({ code: 'facts/time' }))
    expect(() => factsWith({}, { verifiedAt: now + 61 })).toThrow(expect.objectContaining({ code: 'facts/time' }))
  })

  test('refuses a country that no code is assigned to', () => {
    for (const country of ['UK', 'EL', 'EU', 'ZZ'])
      expect(() => placed(country)).toThrow(expect.objectContaining({ code: 'facts/country' }))
    expect(() => placed('DE', 'UK')).toThrow(/GB is/)
  })

  test('warnings are sorted, each once, however the appraisal gave them', () => {
    const facts = factsWith({}, { tier: 'warning', warnings: ['snp/smt', 'snp/milan', 'snp/smt'] })
    expect(facts.evidence.warnings).toEqual(['snp/milan', 'snp/smt'])
  })

  test('survive the way through JSON byte for byte', () => {
    for (const facts of [factsWith(), placed(null, null), factsWith({ purpose: 'serve' }, { product: null })]) {
      const back = parseFacts(parseJson(utf8(JSON.stringify(facts))))
      expect(back).toEqual(facts)
      expect(factsDigest(back)).toBe(factsDigest(facts))
    }
  })
})

describe('reading facts', () => {
  const valid = () => JSON.parse(JSON.stringify(factsWith({ purpose: 'serve' })))
  type Members = { [name: string]: Members }
  const pathsOf = (value: Members, before: readonly string[] = []): readonly (readonly string[])[] =>
    Object.entries(value).flatMap(([name, member]) => [
      [...before, name],
      ...(typeof member === 'object' && !Array.isArray(member) ? pathsOf(member, [...before, name]) : []),
    ])
  const mayBeMissing = ['product', 'platformId', 'tcbStatus', 'bootLoader', 'tee', 'snp', 'microcode', 'fmc']

  test('any member missing, added or of another type is refused', () => {
    for (const path of pathsOf(valid())) {
      const parent = (facts: Members) => path.slice(0, -1).reduce<Members>((at, name) => at[name]!, facts)
      const last = path.at(-1)!
      const missing = valid()
      delete parent(missing)[last]
      expect([path, codeOf(missing) === 'ok']).toEqual([path, mayBeMissing.includes(last)])
      const retyped = valid()
      Object.assign(parent(retyped), { [last]: null })
      expect([path, codeOf(retyped)]).not.toEqual([path, 'ok'])
      const extended = valid()
      Object.assign(parent(extended), { [`${last}2`]: 1 })
      expect([path, codeOf(extended)]).not.toEqual([path, 'ok'])
    }
  })

  test('of any JSON value gives facts or a failure of ours', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(codeOf(value as Json)).toMatch(/^shape\//)
      }),
    )
  })

  test('with any member replaced by any JSON value gives facts or a failure of ours', () => {
    const paths = pathsOf(valid())
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        const facts = valid()
        Object.assign(
          path.slice(0, -1).reduce((at, name) => at[name], facts),
          { [path.at(-1)!]: value },
        )
        expect(codeOf(facts)).toMatch(/^(ok|shape\/.*|facts\/.*)$/)
      }),
      { numRuns: 500 },
    )
  })

  test('building from a short model id is refused, not misread', () => {
    expect(() => buildFacts({ ...germanInput, model: { ...germanInput.model, id: 'whisper' } })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^shape\//) }),
    )
  })
})
