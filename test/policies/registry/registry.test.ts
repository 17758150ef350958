import { describe, expect, test } from 'vitest'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { parseTime, type UnixSeconds } from '#core/time.js'
import { type Registry, readRegistry, verifyRows } from '#policies/registry/document.js'
import { verifyFollows } from '#policies/registry/keepers.js'
import { diffRegistries, jurisdictionsOf, listsWith } from '#policies/registry/resolve.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { signRegistry, verifyRegistry } from '#policies/registry/signed.js'

const shipped = shippedContent()
const time = (text: string): UnixSeconds => parseTime(text.length === 10 ? `${text}T00:00:00Z` : text)!
const codesOf = (code: string, at: string, shown: readonly string[] = [], exclave = false) =>
  jurisdictionsOf(shipped, { code, exclave, at: time(at), shown }).codes
const adequate = (...asked: Parameters<typeof codesOf>) => codesOf(...asked).includes('EEA_OR_ADEQUATE')
const code = async (work: () => unknown) => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('the registry that ships, asked about the past', () => {
  test.each([
    ['Brazil before its decision', 'BR', '2025-12-01', false],
    ['Brazil after it', 'BR', '2026-02-01', true],
    ['Brazil on the day', 'BR', '2026-01-26', true],
    ['the United Kingdom as a Member State', 'GB', '2019-06-01', true],
    [
      'the United Kingdom in the gap that a bridge clause filled, which is no adequacy decision',
      'GB',
      '2021-03-01',
      false,
    ],
    ['the United Kingdom under the first decision', 'GB', '2022-01-01', true],
    ['the United Kingdom under the second', 'GB', '2026-06-01', true],
    ['the United Kingdom when the second is over', 'GB', '2031-12-27', false],
    ['Switzerland', 'CH', '2026-06-01', true],
    ['India', 'IN', '2026-06-01', false],
    ['Åland, which has a code of its own', 'AX', '2026-06-01', true],
    ['Réunion, an outermost region', 'RE', '2026-06-01', true],
    ['New Caledonia, which is none', 'NC', '2026-06-01', false],
    ['Svalbard, outside the EEA', 'SJ', '2026-06-01', false],
    ['Greenland, which left', 'GL', '2026-06-01', false],
    ['Monaco', 'MC', '2026-06-01', false],
  ] as const)('%s', (_, country, at, expected) => {
    expect(adequate(country, at)).toBe(expected)
  })

  test('counts the members of each group at each of its stages', () => {
    const count = (group: string, at: string) => shipped.countries.filter((one) => codesOf(one, at).includes(group))
    const states = (group: string, at: string) =>
      count(group, at).filter((one) => !['AX', 'GF', 'GP', 'MQ', 'RE', 'MF', 'YT'].includes(one)).length
    expect([
      states('EU', '1994-06-01'),
      states('EU', '1996-01-01'),
      states('EU', '2004-06-01'),
      states('EU', '2008-01-01'),
      states('EU', '2014-01-01'),
      states('EU', '2026-01-01'),
    ]).toEqual([12, 15, 25, 27, 28, 27])
    expect([states('EEA', '2026-01-01'), states('EFTA', '2026-01-01')]).toEqual([30, 4])
    expect(count('US_CONCERN', '2026-01-01')).toEqual(['CN', 'CU', 'HK', 'IR', 'KP', 'MO', 'RU', 'VE'])
  })

  test('an instant belongs to one side: the United Kingdom left at 23:00 UTC', () => {
    expect(codesOf('GB', '2020-01-31T22:59:59Z')).toContain('EU')
    expect(codesOf('GB', '2020-01-31T23:00:00Z')).not.toContain('EU')
    expect(codesOf('GB', '2020-01-31T23:00:00Z')).toContain('EEA')
  })

  test.each([
    ['JP', 'private-sector'],
    ['CA', 'pipeda'],
    ['US', 'dpf'],
    ['KR', 'pipa'],
    ['IL', 'automated-processing'],
  ])('%s counts only where %s was shown, and no other condition serves', (country, condition) => {
    const others = shipped.conditions.map(({ name }) => name).filter((name) => name !== condition)
    expect(adequate(country, '2026-06-01')).toBe(false)
    expect(adequate(country, '2026-06-01', others)).toBe(false)
    expect(adequate(country, '2026-06-01', [condition])).toBe(true)
  })

  test('a scheme that a court struck down counts until that day and not after it, whoever was certified', () => {
    expect(adequate('US', '2020-07-15', ['privacy-shield'])).toBe(true)
    expect(adequate('US', '2020-07-16', ['privacy-shield'])).toBe(false)
  })

  test('GR is Greece; EL, UK and a code that nobody assigned are unknown', async () => {
    expect(codesOf('GR', '2026-01-01')).toContain('EU')
    for (const wrong of ['EL', 'UK', 'XK', 'EU', 'EEA', 'de', ''])
      expect(await code(() => codesOf(wrong, '2026-01-01'))).toBe('registry/unknown')
  })

  test('an exclave answers for itself; a country alone is no answer where an exclave is stated', async () => {
    expect(codesOf('ES-CE', '2026-01-01', [], true)).toEqual(
      expect.arrayContaining(['ES', 'ES-CE', 'EU', 'EEA', 'EEA_OR_ADEQUATE']),
    )
    expect(codesOf('RU-KGD', '2026-01-01', [], true)).toContain('US_CONCERN')
    expect(await code(() => codesOf('ES', '2026-01-01', [], true))).toBe('registry/unknown')
    expect(await code(() => codesOf('ES-XX', '2026-01-01', [], true))).toBe('registry/unknown')
  })

  test('what is disputed has no answer', async () => {
    expect(await code(() => codesOf('UA-43', '2026-01-01'))).toBe('registry/disputed')
    expect(codesOf('UA', '2026-01-01')).toEqual(['UA'])
  })

  test('says what each belonging rests on, and until when all of it holds', () => {
    const { because, until } = jurisdictionsOf(shipped, {
      code: 'GB',
      exclave: false,
      at: time('2026-06-01'),
      shown: [],
    })
    expect(because.map(({ group }) => group).sort()).toEqual(['ADEQUATE', 'EEA_OR_ADEQUATE'])
    expect(because.every(({ act }) => act.length > 10)).toBe(true)
    expect(until).toBe(time('2031-12-27'))
    expect(jurisdictionsOf(shipped, { code: 'FR', exclave: false, at: time('2026-06-01'), shown: [] }).until).toBeNull()
  })

  test('ships lists of nobody: they are for an owner to fill', () => {
    expect(shipped.lists).toEqual([])
    const filled = { ...shipped, lists: [{ name: 'own', title: 'Own list', entries: [{ id: 'LEI:5493', note: '' }] }] }
    expect(listsWith(filled, ['LEI:5493'])).toEqual(['own'])
    expect(listsWith(filled, ['LEI:5494'])).toEqual([])
  })
})

const at = time('2026-06-01')
const registry: Registry = {
  type: 'claviger/jurisdiction-registry/v1',
  name: 'law',
  version: 1,
  issuedAt: at,
  validUntil: at + 90 * 86_400,
  previousDigest: null,
  ...shipped,
}
const keys: SigningKey[] = []
for (let i = 0; i < 3; i++) keys.push((await generateSigningKey('Ed25519')).key)
const trust = { keys: keys.map(({ publicKey }) => publicKey), threshold: 2 }

describe('a signed registry', () => {
  test('counts when enough of the trusted keys signed, each once', async () => {
    const { document: read, signers } = await verifyRegistry(await signRegistry(registry, keys.slice(0, 2)), trust, at)
    expect(read).toEqual(registry)
    expect(signers.length).toBe(2)
    const one = await signRegistry(registry, [keys[0]!])
    expect(await code(() => verifyRegistry(one, trust, at))).toBe('registry/threshold')
    const twice = { ...one, signatures: [...one.signatures, ...one.signatures] }
    expect(await code(() => verifyRegistry(twice, trust, at))).toBe('registry/threshold')
    const stranger = (await generateSigningKey('Ed25519')).key
    expect(await code(async () => verifyRegistry(await signRegistry(registry, [keys[0]!, stranger]), trust, at))).toBe(
      'registry/threshold',
    )
    expect(await code(() => verifyRegistry(one, { ...trust, threshold: 0 }, at))).toBe('registry/threshold')
    expect(await code(() => verifyRegistry(one, { keys: [], threshold: 0 }, at))).toBe('dsse/signer')
  })

  test('counts in its time: neither before it, nor from the instant at which it ends', async () => {
    const signed = await signRegistry(registry, keys)
    const when = (then: UnixSeconds) => code(() => verifyRegistry(signed, trust, then))
    expect([
      await when(at - 61),
      await when(at - 60),
      await when(registry.validUntil - 1),
      await when(registry.validUntil),
    ]).toEqual(['registry/not-yet-valid', 'ok', 'ok', 'registry/expired'])
    expect((await verifyRegistry(signed, trust, null)).document.version).toBe(1)
  })

  test('is not changed by a bit', async () => {
    const signed = await signRegistry(registry, keys)
    const payload = signed.payload.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
    expect(await code(() => verifyRegistry({ ...signed, payload }, trust, at))).not.toBe('ok')
    expect(await code(() => verifyRegistry({ ...signed, payloadType: 'application/json' }, trust, at))).toBe(
      'dsse/type',
    )
  })

  test('follows the one that was seen: newer, of its line, and made from it', async () => {
    const verified = async (of: Registry) => verifyRegistry(await signRegistry(of, keys), trust, null)
    const first = await verified(registry)
    const second = await verified({ ...registry, version: 2, previousDigest: first.digest })
    const third = await verified({ ...registry, version: 3, previousDigest: second.digest })
    const follows = (next: typeof first, before: typeof first | null) => code(() => verifyFollows(next, before))
    expect(await follows(first, null)).toBe('ok')
    expect(await follows(first, first)).toBe('ok')
    expect(await follows(second, first)).toBe('ok')
    expect(await follows(third, first)).toBe('ok')
    expect(await follows(first, second)).toBe('registry/rollback')
    expect(await follows(await verified({ ...registry, name: 'other', version: 9 }), first)).toBe('registry/rollback')
    expect(await follows(await verified({ ...registry, validUntil: at + 1 }), first)).toBe('registry/rollback')
    expect(await follows(await verified({ ...registry, version: 2, previousDigest: null }), first)).toBe(
      'registry/rollback',
    )
  })

  test.each([
    ['a country twice', { countries: ['FR', 'FR'] }],
    ['a member that nobody lists', { memberships: [{ ...shipped.memberships[0]!, member: 'XK' }] }],
    ['a group that nobody lists', { memberships: [{ ...shipped.memberships[0]!, group: 'NATO' }] }],
    ['a condition that nobody lists', { memberships: [{ ...shipped.memberships[0]!, condition: 'asked' }] }],
    [
      'an end before the beginning',
      { memberships: [{ ...shipped.memberships[0]!, to: shipped.memberships[0]!.from }] },
    ],
    [
      'a group that contains itself by another',
      {
        memberships: [
          { ...shipped.memberships[0]!, member: 'EU', group: 'EEA' },
          { ...shipped.memberships[0]!, member: 'EEA', group: 'EU' },
        ],
      },
    ],
    ['an area within a country that nobody lists', { areas: [{ ...shipped.areas[0]!, code: 'XK-1', within: 'XK' }] }],
    ['an area named for another country', { areas: [{ ...shipped.areas[0]!, within: 'FR' }] }],
    [
      'an enclave that nobody lists',
      { ignoredEnclaves: [{ code: 'XK', reason: 'r', reviewer: 'r', date: shipped.memberships[0]!.from }] },
    ],
    [
      'one identifier twice on a list',
      {
        lists: [
          {
            name: 'l',
            title: '',
            entries: [
              { id: 'a', note: '' },
              { id: 'a', note: '' },
            ],
          },
        ],
      },
    ],
  ])('is refused with %s', async (_, change) => {
    expect(await code(() => verifyRows({ ...shipped, ...change }))).toBe('registry/row')
    expect(await code(() => readRegistry(canonicalJson({ ...registry, ...change })))).toBe('registry/row')
  })

  test.each([
    [
      'a date that does not exist',
      { memberships: [{ ...shipped.memberships[0]!, from: '2026-02-30T00:00:00Z' }] },
      'shape/form',
    ],
    ['a group that looks like a country', { groups: [{ code: 'FR', title: '' }] }, 'shape/form'],
    ['a member that nobody knows', { extra: 1 }, 'shape/unknown'],
    ['no countries', { countries: [] }, 'shape/range'],
  ])('has not its form with %s', async (_, change, expected) => {
    expect(await code(() => readRegistry(canonicalJson({ ...registry, ...change })))).toBe(expected)
  })

  test('a change of law is shown place by place', () => {
    const without = shipped.memberships.filter(({ member, group }) => !(member === 'BR' && group === 'ADEQUATE'))
    expect(diffRegistries(shipped, { ...shipped, memberships: without }, at)).toEqual([
      { code: 'BR', joined: [], left: ['ADEQUATE', 'EEA_OR_ADEQUATE'] },
    ])
    expect(diffRegistries(shipped, shipped, at)).toEqual([])
  })
})
