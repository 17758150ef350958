import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { presentSdJwt } from '#core/sd-jwt.js'
import { certificationsOf, controlOf } from '#policies/credentials/control.js'
import { readDirectory, signDirectory, verifyDirectory } from '#policies/credentials/directory.js'
import { type CredentialKind, type CredentialOf, credentialKinds } from '#policies/credentials/kinds.js'
import { platformName } from '#policies/credentials/platform.js'
import { type CredentialContext, verifyCredential } from '#policies/credentials/verify.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import {
  at,
  company,
  contextOf,
  type Issuers,
  issued,
  listToken,
  makeIssuers,
  uri,
} from '#test/policies/credentials/fixtures.js'

let issuers: Issuers
beforeAll(async () => {
  issuers = await makeIssuers()
})
const code = async (work: () => unknown) => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}
const indianList = async () => new Map([[uri, await listToken(issuers.indian)]])
const judged = async (text: string, change: Partial<CredentialContext> = {}) =>
  verifyCredential(text, await contextOf(issuers, change))
const outcome = (text: string, change: Partial<CredentialContext> = {}) => code(() => judged(text, change))
const operator = async (change: Parameters<typeof issued>[2] = {}) =>
  (await judged(await issued(issuers, 'operator-control', change))) as CredentialOf<'operator-control'>

describe('a credential', () => {
  test.each(credentialKinds)('of kind %s counts by an issuer who may', async (kind: CredentialKind) => {
    const own = kind === 'export-clearance' || kind === 'usage-grant'
    const found = await judged(await issued(issuers, kind), own ? { statusLists: await indianList() } : {})
    expect(found).toMatchObject({ kind, holder: issuers.holder.id, isBound: false, until: at + 600 })
    expect(found.issuer.id).toBe(own ? 'indian-authority' : 'french-auditor')
  })

  test('is refused by anybody else, and by an issuer who may something else or this elsewhere', async () => {
    const { key: stranger } = await generateSigningKey('ES256')
    expect(await outcome(await issued(issuers, 'operator-control', {}, stranger))).toBe('credential/issuer')
    // A French auditor cannot clear exports of India, nor an Indian authority speak of a French operator.
    expect(await outcome(await issued(issuers, 'export-clearance', {}, issuers.auditor))).toBe('credential/scope')
    expect(await outcome(await issued(issuers, 'operator-control', {}, issuers.indian))).toBe('credential/scope')
    expect(await outcome(await issued(issuers, 'operator-control', { seat: 'US' }))).toBe('credential/scope')
    expect(await outcome(await issued(issuers, 'facility', { area: 'DE' }))).toBe('credential/scope')
    expect(await outcome(await issued(issuers, 'operator-control', { seat: 'XX' }))).toBe('registry/unknown')
    expect(await outcome(await issued(issuers, 'facility', { exclave: true }))).toBe('registry/unknown')
  })

  test('counts in its time', async () => {
    const text = (change: Parameters<typeof issued>[2]) => issued(issuers, 'facility', change)
    expect(await outcome(await text({ exp: at }))).toBe('credential/expired')
    expect(await outcome(await text({ exp: at + 1 }))).toBe('ok')
    expect(await outcome(await text({ iat: at + 61 }))).toBe('credential/not-yet-valid')
    expect(await outcome(await text({ nbf: at + 61 }))).toBe('credential/not-yet-valid')
    expect((await judged(await text({ exp: at + 1 }))).until).toBe(at + 1)
    expect(await outcome(await text({ exp: undefined }))).toBe('shape/missing')
  })

  test('whose status is unknown does not count: no list, a stale one, one by somebody else, one too short', async () => {
    const text = await issued(issuers, 'facility')
    const with_ = async (token: string) => outcome(text, { statusLists: new Map([[uri, token]]) })
    expect(await outcome(text, { statusLists: new Map() })).toBe('credential/status-unknown')
    expect(await with_(await listToken(issuers.auditor, { expiresAt: at }))).toBe('credential/status-unknown')
    expect(await with_(await listToken(issuers.indian))).toBe('credential/status-unknown')
    expect(await with_(await listToken(issuers.auditor, { uri: `${uri}0` }))).toBe('credential/status-unknown')
    expect(await with_(await listToken(issuers.auditor, { bytes: new Uint8Array(1) }))).toBe(
      'credential/status-unknown',
    )
    expect(await with_('eyJ')).toBe('credential/status-unknown')
    expect(await outcome(await issued(issuers, 'facility', { status: undefined }))).toBe('shape/missing')
  })

  test('that was revoked or suspended does not count, and its neighbour does', async () => {
    const text = await issued(issuers, 'facility')
    for (const [place, value, expected] of [
      [7, 1, 'credential/revoked'],
      [7, 2, 'credential/revoked'],
      [7, 3, 'credential/revoked'],
      [6, 1, 'ok'],
    ] as const) {
      const token = await listToken(issuers.auditor, {}, [[place, value]])
      expect(await outcome(text, { statusLists: new Map([[uri, token]]) })).toBe(expected)
    }
  })

  test('is of a kind that is known, with exactly its members', async () => {
    expect(await outcome(await issued(issuers, 'facility', { vct: 'urn:claviger:vct:facility:2' }))).toBe(
      'credential/kind',
    )
    expect(await outcome(await issued(issuers, 'facility', { vct: undefined }))).toBe('credential/kind')
    expect(await outcome(await issued(issuers, 'facility', { more: 1 }))).toBe('shape/unknown')
    expect(await outcome(await issued(issuers, 'facility', { operators: [] }))).toBe('shape/range')
    expect(await outcome(await issued(issuers, 'facility', { cnf: undefined }))).toBe('shape/missing')
    expect(await outcome(await issued(issuers, 'facility', { cnf: { kid: 'x' } }))).toBe('sd-jwt/form')
  })

  test('is shown by its holder, to one reader, with what it chose', async () => {
    const sdJwt = await issued(issuers, 'staff-eligibility')
    const show = { sdJwt, show: ['union-citizen'], audience: 'broker', nonce: 'n', at }
    const presented = { audience: 'broker', nonce: 'n', ageSecondsMax: 60 }
    const text = await presentSdJwt({ ...show, holder: issuers.holder })
    const found = await judged(text, { presented })
    expect(found).toMatchObject({ isBound: true, claims: { predicates: ['union-citizen'] } })
    // Residence was not shown, and nothing in what was sent tells that it is there.
    expect(JSON.stringify(found.claims)).not.toContain('resident')
    expect(await outcome(sdJwt, { presented })).toBe('sd-jwt/binding')
    expect(await outcome(await presentSdJwt({ ...show, holder: issuers.indian }), { presented })).toBe('sd-jwt/binding')
    expect(await outcome(text, { presented: { ...presented, audience: 'another' } })).toBe('sd-jwt/binding')
  })
})

describe('who controls an operator', () => {
  const registry = shippedContent()
  const seen = async (controllers: unknown, inside = 'EU') =>
    controlOf(await operator({ controllers: controllers as never }), inside, registry, at)

  test('is counted from the shares, which may stand at the limit and one hundredth of a percent beyond it', async () => {
    const shares = (us: number) => [
      { country: 'FR', shareBp: 10_000 - us, veto: false },
      { country: 'US', shareBp: us, veto: false },
    ]
    expect(await seen(shares(2400))).toMatchObject({ maxOutsideBp: 2400, sumOutsideBp: 2400, outsideVeto: false })
    expect(await seen(shares(2401))).toMatchObject({ maxOutsideBp: 2401 })
    expect(await seen([{ country: 'FR', shareBp: 10_000, veto: true }])).toEqual({
      inside: 'EU',
      maxOutsideBp: 0,
      sumUndisclosedBp: 0,
      sumOutsideBp: 0,
      outsideVeto: false,
      countries: ['FR'],
      allInside: true,
    })
    expect(await seen([...shares(1000).slice(0, 1), { country: 'US', shareBp: 1000, veto: true }])).toMatchObject({
      outsideVeto: true,
      allInside: false,
    })
    // Norway is inside the EEA and outside the Union.
    const norway = [{ country: 'NO', shareBp: 10_000, veto: false }]
    expect([(await seen(norway))!.allInside, (await seen(norway, 'EEA'))!.allInside]).toEqual([false, true])
  })

  test('is unknown where it is not disclosed, and what nobody is named for counts as outside', async () => {
    expect(await seen(undefined)).toBeNull()
    expect(await seen([])).toMatchObject({ maxOutsideBp: 10_000, sumOutsideBp: 10_000, allInside: false })
    expect(await seen([{ country: 'FR', shareBp: 6000, veto: false }])).toMatchObject({
      maxOutsideBp: 4000,
      allInside: false,
    })
    expect(
      await code(() =>
        seen([
          { country: 'FR', shareBp: 9000, veto: false },
          { country: 'US', shareBp: 9000, veto: false },
        ]),
      ),
    ).toBe('credential/shares')
    expect(await code(() => seen([{ country: 'XX', shareBp: 1, veto: false }]))).toBe('registry/unknown')
  })

  test('never looks better with a share moved outside', async () => {
    const found = await operator()
    const country = fc.constantFrom('FR', 'DE', 'US', 'CN', 'NO')
    fc.assert(
      fc.property(
        fc.array(fc.record({ country, shareBp: fc.nat(2000), veto: fc.boolean() }), { maxLength: 5 }),
        (controllers) => {
          const of = (list: typeof controllers) =>
            controlOf({ ...found, claims: { ...found.claims, controllers: list } }, 'EU', registry, at)!
          const before = of(controllers)
          for (let i = 0; i < controllers.length; i++) {
            const after = of(controllers.map((one, j) => (j === i ? { ...one, country: 'US' } : one)))
            expect(after.sumOutsideBp).toBeGreaterThanOrEqual(before.sumOutsideBp)
            expect(after.maxOutsideBp).toBeGreaterThanOrEqual(before.maxOutsideBp)
            expect(after.outsideVeto || !before.outsideVeto).toBe(true)
          }
        },
      ),
    )
  })

  test('certifications count while they hold', async () => {
    const found = await operator()
    expect(certificationsOf(found, at)).toEqual(['secnumcloud:3.2'])
    expect(certificationsOf(found, at + 1000)).toEqual([])
    expect(certificationsOf(await operator({ certifications: undefined }), at)).toBeNull()
  })
})

describe('a directory of issuers', () => {
  test('counts by its keepers, and names each key once', async () => {
    const [a, b] = await Promise.all([1, 2].map(async () => (await generateSigningKey('Ed25519')).key))
    const keepers = { keys: [a!.publicKey, b!.publicKey], threshold: 2 }
    const signed = await signDirectory(issuers.directory, [a!, b!])
    expect((await verifyDirectory(signed, keepers, at)).document).toEqual(issuers.directory)
    expect(await code(async () => verifyDirectory(await signDirectory(issuers.directory, [a!]), keepers, at))).toBe(
      'registry/threshold',
    )
    expect(await code(() => verifyDirectory(signed, keepers, issuers.directory.validUntil))).toBe('registry/expired')
    const [first, second] = issuers.directory.issuers
    const twice = (change: object) =>
      code(() => readDirectory(canonicalJson({ ...issuers.directory, issuers: [first!, { ...second!, ...change }] })))
    expect(await twice({})).toBe('ok')
    expect(await twice({ id: first!.id })).toBe('directory/row')
    expect(await twice({ keys: first!.keys })).toBe('directory/row')
  })
})

test('a hidden chip id is nobody, and one chip has another name in every registry of placements', () => {
  const id = 'ab'.repeat(64)
  expect(platformName(null, 'salt')).toBeNull()
  expect(platformName('00'.repeat(64), 'salt')).toBeNull()
  expect(platformName(id, 'salt')).toMatch(/^[0-9a-f]{64}$/)
  expect(platformName(id, 'salt')).not.toBe(platformName(id, 'other'))
  // Salt and id are kept apart: moving bytes from one to the other gives another name.
  expect(platformName('6162', 'c')).not.toBe(platformName('62', 'ca'))
  expect(company).toMatch(/^LEI:/)
})
