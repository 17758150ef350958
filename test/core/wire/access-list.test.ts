import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Json } from '#core/encoding/json.js'
import { object } from '#core/encoding/shape.js'
import { accessMembers, apiKeyForm, apiKeyHash, encodeApiKey, verifyAccessList } from '#core/wire/access-list.js'
import { codeOf } from '#test/fakes/code-of.js'

interface Case {
  readonly name: string
  readonly list: Json
  readonly expect: string
}
const { cases } = JSON.parse(readFileSync('test/vectors/access-list/cases.json', 'utf8')) as { cases: Case[] }
const shape = object(accessMembers)
const read = (value: Json) => codeOf(() => verifyAccessList(shape(value, '')))

describe('an access list', () => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', (_, one) => {
    expect(read(one.list)).toBe(one.expect)
  })

  test('of any members is a list or is refused', () => {
    const proof = fc.oneof(
      fc.record({ kind: fc.constant('api-key'), hash: fc.oneof(fc.string(), fc.constant('0'.repeat(64))) }),
      fc.record({
        kind: fc.constant('oidc'),
        issuer: fc.oneof(fc.webUrl(), fc.string(), fc.constant('https://id.example')),
        audience: fc.string(),
        subject: fc.option(fc.string()),
        claims: fc.array(fc.record({ name: fc.string(), value: fc.string() })),
      }),
      fc.jsonValue(),
    )
    const identity = fc.record({
      id: fc.constantFrom('a', 'b', 'c'),
      role: fc.constantFrom('owner', 'host', 'auditor', 'admin'),
      notBefore: fc.nat(),
      expiresAt: fc.nat(),
      proof,
    })
    const list = fc.record({
      identities: fc.array(identity, { maxLength: 4 }),
      authorities: fc.constant([]),
      requestsPerMinute: fc.constant(60),
    })
    fc.assert(
      fc.property(list, (value) => {
        expect(read(value as Json)).toMatch(/^(ok|access\/(wildcard|list)|shape\/[a-z]+)$/)
      }),
      { numRuns: 300 },
    )
  })
})

test('an API key is recognised by its beginning, and told by its hash alone', () => {
  const key = encodeApiKey(new Uint8Array(32))
  expect(key).toBe(`claviger_key_${'A'.repeat(43)}`)
  expect(apiKeyForm.test(key)).toBe(true)
  expect(apiKeyHash(key)).toMatch(/^[0-9a-f]{64}$/)
  for (const wrong of [`${key}A`, key.slice(1), key.slice(0, -1), ` ${key}`, `${key}\n`])
    expect([wrong, apiKeyForm.test(wrong)]).toEqual([wrong, false])
})
