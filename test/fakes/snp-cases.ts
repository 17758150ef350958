import { extensionOid, field } from '#attest/snp/layout.js'
import { concat, fromHex, toHex } from '#core/bytes/bytes.js'
import type { SnpReferenceValues } from '#core/wire/reference-values.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { serials } from '#runtime/attester/simulated/authority.js'
import { basicConstraints, keyUsage } from '#runtime/attester/simulated/certificate.js'
import { ia5, integer, octets, sequence } from '#runtime/attester/simulated/der.js'
import { defaultPolicy, productDefaults } from '#runtime/attester/simulated/report.js'
import { withLongLength, withoutLength } from './non-der.js'
import { testRootDigest, testTime, throwawayKeys } from './platform.js'
import { type Breakage, goodExtensions, mintedReportData } from './snp.js'

/**
 * One minted case: a good machine with one thing done differently, and what must come of it. `code` is the failure
 * that verification raises, or the id of the check that refuses; null where the case passes.
 */
export interface SnpCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly broken: Breakage
  readonly values?: Partial<SnpReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
  /** the reader knows of a list of this time */
  readonly floorAt?: number
  /** the reader has seen this intermediate of the root revoked by a list of this time */
  readonly revokedAt?: { readonly serial: string; readonly time: number }
}

/** What the reader of a case believes beyond vendor roots. */
export function anchorsOf({ unknownRoot, floorAt, revokedAt }: SnpCase) {
  const issuer = testRootDigest
  const floors: CollateralFloor[] = floorAt === undefined ? [] : [{ kind: 'crl', issuer, issuedAtMin: floorAt }]
  if (revokedAt) floors.push({ kind: 'amd-revoked', issuer, serial: revokedAt.serial, issuedAtMin: revokedAt.time })
  return {
    simulatedRoots: unknownRoot ? [] : [testRootDigest],
    ...(floors.length === 0 ? {} : { collateralFloors: floors }),
  }
}

const day = 86_400
/** of the minted intermediate */
const askSerial = toHex(new Uint8Array([2, 0, 2]))
const u32 = (at: number, value: number) => (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true)
const flip = (at: number) => (bytes: Uint8Array) => {
  bytes[at]! ^= 1
}
/** Replaces the first occurrence of some bytes, all in hex. */
const swap = (from: string, to: string) => (der: Uint8Array) => fromHex(toHex(der).replace(from, to))
const genoa = goodExtensions('Genoa')
const without = (oid: string) => genoa.filter((one) => one.oid !== oid)
const replaced = (oid: string, value: Uint8Array) => genoa.map((one) => (one.oid === oid ? { ...one, value } : one))
const tcb = productDefaults.Genoa.tcb
const policyBits = (bit: number) => defaultPolicy | (1n << BigInt(bit))

const passes = (name: string, broken: Breakage, values?: Partial<SnpReferenceValues>): SnpCase => ({
  name,
  code: null,
  crypto: 'pass',
  broken,
  ...(values ? { values } : {}),
})
const unverified = (code: string, name: string, broken: Breakage): SnpCase => ({ name, code, crypto: 'fail', broken })
const refused = (
  code: string,
  name: string,
  broken: Breakage,
  more: Pick<SnpCase, 'values' | 'reportData' | 'tenantClass'> = {},
): SnpCase => ({ name, code, crypto: 'pass', broken, ...more })

const good: readonly SnpCase[] = [
  passes('genoa-good', {}),
  passes('turin-good', { product: 'Turin' }),
  passes('milan-good-with-warning', { product: 'Milan' }, { allowMilan: true }),
  passes('milan-version-2', { product: 'Milan', report: { version: 2 } }, { allowMilan: true }),
  passes('genoa-version-4', { report: { version: 4 } }),
  passes('genoa-vlek', { cspId: 'CN=provider.example' }, { signingKeys: ['VLEK'], cspIds: ['CN=provider.example'] }),
  passes('turin-vlek', { product: 'Turin', cspId: 'CN=provider.example' }, { signingKeys: ['VLEK'] }),
  passes('hwid-in-octet-string', {
    vek: { extensions: replaced(extensionOid.hwId, octets(new Uint8Array(64).fill(0x5a))) },
  }),
  passes(
    'author-key',
    {
      beforeSigning: (bytes) => {
        bytes[field.keyInfo[0]]! |= 1
        bytes.fill(0xcd, field.authorKeyDigest[0], field.authorKeyDigest[0] + 48)
      },
    },
    { authorKeyDigests: ['cd'.repeat(48)] },
  ),
  passes('unknown-platform-bit', { report: { platformInfo: 0x24n | (1n << 40n) } }),
  passes('no-crl-when-given', { crl: null }, { crl: 'when-given' }),
  { ...passes('crl-of-the-floor', { crl: { thisUpdate: testTime } }), floorAt: testTime },
  // Revoked later than the time that is judged, and another intermediate of the root.
  {
    ...passes('intermediate-revoked-later', {}),
    revokedAt: { serial: askSerial, time: testTime + 1 },
  },
  { ...passes('other-intermediate-revoked', {}), revokedAt: { serial: '020101', time: testTime } },
  { ...passes('floor-of-a-later-time', { crl: { thisUpdate: testTime - day } }), floorAt: testTime + 1 },
]

const reports: readonly SnpCase[] = [
  unverified('shape/form', 'report-with-a-trailing-byte', {
    reportBytes: (report) => concat(report, new Uint8Array(1)),
  }),
  unverified('shape/form', 'report-cut-short', { reportBytes: (report) => report.subarray(0, -1) }),
  unverified('snp/version', 'version-6', { beforeSigning: u32(field.version[0], 6) }),
  unverified('snp/version', 'version-1', { beforeSigning: u32(field.version[0], 1) }),
  unverified('snp/signature-algorithm', 'signature-algorithm-2', { beforeSigning: u32(field.signatureAlgo[0], 2) }),
  unverified('snp/reserved', 'reserved-after-cpuid', { beforeSigning: flip(field.reservedAfterCpuid[0]) }),
  unverified('snp/reserved', 'reserved-after-signature', { afterSigning: flip(1183) }),
  unverified('snp/reserved', 'cpuid-in-version-2', {
    product: 'Milan',
    report: { version: 2 },
    beforeSigning: flip(field.cpuid[0]),
  }),
  unverified('snp/reserved', 'mitigations-in-version-3', {
    report: { version: 3 },
    beforeSigning: flip(field.launchMitVector[0]),
  }),
  unverified('snp/policy-reserved', 'policy-bit-26', { report: { policy: policyBits(26) } }),
  unverified('snp/policy-reserved', 'policy-bit-17-clear', { report: { policy: 0x0137n } }),
  unverified('snp/key-info', 'key-info-reserved-bit', { beforeSigning: u32(field.keyInfo[0], 0x20) }),
  unverified('snp/key-info', 'signing-key-2', { beforeSigning: u32(field.keyInfo[0], 2 << 2) }),
  unverified('snp/unsigned', 'chip-key-masked', { beforeSigning: u32(field.keyInfo[0], 0x2) }),
  unverified('snp/unsigned', 'signing-key-none', { beforeSigning: u32(field.keyInfo[0], 7 << 2) }),
  unverified('snp/author-key', 'author-key-digest-without-flag', { beforeSigning: flip(field.authorKeyDigest[0]) }),
  unverified('snp/vmpl', 'vmpl-4', { report: { vmpl: 4 } }),
  unverified('snp/host-requested', 'asked-for-by-the-host', { report: { vmpl: 0xffff_ffff } }),
  unverified('snp/signature', 'measurement-changed-after-signing', { afterSigning: flip(field.measurement[0]) }),
  unverified('snp/signature', 'signature-s-changed', { afterSigning: flip(field.signatureS[0]) }),
  unverified('snp/tcb-reserved', 'launch-tcb-reserved-byte', { beforeSigning: flip(field.launchTcb[0] + 3) }),
  unverified('snp/tcb-certificate', 'tcb-newer-than-certificate', {
    report: { tcb: { ...tcb, microcode: tcb.microcode + 1 } },
  }),
  unverified('snp/tcb-order', 'committed-below-reported', { beforeSigning: flip(field.committedTcb[0] + 6) }),
  unverified('snp/tcb-order', 'current-below-committed', { beforeSigning: flip(field.currentTcb[0] + 6) }),
  unverified('snp/chip-id', 'other-chip', { beforeSigning: flip(field.chipId[0] + 63) }),
  unverified('snp/chip-id', 'turin-chip-id-not-padded', { product: 'Turin', beforeSigning: flip(field.chipId[0] + 8) }),
  unverified('snp/signing-key', 'vlek-in-report-vcek-in-certificate', { report: { signingKey: 'VLEK' } }),
]

const endorsements: readonly SnpCase[] = [
  { ...unverified('snp/unknown-root', 'root-that-nobody-named', {}), unknownRoot: true },
  unverified('snp/endorsement-key', 'endorsement-key-is-an-authority', {
    vek: { extensions: [...genoa, basicConstraints()] },
  }),
  unverified('snp/endorsement-key', 'endorsement-key-with-another-name', { vek: { subject: 'SEV-OTHER' } }),
  unverified('snp/endorsement-key', 'endorsement-key-is-rsa', { vek: { spki: throwawayKeys.other.spki } }),
  unverified('snp/certificate', 'no-microcode-extension', { vek: { extensions: without(extensionOid.microcode) } }),
  unverified('snp/certificate', 'no-hwid', { vek: { extensions: without(extensionOid.hwId) } }),
  unverified('snp/certificate', 'hwid-too-long', {
    vek: { extensions: replaced(extensionOid.hwId, new Uint8Array(65)) },
  }),
  unverified('snp/certificate', 'reserved-extension-not-zero', {
    vek: { extensions: replaced(extensionOid.reserved5, integer(1)) },
  }),
  unverified('snp/certificate', 'structure-version-of-turin', {
    vek: { extensions: replaced(extensionOid.structVersion, integer(1)) },
  }),
  unverified('snp/certificate', 'vcek-with-csp-id', {
    vek: { extensions: [...genoa, { oid: extensionOid.cspId, critical: false, value: ia5('CN=x') }] },
  }),
  unverified('snp/product', 'unknown-product-name', {
    vek: { extensions: replaced(extensionOid.productName, ia5('Venice')) },
  }),
  unverified('snp/product', 'cpuid-of-another-product', {
    beforeSigning: (bytes) => bytes.set([0x01], field.cpuid[0] + 1),
  }),
  unverified('snp/product', 'unknown-cpu-family', { beforeSigning: (bytes) => bytes.set([0x1b], field.cpuid[0]) }),
  unverified('snp/endorser-name', 'intermediate-of-another-product', {
    ask: { subject: 'SEV-Turin' },
    vek: { issuer: 'SEV-Turin' },
  }),
  unverified('snp/csp-id', 'vlek-with-empty-csp-id', { cspId: '' }),
  unverified('x509/form', 'trailing-byte-after-certificate', { vekBytes: (der) => new Uint8Array([...der, 0]) }),
  unverified('x509/form', 'certificate-with-a-length-of-more-bytes', { vekBytes: withLongLength }),
  unverified('x509/form', 'certificate-without-a-length', { vekBytes: withoutLength }),
  unverified('x509/form', 'intermediate-with-a-length-of-more-bytes', { askBytes: withLongLength }),
  unverified('x509/form', 'intermediate-without-a-length', { askBytes: withoutLength }),
  unverified('x509/version', 'certificate-version-2', { vekBytes: swap('a003020102', 'a003020101') }),
  unverified('x509/algorithm', 'unknown-signature-algorithm', { vekBytes: swap('f70d01010a', 'f70d01010c') }),
  unverified('x509/duplicate-extension', 'extension-twice', { vek: { extensions: [...genoa, genoa[0]!] } }),
  unverified('x509/critical-extension', 'unknown-critical-extension', {
    vek: { extensions: [...genoa, { oid: '1.2.3.4', critical: true, value: integer(1) }] },
  }),
  unverified('x509/extension', 'path-length-of-no-authority', {
    vek: { extensions: [...genoa, { oid: '2.5.29.19', critical: true, value: sequence(integer(1)) }] },
  }),
]

const chains: readonly SnpCase[] = [
  unverified('chain/not-yet-valid', 'leaf-not-yet-valid', { vek: { notBefore: testTime + 1 } }),
  unverified('chain/expired', 'leaf-expired', { vek: { notAfter: testTime - 1 } }),
  unverified('chain/expired', 'intermediate-expired', { ask: { notAfter: testTime - 1 } }),
  unverified('chain/expired', 'root-expired', { ark: { notAfter: testTime - 1 } }),
  unverified('chain/issuer-name', 'leaf-names-another-issuer', { vek: { issuer: 'SEV-Turin' } }),
  unverified('chain/not-a-ca', 'intermediate-is-no-authority', { ask: { extensions: [keyUsage(false)] } }),
  unverified('chain/key-usage', 'intermediate-may-not-sign', {
    ask: { extensions: [basicConstraints(0), { ...keyUsage(true), value: new Uint8Array([3, 2, 1, 2]) }] },
  }),
  unverified('chain/path-length', 'root-allows-no-intermediate', {
    ark: { extensions: [keyUsage(true), basicConstraints(0)] },
  }),
  unverified('chain/signature', 'leaf-signed-by-another-key', { vekSigner: throwawayKeys.other }),
  unverified('chain/signature', 'intermediate-signed-by-another-key', { askSigner: throwawayKeys.other }),
  unverified('crl/form', 'crl-with-trailing-byte', { crlBytes: (der) => new Uint8Array([...der, 0]) }),
  unverified('crl/form', 'crl-with-a-length-of-more-bytes', { crlBytes: withLongLength }),
  unverified('crl/form', 'crl-without-a-length', { crlBytes: withoutLength }),
  unverified('crl/critical-extension', 'crl-is-partial', {
    crl: { extensions: [{ oid: '2.5.29.28', critical: true, value: sequence() }] },
  }),
  unverified('crl/no-next-update', 'crl-without-next-update', { crl: { nextUpdate: null } }),
  unverified('crl/issuer-name', 'crl-of-another-issuer', { crl: { issuer: 'ARK-OTHER' } }),
  unverified('crl/key-usage', 'root-may-not-sign-crls', { ark: { extensions: [keyUsage(false), basicConstraints()] } }),
  unverified('crl/not-yet-valid', 'crl-of-tomorrow', { crl: { thisUpdate: testTime + day } }),
  unverified('crl/expired', 'crl-stale', { crl: { nextUpdate: testTime - 1 } }),
  unverified('crl/signature', 'crl-signed-by-another-key', { crlSigner: throwawayKeys.other }),
  unverified('crl/revoked', 'intermediate-revoked', { crl: { revoked: [1, 0x20002] } }),
  // Of a VLEK the intermediate is the ASVK.
  unverified('crl/revoked', 'intermediate-of-a-vlek-revoked', {
    cspId: 'CN=provider.example',
    crl: { revoked: [serials.ask] },
  }),
  // The list that comes along is current and names nothing, as the one of the other kind of key would.
  {
    ...unverified('crl/revoked', 'intermediate-seen-revoked', { crl: { thisUpdate: testTime } }),
    revokedAt: { serial: askSerial, time: testTime - day },
  },
  {
    ...unverified('crl/revoked', 'intermediate-of-a-vlek-seen-revoked', { cspId: 'CN=provider.example' }),
    revokedAt: { serial: askSerial, time: testTime - day },
  },
  {
    ...unverified('crl/revoked', 'intermediate-seen-revoked-and-no-crl', { crl: null }),
    revokedAt: { serial: askSerial, time: testTime },
  },
  unverified('crl/critical-extension', 'crl-is-partial-and-hides-it', {
    crl: { extensions: [{ oid: '2.5.29.28', critical: false, value: sequence() }] },
  }),
  unverified('crl/revoked', 'root-revoked', { crl: { revoked: [0x20000] } }),
  {
    ...unverified('snp/crl-floor', 'crl-older-than-the-floor', { crl: { thisUpdate: testTime - day } }),
    floorAt: testTime,
  },
  { ...unverified('snp/crl-floor', 'no-crl-where-a-floor-stands', { crl: null }), floorAt: testTime },
]

const floor = { ...tcb, microcode: tcb.microcode + 1 }
const floorsWith = (part: 'reported' | 'committed' | 'launch'): Partial<SnpReferenceValues> => ({
  products: {
    Milan: undefined,
    Genoa: { reported: tcb, committed: tcb, launch: tcb, [part]: floor },
    Turin: undefined,
  },
})

const paddedNonce = new Uint8Array(64)
paddedNonce.set(mintedReportData.subarray(0, 32))
const cutReportData = mintedReportData.with(63, 0)

const appraisals: readonly SnpCase[] = [
  refused('platform', 'simulated-for-a-production-tenant', {}, { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', {}, { reportData: new Uint8Array(64) }),
  refused('report-data', 'nonce-padded-with-zeros', { report: { reportData: paddedNonce } }),
  refused('report-data', 'report-data-cut-by-a-byte', { report: { reportData: cutReportData } }),
  refused('debug', 'debug-guest', { report: { policy: policyBits(19) } }),
  refused('product-generation', 'milan-refused-by-default', { product: 'Milan' }),
  refused('reference-values', 'no-reference-values-for-the-kind', {}, { values: null }),
  refused('measurement', 'other-measurement', {}, { values: { measurements: ['00'.repeat(48)] } }),
  refused('guest-svn', 'guest-too-old', {}, { values: { guestSvnMin: 1 } }),
  refused('migration-agent', 'migration-agent-allowed', { report: { policy: policyBits(18) } }),
  refused('smt', 'smt-allowed-by-the-guest', { report: { policy: policyBits(16) } }),
  refused('smt', 'smt-on', { report: { platformInfo: 0x25n } }),
  refused('vmpl', 'vmpl-1', { report: { vmpl: 1 } }),
  refused('host-data', 'other-host-data', {}, { values: { hostData: ['11'.repeat(32)] } }),
  refused('id-key', 'other-id-key', {}, { values: { idKeyDigests: ['11'.repeat(48)] } }),
  refused('author-key', 'no-author-key', {}, { values: { authorKeyDigests: ['11'.repeat(48)] } }),
  refused('signing-key', 'vlek-not-accepted', { cspId: 'CN=provider.example' }),
  refused('chip-id', 'chip-not-listed', {}, { values: { chipIds: ['00'.repeat(64)] } }),
  refused(
    'chip-id',
    'masked-chip-under-a-list-of-chips',
    { cspId: 'CN=provider.example' },
    { values: { signingKeys: ['VLEK'], chipIds: ['5a'.repeat(64)] } },
  ),
  refused(
    'chip-id',
    'masked-chip-under-a-list-with-zeros',
    { cspId: 'CN=provider.example' },
    { values: { signingKeys: ['VLEK'], chipIds: ['00'.repeat(64)] } },
  ),
  refused('csp-id', 'provider-not-listed', { cspId: 'CN=a' }, { values: { signingKeys: ['VLEK'], cspIds: ['CN=b'] } }),
  refused(
    'product',
    'product-without-floors',
    {},
    { values: { products: { Milan: undefined, Genoa: undefined, Turin: undefined } } },
  ),
  refused('tcb-reported', 'reported-tcb-below-floor', {}, { values: floorsWith('reported') }),
  refused('tcb-committed', 'committed-tcb-below-floor', {}, { values: floorsWith('committed') }),
  refused('tcb-launch', 'launch-tcb-below-floor', {}, { values: floorsWith('launch') }),
  refused('alias-check', 'alias-check-not-done', { report: { platformInfo: 0x04n } }),
  refused('ciphertext-hiding', 'no-ciphertext-hiding', {}, { values: { requireCiphertextHiding: true } }),
  refused('crl', 'no-crl', { crl: null }),
]

/** Cases that fail in the verification; what the envelope refuses is verified nowhere. */
export const unverifiedSnpCases = (): readonly SnpCase[] =>
  snpCases.filter(({ crypto, code }) => crypto === 'fail' && !code!.startsWith('shape/'))

export const snpCases: readonly SnpCase[] = [...good, ...reports, ...endorsements, ...chains, ...appraisals]
