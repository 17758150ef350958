import { collection, platformClaim, platformProfiles, realmClaim } from '#attest/cca/layout.js'
import { concat, fromHex } from '#core/bytes/bytes.js'
import { sha384, sha512 } from '#core/crypto/hash.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import type { CcaReferenceValues } from '#core/wire/reference-values.js'
import { type CcaBreakage, type ClaimMap, ccaKeys, ccaReportData, claims, coseKeyOf, pointOf, wrapped } from './cca.js'
import { withLongLength, withoutLength } from './non-der.js'

/** One minted case: a good token with one thing done differently, and what must come of it; see SnpCase. */
export interface CcaCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly broken: CcaBreakage
  readonly values?: Partial<CcaReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownKey?: true
}

const passes = (name: string, broken: CcaBreakage, values: Partial<CcaReferenceValues> = {}): CcaCase => ({
  name,
  code: null,
  crypto: 'pass',
  broken,
  values,
})
const unverified = (
  code: string,
  name: string,
  broken: CcaBreakage,
  more: Pick<CcaCase, 'unknownKey'> = {},
): CcaCase => ({ name, code, crypto: 'fail', broken, ...more })
const refused = (
  code: string,
  name: string,
  broken: CcaBreakage,
  more: Pick<CcaCase, 'values' | 'reportData' | 'tenantClass'> = {},
): CcaCase => ({ name, code, crypto: 'pass', broken, ...more })

const bytes = (value: number, size = 32) => new Uint8Array(size).fill(value)
const set = (label: number, value: Cbor) => (map: ClaimMap) => void map.set(label, value)
const without = (label: number) => (map: ClaimMap) => void map.delete(label)
/** The components with members of the first changed. */
const component = (change: (first: ClaimMap) => void) => (map: ClaimMap) => {
  const [first, ...more] = map.get(platformClaim.swComponents) as readonly ClaimMap[]
  const copy = new Map(first)
  change(copy)
  map.set(platformClaim.swComponents, [copy, ...more])
}
/** Another digest of the realm's key, by a hash function of another name. */
const keyHash = (name: string, hash: (message: Uint8Array) => Uint8Array): CcaBreakage => ({
  realm: set(realmClaim.publicKeyHashAlgoId, name),
  platform: set(platformClaim.challenge, hash(coseKeyOf(ccaKeys.realm))),
})
const badKey = (name: string, realmKey: Uint8Array, legacy = false): CcaCase =>
  unverified('cca/realm-key', name, { realmKey, legacy })
/** The payload of a map with one more claim, which its head counts: below 24 in all. */
const oneMore = (label: number, value: Uint8Array) => (payload: Uint8Array) =>
  concat(new Uint8Array([payload[0]! + 1]), payload.subarray(1), encodeCbor(label), value)
const firmware = (...components: readonly (readonly [string, string, string])[]) =>
  components.map(([type, measurement, signerId]) => ({ type, measurement, signerId }))

const good: readonly CcaCase[] = [
  passes('good', {}),
  passes('legacy-profile', { legacy: true, platform: set(platformClaim.profile, platformProfiles[0]) }),
  passes('mixed-profiles', { legacy: true }),
  passes('mixed-profiles-the-other-way', { platform: set(platformClaim.profile, platformProfiles[0]) }),
  passes('wrapped-tag-907', { collect: (platform, realm) => wrapped(platform, realm) }),
  passes('platform-signs-with-es256', { platformAlgorithm: 'ES256' }),
  passes('realm-key-by-sha-384', keyHash('sha-384', sha384)),
  passes('realm-key-by-sha-512', keyHash('sha-512', sha512)),
  passes('realm-key-with-algorithm-and-name', { realmKey: coseKeyOf(ccaKeys.realm, [3, -35], [2, bytes(1, 4)]) }),
  passes(
    'measured-with-sha-512',
    {
      realm: (map) => {
        set(realmClaim.hashAlgoId, 'sha-512')(map)
        set(realmClaim.initialMeasurement, bytes(0xab, 64))(map)
        set(
          realmClaim.extensibleMeasurements,
          [1, 2, 3, 4].map((i) => bytes(i, 64)),
        )(map)
      },
    },
    { initialMeasurements: ['ab'.repeat(64)], realmHashAlgorithms: ['sha-512'] },
  ),
  passes('no-verification-service', { platform: without(platformClaim.verificationService) }),
  passes(
    'component-of-two-members',
    { platform: component((one) => [1, 4, 6].map((label) => one.delete(label))) },
    {
      platforms: [
        {
          implementationId: '11'.repeat(32),
          components: [
            { type: undefined, measurement: '21'.repeat(32), signerId: '31'.repeat(32) },
            ...firmware(['RMM', '22'.repeat(32), '32'.repeat(32)]),
          ],
        },
      ],
    },
  ),
  passes('components-in-another-order', {
    platform: (map) =>
      void map.set(platformClaim.swComponents, (map.get(platformClaim.swComponents) as readonly Cbor[]).toReversed()),
  }),
  passes(
    'every-list-met',
    {},
    {
      rem0: ['01'.repeat(32)],
      rem1: ['02'.repeat(32)],
      rem2: ['03'.repeat(32)],
      rem3: ['04'.repeat(32)],
      personalizationValues: ['0f'.repeat(64)],
      realmHashAlgorithms: ['sha-256'],
      configs: ['cfcfcfcf'],
      instanceIds: [`01${'5a'.repeat(32)}`],
    },
  ),
]

const forms: readonly CcaCase[] = [
  unverified('cca/form', 'trailing-byte', { tokenBytes: (token) => concat(token, new Uint8Array(1)) }),
  unverified('cca/form', 'cut-short', { tokenBytes: (token) => token.subarray(0, -1) }),
  unverified('cca/form', 'collection-of-indefinite-length', {
    tokenBytes: (token) => concat(token.subarray(0, 3), fromHex('bf'), token.subarray(4), fromHex('ff')),
  }),
  unverified('cca/form', 'half-twice', {
    tokenBytes: (token) =>
      concat(token.subarray(0, 3), fromHex('a3'), token.subarray(4), encodeCbor(collection.realm), fromHex('40')),
  }),
  unverified('cca/form', 'platform-claim-twice', { platformPayload: oneMore(platformClaim.config, fromHex('40')) }),
  unverified('cca/form', 'realm-claim-twice', { realmPayload: oneMore(realmClaim.profile, fromHex('60')) }),
  unverified('cca/form', 'platform-payload-goes-on', {
    platformPayload: (payload) => concat(payload, new Uint8Array(1)),
  }),
  unverified('cca/form', 'realm-payload-is-no-map', { realmPayload: () => encodeCbor([1]) }),
  unverified('cca/form', 'component-is-no-map', { platform: set(platformClaim.swComponents, ['BL2']) }),
  unverified('cca/collection', 'no-tag', {
    collect: (platform, realm) => claims([collection.platform, platform], [collection.realm, realm]),
  }),
  unverified('cca/collection', 'another-tag', {
    collect: (platform, realm) => ({
      tag: 400,
      value: claims([collection.platform, platform], [collection.realm, realm]),
    }),
  }),
  unverified('cca/collection', 'records-under-tag-399', {
    collect: (platform, realm) => ({
      tag: collection.tag,
      value: claims([collection.platform, [263, platform]], [collection.realm, [263, realm]]),
    }),
  }),
  unverified('cca/collection', 'byte-strings-under-tag-907', {
    collect: (platform, realm) => ({
      tag: collection.wrappedTag,
      value: claims([collection.platform, platform], [collection.realm, realm]),
    }),
  }),
  unverified('cca/collection', 'record-of-another-type', {
    collect: (platform, realm) => wrapped(platform, realm, 262),
  }),
  unverified('cca/collection', 'record-of-three', {
    collect: (platform, realm) => ({
      tag: collection.wrappedTag,
      value: claims([collection.platform, [263, platform, 4]], [collection.realm, [263, realm, 4]]),
    }),
  }),
  unverified('cca/collection', 'no-platform-half', {
    collect: (_, realm) => ({ tag: collection.tag, value: claims([collection.realm, realm]) }),
  }),
  unverified('cca/collection', 'a-third-half', {
    collect: (platform, realm) => ({
      tag: collection.tag,
      value: claims([collection.platform, platform], [collection.realm, realm], [44_258, new Uint8Array()]),
    }),
  }),
  unverified('cca/cose', 'platform-message-of-three', { platformMessage: (message) => message.slice(0, 3) }),
  unverified('cca/cose', 'realm-message-without-payload', { realmMessage: ([a, b, , d]) => [a!, b!, null, d!] }),
  unverified('cca/cose', 'unprotected-label', { realmMessage: ([a, , c, d]) => [a!, claims([4, bytes(1)]), c!, d!] }),
  unverified('cca/cose', 'critical-label', { platformHeader: encodeCbor(claims([1, -35], [2, [9]], [9, 1])) }),
  unverified('cca/algorithm', 'realm-signs-with-es256', {
    realmHeader: encodeCbor(claims([1, -7])),
    realmMessage: ([a, b, c, d]) => [a!, b!, c!, (d as Uint8Array).subarray(32)],
  }),
  unverified('cca/algorithm', 'platform-signs-with-a-shared-key', { platformHeader: encodeCbor(claims([1, 5])) }),
]

const claimed: readonly CcaCase[] = [
  unverified('cca/claims', 'unknown-platform-claim', { platform: set(2403, 1) }),
  unverified('cca/claims', 'platform-claim-with-text-for-a-label', { platform: (map) => void map.set('10', 1) }),
  unverified('cca/claims', 'no-lifecycle', { platform: without(platformClaim.lifecycle) }),
  unverified('cca/claims', 'no-software-components', { platform: without(platformClaim.swComponents) }),
  unverified('cca/claims', 'unknown-realm-claim', { realm: set(44_242, 1) }),
  unverified('cca/claims', 'no-realm-challenge', { realm: without(realmClaim.challenge) }),
  unverified('cca/claims', 'no-name-of-the-hash-of-the-realm-key', { realm: without(realmClaim.publicKeyHashAlgoId) }),
  unverified('cca/claims', 'unknown-member-of-a-component', { platform: component((one) => one.set(3, 'x')) }),
  unverified('cca/claims', 'component-without-signer', { platform: component((one) => one.delete(5)) }),
  unverified('cca/profile', 'another-platform-profile', {
    platform: set(platformClaim.profile, 'tag:arm.com,2026:cca_platform#2.0.0'),
  }),
  unverified('cca/profile', 'another-realm-profile', {
    realm: set(realmClaim.profile, 'tag:arm.com,2026:realm#2.0.0'),
  }),
  unverified('cca/profile', 'realm-profile-is-null', { realm: set(realmClaim.profile, null) }),
  unverified('cca/claim', 'challenge-of-63-bytes', { realm: set(realmClaim.challenge, ccaReportData.subarray(1)) }),
  unverified('cca/claim', 'challenge-of-32-bytes', { realm: set(realmClaim.challenge, ccaReportData.subarray(32)) }),
  unverified('cca/claim', 'personalization-value-of-63-bytes', {
    realm: set(realmClaim.personalizationValue, bytes(0, 63)),
  }),
  unverified('cca/claim', 'initial-measurement-of-20-bytes', {
    realm: set(realmClaim.initialMeasurement, bytes(0, 20)),
  }),
  unverified('cca/claim', 'three-extensible-measurements', {
    realm: set(realmClaim.extensibleMeasurements, [bytes(1), bytes(2), bytes(3)]),
  }),
  unverified('cca/claim', 'implementation-id-of-31-bytes', {
    platform: set(platformClaim.implementationId, bytes(0x11, 31)),
  }),
  unverified('cca/claim', 'instance-id-of-another-type', { platform: set(platformClaim.instanceId, bytes(2, 33)) }),
  unverified('cca/claim', 'instance-id-of-32-bytes', { platform: set(platformClaim.instanceId, bytes(1, 32)) }),
  unverified('cca/claim', 'platform-challenge-of-20-bytes', { platform: set(platformClaim.challenge, bytes(1, 20)) }),
  unverified('cca/claim', 'config-beyond-its-size', { platform: set(platformClaim.config, bytes(0, 257)) }),
  unverified('cca/claim', 'lifecycle-between-two-states', { platform: set(platformClaim.lifecycle, 0x3100) }),
  unverified('cca/claim', 'lifecycle-negative', { platform: set(platformClaim.lifecycle, -1) }),
  unverified('cca/claim', 'lifecycle-beyond-16-bits', { platform: set(platformClaim.lifecycle, 0x1_3000) }),
  unverified('cca/claim', 'no-software-component', { platform: set(platformClaim.swComponents, []) }),
  unverified('cca/claim', 'measurement-of-31-bytes', { platform: component((one) => one.set(2, bytes(1, 31))) }),
  unverified('cca/claim', 'component-type-with-a-line-break', {
    platform: component((one) => one.set(1, 'RMM\nPASSED')),
  }),
  unverified('cca/hash-algorithm', 'realm-measured-with-sha-1', { realm: set(realmClaim.hashAlgoId, 'sha-1') }),
  unverified('cca/hash-algorithm', 'realm-key-by-another-hash', {
    realm: set(realmClaim.publicKeyHashAlgoId, 'SHA-256'),
  }),
  unverified('cca/hash-algorithm', 'platform-measured-with-md5', { platform: set(platformClaim.hashAlgoId, 'md5') }),
]

const realmPoint = pointOf(ccaKeys.realm)
const coordinates = { x: realmPoint.slice(1, 49), y: realmPoint.slice(49) }
const key = (...entries: readonly [CborKey, Cbor][]) => encodeCbor(claims(...entries))

const keysOfRealms: readonly CcaCase[] = [
  badKey('point-under-the-profile-of-2023', realmPoint),
  badKey('cose-key-under-the-legacy-profile', coseKeyOf(ccaKeys.realm), true),
  badKey('point-cut-short', realmPoint.subarray(0, 96), true),
  badKey('compressed-point', concat(fromHex('02'), coordinates.x), true),
  badKey('cose-key-of-another-curve', key([1, 2], [-1, 1], [-2, coordinates.x], [-3, coordinates.y])),
  badKey('cose-key-of-another-type', key([1, 1], [-1, 2], [-2, coordinates.x], [-3, coordinates.y])),
  badKey('cose-key-with-a-sign-for-y', key([1, 2], [-1, 2], [-2, coordinates.x], [-3, true])),
  badKey('cose-key-with-a-private-part', coseKeyOf(ccaKeys.realm, [-4, bytes(1, 48)])),
  badKey('cose-key-for-another-algorithm', coseKeyOf(ccaKeys.realm, [3, -7])),
  badKey('cose-key-with-a-byte-behind-it', concat(coseKeyOf(ccaKeys.realm), new Uint8Array(1))),
  badKey('cose-key-that-is-no-map', encodeCbor([2, 2, coordinates.x, coordinates.y])),
]

const bindings: readonly CcaCase[] = [
  unverified('cca/platform-key', 'platform-key-is-no-key', { platformKey: bytes(0, 120) }),
  unverified('cca/platform-key', 'platform-key-with-a-byte-behind-it', {
    platformKey: concat(ccaKeys.platform256.spki, new Uint8Array(1)),
  }),
  unverified('cca/platform-key', 'platform-key-with-a-length-of-more-bytes', {
    platformKey: withLongLength(ccaKeys.platform256.spki),
  }),
  unverified('cca/platform-key', 'platform-key-without-a-length', {
    platformKey: withoutLength(ccaKeys.platform256.spki),
  }),
  unverified('cca/platform-key', 'platform-key-is-a-bare-point', { platformKey: pointOf(ccaKeys.platform) }),
  unverified('cca/unknown-key', 'platform-key-that-nobody-named', {}, { unknownKey: true }),
  unverified('cca/unknown-key', 'platform-key-of-another', {
    platformKey: ccaKeys.other.spki,
    platformSigner: ccaKeys.other,
  }),
  unverified('cca/platform-signature', 'platform-token-signed-by-another-key', { platformSigner: ccaKeys.other }),
  unverified('cca/platform-signature', 'platform-token-signed-by-the-realm', { platformSigner: ccaKeys.realm }),
  unverified('cca/platform-signature', 'platform-key-on-another-curve', { platformKey: ccaKeys.platform256.spki }),
  unverified('cca/platform-signature', 'lifecycle-changed-after-signing', {
    platform: set(platformClaim.lifecycle, 0x4003),
    platformMessage: ([a, b, payload, d]) => [a!, b!, secured(payload as Uint8Array), d!],
  }),
  unverified('cca/binding', 'realm-key-that-the-platform-does-not-name', {
    platform: set(platformClaim.challenge, bytes(1)),
  }),
  unverified('cca/binding', 'platform-token-of-another-realm', {
    realmKey: coseKeyOf(ccaKeys.other),
    realmSigner: ccaKeys.other,
    platform: set(platformClaim.challenge, sha384(coseKeyOf(ccaKeys.realm))),
  }),
  unverified('cca/binding', 'digest-of-the-key-in-another-form', {
    realmKey: coseKeyOf(ccaKeys.realm),
    platform: set(platformClaim.challenge, sha512(realmPoint)),
    realm: set(realmClaim.publicKeyHashAlgoId, 'sha-512'),
  }),
  unverified('cca/binding', 'digest-cut-short', {
    platform: set(platformClaim.challenge, sha512(coseKeyOf(ccaKeys.realm)).subarray(0, 32)),
    realm: set(realmClaim.publicKeyHashAlgoId, 'sha-512'),
  }),
  unverified('cca/realm-signature', 'realm-token-signed-by-another-key', { realmSigner: ccaKeys.other }),
  unverified('cca/realm-signature', 'challenge-changed-after-signing', {
    realm: set(realmClaim.challenge, bytes(8, 64)),
    realmMessage: ([a, b, payload, d]) => [a!, b!, challenged(payload as Uint8Array), d!],
  }),
]

/** The payload with the lifecycle of a secured platform in place of one under debug. */
function secured(payload: Uint8Array): Uint8Array {
  const at = Buffer.from(payload).indexOf(Buffer.from('194003', 'hex'))
  return payload.with(at + 1, 0x30)
}
/** The payload with the wanted challenge in place of another. */
function challenged(payload: Uint8Array): Uint8Array {
  const at = Buffer.from(payload).indexOf(Buffer.from(bytes(8, 64)))
  return concat(payload.subarray(0, at), ccaReportData, payload.subarray(at + 64))
}

const other = ['99'.repeat(32)]
const platformsWith = (...components: ReturnType<typeof firmware>): Partial<CcaReferenceValues> => ({
  platforms: [{ implementationId: '11'.repeat(32), components }],
})
const [bl2, rmm] = firmware(['BL2', '21'.repeat(32), '31'.repeat(32)], ['RMM', '22'.repeat(32), '32'.repeat(32)])

const appraisals: readonly CcaCase[] = [
  refused('platform', 'platform-key-for-a-production-tenant', {}, { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', {}, { reportData: new Uint8Array(64) }),
  refused('debug', 'platform-open-to-debugging', { platform: set(platformClaim.lifecycle, 0x4001) }),
  refused('debug', 'root-of-trust-open-to-debugging', { platform: set(platformClaim.lifecycle, 0x50ff) }),
  refused('lifecycle', 'lifecycle-unknown', { platform: set(platformClaim.lifecycle, 0) }),
  refused('lifecycle', 'lifecycle-provisioning', { platform: set(platformClaim.lifecycle, 0x2000) }),
  refused('lifecycle', 'lifecycle-decommissioned', { platform: set(platformClaim.lifecycle, 0x6000) }),
  refused('reference-values', 'no-reference-values-for-the-kind', {}, { values: null }),
  refused('measurement', 'other-initial-measurement', {}, { values: { initialMeasurements: other } }),
  refused(
    'measurement',
    'initial-measurement-padded',
    {},
    {
      values: { initialMeasurements: [`${'ab'.repeat(32)}${'00'.repeat(32)}`] },
    },
  ),
  refused('rem0', 'other-rem0', {}, { values: { rem0: other } }),
  refused('rem1', 'other-rem1', {}, { values: { rem1: other } }),
  refused('rem2', 'other-rem2', {}, { values: { rem2: other } }),
  refused('rem3', 'other-rem3', {}, { values: { rem3: other } }),
  refused(
    'personalization-value',
    'other-personalization-value',
    {},
    { values: { personalizationValues: ['99'.repeat(64)] } },
  ),
  refused('realm-hash', 'other-realm-hash', {}, { values: { realmHashAlgorithms: ['sha-512'] } }),
  refused(
    'platform-software',
    'other-implementation',
    {},
    {
      values: { platforms: [{ implementationId: '99'.repeat(32), components: [bl2!, rmm!] }] },
    },
  ),
  refused('platform-software', 'component-not-approved', {}, { values: platformsWith(bl2!) }),
  refused(
    'platform-software',
    'component-missing',
    {},
    { values: platformsWith(bl2!, rmm!, { ...rmm!, type: 'SCP' }) },
  ),
  refused(
    'platform-software',
    'component-of-another-signer',
    {},
    {
      values: platformsWith(bl2!, { ...rmm!, signerId: '99'.repeat(32) }),
    },
  ),
  refused(
    'platform-software',
    'components-of-two-firmwares',
    {},
    {
      values: {
        platforms: [
          { implementationId: '11'.repeat(32), components: [bl2!, { ...rmm!, measurement: '99'.repeat(32) }] },
          { implementationId: '11'.repeat(32), components: [{ ...bl2!, measurement: '99'.repeat(32) }, rmm!] },
        ],
      },
    },
  ),
  refused('platform-config', 'other-config', {}, { values: { configs: ['00'] } }),
  refused('chip-id', 'other-instance', {}, { values: { instanceIds: [`01${'99'.repeat(32)}`] } }),
]

export const ccaCases: readonly CcaCase[] = [...good, ...forms, ...claimed, ...keysOfRealms, ...bindings, ...appraisals]
