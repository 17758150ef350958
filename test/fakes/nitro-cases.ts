import { concat, fromHex, utf8 } from '#core/bytes/bytes.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import type { NitroReferenceValues } from '#core/wire/reference-values.js'
import { basicConstraints, keyUsage } from '#runtime/attester/simulated/certificate.js'
import { dcapKeys } from './dcap.js'
import { digitalSignature } from './ec-certificates.js'
import { type Members, most, type NitroBreakage, nitroKeys, nitroModuleId, nitroPcr, nitroReportData } from './nitro.js'
import { withLongLength, withoutLength } from './non-der.js'
import { testTime } from './platform.js'

/** One minted case: a good document with one thing done differently, and what must come of it; see SnpCase. */
export interface NitroCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly broken: NitroBreakage
  readonly values?: Partial<NitroReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
  readonly at?: number
}

const passes = (name: string, broken: NitroBreakage, more: Pick<NitroCase, 'values' | 'at'> = {}): NitroCase => ({
  name,
  code: null,
  crypto: 'pass',
  broken,
  ...more,
})
const unverified = (
  code: string,
  name: string,
  broken: NitroBreakage,
  more: Pick<NitroCase, 'at' | 'unknownRoot'> = {},
): NitroCase => ({ name, code, crypto: 'fail', broken, ...more })
const refused = (
  code: string,
  name: string,
  broken: NitroBreakage,
  more: Pick<NitroCase, 'values' | 'reportData' | 'tenantClass' | 'at'> = {},
): NitroCase => ({ name, code, crypto: 'pass', broken, ...more })

const set = (name: string, value: Cbor) => (members: Members) => void members.set(name, value)
const certificate = (change: (der: Uint8Array) => Uint8Array) => (members: Members) =>
  void members.set('certificate', change(members.get('certificate') as Uint8Array))
const without = (name: string) => (members: Members) => void members.delete(name)
const pcrs = (change: (pcrs: Members) => void) => (members: Members) => {
  const copy = new Map(members.get('pcrs') as ReadonlyMap<CborKey, Cbor>)
  change(copy)
  members.set('pcrs', copy)
}
const map = (...entries: readonly [CborKey, Cbor][]) => new Map<CborKey, Cbor>(entries)
const zeros = new Uint8Array(48)

/** The map of a payload with an indefinite length: `bf`, the members, and a break. */
const indefinite = (payload: Uint8Array) => concat(fromHex('bf'), payload.subarray(1), fromHex('ff'))
/** The payload with one more member, which its head counts: more than nine, so far below 24. */
const oneMore = (name: string, value: Cbor) => (payload: Uint8Array) =>
  concat(new Uint8Array([payload[0]! + 1]), payload.subarray(1), encodeCbor(name), encodeCbor(value))

const good: readonly NitroCase[] = [
  passes('good', {}),
  passes('tag-18', { message: (value) => ({ tag: 18, value }) }),
  passes('map-of-indefinite-length', { payload: indefinite }),
  passes('optional-members-absent', { members: (one) => one.delete('nonce') && one.delete('public_key') }),
  passes('every-member-at-its-most', {
    members: (one) => {
      set('public_key', new Uint8Array(most('public_key')))(one)
      set('nonce', new Uint8Array(most('nonce')))(one)
    },
  }),
  passes('empty-nonce', { members: set('nonce', new Uint8Array()) }),
  passes('other-order-of-members', {
    members: (one) => {
      const entries = [...one].toReversed()
      one.clear()
      for (const [name, value] of entries) one.set(name, value)
    },
  }),
  passes('32-pcrs', { members: pcrs((all) => Array.from({ length: 32 }, (_, i) => all.set(i, nitroPcr(i)))) }),
  passes('three-pcrs', { members: set('pcrs', map([0, nitroPcr(0)], [1, nitroPcr(1)], [2, nitroPcr(2)])) }),
  passes('one-authority-less', {
    signer: { issuer: 'zonal.region.aws.nitro-enclaves' },
    signerIssuer: nitroKeys.zone,
    bundle: (all) => all.slice(0, 3),
  }),
  passes('clock-behind-by-less-than-a-minute', {}, { at: testTime - 60 }),
  passes('just-young-enough', {}, { at: testTime - 10 + 300 }),
  passes(
    'every-list-met',
    {},
    {
      values: { pcr3: ['a3'.repeat(48)], pcr4: ['a4'.repeat(48)], pcr8: ['a8'.repeat(48)], moduleIds: [nitroModuleId] },
    },
  ),
]

const messages: readonly NitroCase[] = [
  unverified('nitro/cose', 'trailing-byte', { documentBytes: (bytes) => concat(bytes, new Uint8Array(1)) }),
  unverified('nitro/cose', 'cut-short', { documentBytes: (bytes) => bytes.subarray(0, -1) }),
  unverified('nitro/cose', 'another-tag', { message: (value) => ({ tag: 98, value }) }),
  unverified('nitro/cose', 'array-of-five', { message: (value) => [...value, null] }),
  unverified('nitro/cose', 'array-of-indefinite-length', {
    documentBytes: (bytes) => concat(fromHex('9f'), bytes.subarray(1), fromHex('ff')),
  }),
  unverified('nitro/cose', 'payload-elsewhere', { message: ([a, b, , d]) => [a!, b!, null, d!] }),
  unverified('nitro/cose', 'another-protected-label', { protectedHeader: encodeCbor(map([1, -35], [4, 'x'])) }),
  unverified('nitro/cose', 'critical-label', { protectedHeader: encodeCbor(map([1, -35], [2, [9]], [9, 1])) }),
  unverified('nitro/cose', 'unprotected-label', { unprotectedHeader: map([33, new Uint8Array(1)]) }),
  unverified('nitro/cose', 'algorithm-twice', { protectedHeader: fromHex('a2013822013822') }),
  unverified('nitro/cose', 'signature-of-95-bytes', {
    message: ([a, b, c, d]) => [a!, b!, c!, (d as Uint8Array).subarray(1)],
  }),
  unverified('nitro/algorithm', 'algorithm-not-protected', {
    protectedHeader: encodeCbor(map()),
  }),
  unverified('nitro/algorithm', 'es256', { algorithm: 'ES256', documentSigner: dcapKeys.other }),
  unverified('nitro/form', 'duplicate-member', { payload: oneMore('user_data', nitroReportData) }),
  unverified('nitro/form', 'duplicate-member-of-indefinite-map', {
    payload: (bytes) => indefinite(oneMore('user_data', nitroReportData)(bytes)),
  }),
  unverified('nitro/form', 'payload-goes-on', { payload: (bytes) => concat(bytes, new Uint8Array(1)) }),
  unverified('nitro/form', 'payload-is-no-map', { payload: () => encodeCbor(['module_id']) }),
  unverified('nitro/form', 'payload-without-end', { payload: (bytes) => indefinite(bytes).subarray(0, -1) }),
  unverified('nitro/form', 'payload-beyond-its-size', {
    payload: (bytes) => oneMore('x', new Uint8Array(16_384 - bytes.length))(bytes),
  }),
  unverified('nitro/form', 'user-data-in-pieces', {
    payload: (bytes) => oneMore('x', 0)(bytes).map((byte, i, all) => (i === all.length - 1 ? 0x5f : byte)),
  }),
  unverified('nitro/form', 'timestamp-of-floating-point', {
    payload: (bytes) => oneMore('t', 0)(bytes).map((byte, i, all) => (i === all.length - 1 ? 0xf9 : byte)),
  }),
]

const members: readonly NitroCase[] = [
  unverified('nitro/members', 'unknown-member', { members: set('user-data', nitroReportData) }),
  unverified('nitro/members', 'member-with-a-number-for-a-name', { members: (one) => void one.set(1, 1) }),
  unverified('nitro/members', 'no-pcrs', { members: without('pcrs') }),
  unverified('nitro/members', 'no-timestamp', { members: without('timestamp') }),
  unverified('nitro/members', 'no-cabundle', { members: without('cabundle') }),
  unverified('nitro/module-id', 'empty-module-id', { members: set('module_id', '') }),
  unverified('nitro/module-id', 'module-id-with-a-line-break', { members: set('module_id', 'i-0\nPASSED') }),
  unverified('nitro/module-id', 'module-id-of-101-characters', { members: set('module_id', 'i'.repeat(101)) }),
  unverified('nitro/module-id', 'module-id-of-bytes', { members: set('module_id', utf8('i-0')) }),
  unverified('nitro/digest', 'sha-512', { members: set('digest', 'SHA512') }),
  unverified('nitro/digest', 'digest-in-lower-case', { members: set('digest', 'sha384') }),
  unverified('nitro/timestamp', 'timestamp-zero', { members: set('timestamp', 0) }),
  unverified('nitro/timestamp', 'timestamp-negative', { members: set('timestamp', -1) }),
  unverified('nitro/timestamp', 'timestamp-beyond-the-year-9999', { members: set('timestamp', 253_402_300_800_000) }),
  unverified('nitro/timestamp', 'timestamp-of-64-bits', { members: set('timestamp', 2n ** 64n - 1n) }),
  unverified('nitro/timestamp', 'timestamp-as-text', { members: set('timestamp', '1780000000000') }),
  unverified('nitro/pcrs', 'short-pcr', { members: pcrs((all) => all.set(0, nitroPcr(0).subarray(16))) }),
  unverified('nitro/pcrs', 'long-pcr', { members: pcrs((all) => all.set(15, new Uint8Array(64))) }),
  unverified('nitro/pcrs', 'pcr-32', { members: pcrs((all) => all.set(32, zeros)) }),
  unverified('nitro/pcrs', 'pcr-with-text-for-a-number', { members: pcrs((all) => all.set('0', zeros)) }),
  unverified('nitro/pcrs', 'no-pcr-2', { members: pcrs((all) => all.delete(2)) }),
  unverified('nitro/pcrs', 'empty-pcrs', { members: set('pcrs', map()) }),
  unverified('nitro/pcrs', 'pcrs-in-a-list', { members: set('pcrs', [zeros, zeros, zeros]) }),
  unverified('nitro/certificates', 'certificate-beyond-its-size', {
    members: set('certificate', new Uint8Array(most('certificate') + 1)),
  }),
  unverified('nitro/certificates', 'certificate-is-null', { members: set('certificate', null) }),
  unverified('nitro/certificates', 'empty-cabundle', { bundle: () => [] }),
  unverified('nitro/certificates', 'cabundle-of-eight', { bundle: (all) => [...all, ...all] }),
  unverified('nitro/certificates', 'cabundle-holds-an-empty-one', { bundle: (all) => [...all, new Uint8Array()] }),
  unverified('nitro/field-size', 'user-data-beyond-its-size', {
    members: set('user_data', new Uint8Array(most('user_data') + 1)),
  }),
  unverified('nitro/field-size', 'nonce-beyond-its-size', { members: set('nonce', new Uint8Array(most('nonce') + 1)) }),
  unverified('nitro/field-size', 'public-key-beyond-its-size', {
    members: set('public_key', new Uint8Array(most('public_key') + 1)),
  }),
  unverified('nitro/field-size', 'empty-public-key', { members: set('public_key', new Uint8Array()) }),
  unverified('nitro/field-size', 'user-data-as-text', { members: set('user_data', 'x'.repeat(64)) }),
]

/** Authorities that allow more below them, so that the order alone is wrong. */
const unlimited: NitroBreakage = {
  region: { extensions: [basicConstraints(9), keyUsage(true)] },
  zone: { extensions: [basicConstraints(9), keyUsage(true)] },
  instance: { extensions: [basicConstraints(9), keyUsage(true)] },
}

const chains: readonly NitroCase[] = [
  unverified('nitro/unknown-root', 'root-that-nobody-named', {}, { unknownRoot: true }),
  unverified('nitro/unknown-root', 'root-of-another-partition', {
    rootKey: nitroKeys.other,
    root: { subject: 'aws-cn.nitro-enclaves', issuer: 'aws-cn.nitro-enclaves' },
    region: { issuer: 'aws-cn.nitro-enclaves' },
  }),
  unverified('nitro/unknown-root', 'cabundle-root-last', { bundle: (all) => all.toReversed() }),
  unverified('nitro/unknown-root', 'cabundle-without-root', { bundle: (all) => all.slice(1) }),
  unverified('chain/issuer-name', 'cabundle-in-another-order', {
    ...unlimited,
    bundle: ([root, region, zone, instance]) => [root!, zone!, region!, instance!],
  }),
  unverified('chain/issuer-name', 'certificate-twice-in-the-cabundle', {
    ...unlimited,
    bundle: ([root, region, zone, instance]) => [root!, region!, zone!, instance!, instance!],
  }),
  unverified('chain/issuer-name', 'cabundle-with-a-gap', {
    bundle: ([root, , zone, instance]) => [root!, zone!, instance!],
  }),
  unverified('chain/path-length', 'one-authority-more-than-allowed', {
    region: { extensions: [basicConstraints(1), keyUsage(true)] },
  }),
  unverified('chain/expired', 'zone-expired-when-the-document-was-made', { zone: { notAfter: testTime - 11 } }),
  unverified('chain/expired', 'signing-certificate-expired-since', {}, { at: testTime - 13 + 10_801 }),
  unverified('chain/expired', 'zone-expired-since', { zone: { notAfter: testTime - 1 } }),
  unverified('chain/not-yet-valid', 'made-before-its-certificate', {
    members: set('timestamp', (testTime - 14) * 1000 + 999),
  }),
  unverified('chain/signature', 'signing-certificate-signed-by-another-key', { signerIssuer: nitroKeys.other }),
  unverified('chain/signature', 'root-key-in-a-certificate-of-another', {
    rootKey: { pkcs8: nitroKeys.other.pkcs8, spki: nitroKeys.root.spki },
  }),
  unverified('nitro/authority', 'authority-without-key-usage', { zone: { extensions: [basicConstraints(1)] } }),
  unverified('nitro/authority', 'authority-may-not-sign-certificates', {
    instance: { extensions: [basicConstraints(0), digitalSignature] },
  }),
  unverified('chain/not-a-ca', 'authority-is-none', { instance: { extensions: [keyUsage(true)] } }),
  unverified('nitro/signing-key', 'signing-key-is-an-authority', {
    signer: { extensions: [basicConstraints(), digitalSignature] },
  }),
  unverified('nitro/signing-key', 'signing-key-may-not-sign', { signer: { extensions: [keyUsage(true)] } }),
  unverified('nitro/signing-key', 'signing-certificate-without-key-usage', { signer: { extensions: [] } }),
  unverified('x509/form', 'trailing-byte-after-a-certificate', {
    bundle: ([root, ...more]) => [root!, ...more.map((der) => concat(der, new Uint8Array(1)))],
  }),
  unverified('x509/form', 'certificate-with-a-length-of-more-bytes', { members: certificate(withLongLength) }),
  unverified('x509/form', 'certificate-without-a-length', { members: certificate(withoutLength) }),
  unverified('x509/form', 'authority-with-a-length-of-more-bytes', {
    bundle: ([root, ...more]) => [root!, ...more.map(withLongLength)],
  }),
  unverified('x509/form', 'root-without-a-length', { bundle: ([root, ...more]) => [withoutLength(root!), ...more] }),
  unverified('nitro/not-yet-made', 'document-of-the-future', {}, { at: testTime - 71 }),
  unverified('nitro/signature', 'signed-by-another-key', { documentSigner: nitroKeys.other }),
  unverified('nitro/signature', 'signed-by-an-authority', { documentSigner: nitroKeys.instance }),
  unverified('nitro/signature', 'user-data-changed-after-signing', {
    message: ([a, b, payload, d]) => [a!, b!, swapped(payload as Uint8Array), d!],
  }),
  unverified('nitro/signature', 'header-spelled-otherwise-after-signing', {
    protectedHeader: encodeCbor(map()),
    message: ([, ...more]) => [encodeCbor(map([1, -35])), ...more],
  }),
]

/** The payload with the first byte of its user data changed. */
function swapped(payload: Uint8Array): Uint8Array {
  const at = Buffer.from(payload).indexOf(Buffer.from(nitroReportData))
  return payload.with(at, 8)
}

const other = ['11'.repeat(48)]
const image = { pcr0: 'a0'.repeat(48), pcr1: 'a1'.repeat(48), pcr2: 'a2'.repeat(48) }

const appraisals: readonly NitroCase[] = [
  refused('platform', 'simulated-for-a-production-tenant', {}, { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', {}, { reportData: new Uint8Array(64) }),
  refused('report-data', 'no-user-data', { members: set('user_data', null) }),
  refused('report-data', 'user-data-of-63-bytes', { members: set('user_data', nitroReportData.subarray(1)) }),
  refused('report-data', 'user-data-of-65-bytes', {
    members: set('user_data', concat(nitroReportData, new Uint8Array(1))),
  }),
  refused('report-data', 'user-data-of-48-bytes', { members: set('user_data', nitroReportData.subarray(16)) }),
  refused('report-data', 'report-data-in-the-nonce', {
    members: (one) => {
      one.set('nonce', nitroReportData)
      one.set('user_data', null)
    },
  }),
  refused('debug', 'debug-mode', { members: pcrs((all) => [0, 1, 2].map((i) => all.set(i, zeros))) }),
  refused('debug', 'image-register-zero', { members: pcrs((all) => all.set(0, zeros)) }),
  refused('reference-values', 'no-reference-values-for-the-kind', {}, { values: null }),
  refused('document-age', 'document-too-old', {}, { at: testTime - 10 + 301 }),
  refused('measurement', 'other-image', {}, { values: { images: [{ ...image, pcr0: '11'.repeat(48) }] } }),
  refused(
    'measurement',
    'application-of-another-image',
    {},
    {
      values: {
        images: [
          { ...image, pcr2: '11'.repeat(48) },
          { pcr0: '11'.repeat(48), pcr1: '11'.repeat(48), pcr2: image.pcr2 },
        ],
      },
    },
  ),
  refused('pcr3', 'other-role', {}, { values: { pcr3: other } }),
  refused('pcr4', 'other-instance', {}, { values: { pcr4: other } }),
  refused('pcr8', 'other-image-signer', {}, { values: { pcr8: other } }),
  refused(
    'pcr8',
    'image-signer-not-in-the-document',
    { members: pcrs((all) => all.delete(8)) },
    { values: { pcr8: other } },
  ),
  refused('module-id', 'other-enclave', {}, { values: { moduleIds: [`${nitroModuleId}0`] } }),
]

export const nitroCases: readonly NitroCase[] = [...good, ...messages, ...members, ...chains, ...appraisals]
