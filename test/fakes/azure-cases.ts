import { field, runtimeDataAt } from '#attest/azure/layout.js'
import { field as snpField } from '#attest/snp/layout.js'
import { field as tdxField } from '#attest/tdx/layout.js'
import { concat, toBase64, toHex } from '#core/bytes/bytes.js'
import type { VtpmReferenceValues } from '#core/wire/reference-values.js'
import { defaultPolicy } from '#runtime/attester/simulated/report.js'
import { type AzureBreakage, azureKeys, azureReportData, jwkOf } from './azure.js'
import { dcapKeys, level } from './dcap.js'
import { type DcapCase, tdxCases } from './dcap-cases.js'
import { type SnpCase, snpCases } from './snp-cases.js'

/** One minted case: a good virtual machine with one thing done differently, and what must come of it; see SnpCase. */
export interface AzureCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly broken: AzureBreakage
  readonly values?: Partial<VtpmReferenceValues> | null
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
  /** what the owner accepts of the hardware beneath */
  readonly hardware?: DcapCase['values'] | SnpCase['values']
  /** extra data as it is, where it is not made of report data */
  readonly nonce?: Uint8Array
}

type More = Omit<Partial<AzureCase>, 'name' | 'code' | 'crypto' | 'broken'>
const passes = (name: string, broken: AzureBreakage, more: More = {}): AzureCase => ({
  name,
  code: null,
  crypto: 'pass',
  broken,
  ...more,
})
const unverified = (code: string, name: string, broken: AzureBreakage, more: More = {}): AzureCase => ({
  name,
  code,
  crypto: 'fail',
  broken,
  ...more,
})
const refused = (code: string, name: string, broken: AzureBreakage, more: More = {}): AzureCase => ({
  name,
  code,
  crypto: 'pass',
  broken,
  ...more,
})

const u32 = (name: keyof typeof field, value: number) => (bytes: Uint8Array) =>
  new DataView(bytes.buffer).setUint32(field[name][0], value, true)
const flip = (at: number) => (bytes: Uint8Array) => {
  bytes[at]! ^= 1
}
const flipped = (at: number) => (bytes: Uint8Array) => {
  const out = bytes.slice()
  out[at]! ^= 1
  return out
}
/** The quote with some of its bytes replaced by others. */
const spliced = (at: number, size: number, hex: string) => (quote: Uint8Array) =>
  concat(quote.subarray(0, at), new Uint8Array(Buffer.from(hex, 'hex')), quote.subarray(at + size))
const vm = (member: string, value: unknown) => (runtime: Record<string, unknown>) => {
  runtime['vm-configuration'] = { ...(runtime['vm-configuration'] as object), [member]: value }
}
const ak = (change: Record<string, unknown>) => (runtime: Record<string, unknown>) => {
  const [first, ...rest] = runtime.keys as readonly Record<string, unknown>[]
  runtime.keys = [{ ...first, ...change }, ...rest]
}
const keys = (...list: readonly unknown[]) => ({
  runtime: (runtime: Record<string, unknown>) => {
    runtime.keys = list
  },
})
const own = jwkOf(azureKeys.ak, 'HCLAkPub', 'sign')
const tdx = { hardware: 'tdx' } as const

/** Offsets in a minted quote: name of 34 bytes, extra data of 32. */
const at = {
  type: 4,
  nameSize: 6,
  extraDataSize: 42,
  safe: 92,
  count: 101,
  bank: 105,
  selectSize: 107,
  digestSize: 111,
}

const good: readonly AzureCase[] = [
  passes('azure-snp-good', {}),
  passes('azure-tdx-good', tdx),
  passes('azure-tdx-report-1.5', { ...tdx, tdx: { version: 5, body: 'tdx-1.5' } }),
  passes('azure-tdx-good-with-another-status', {
    ...tdx,
    tdx: { tcbInfo: (info) => void (info.tcbLevels = [level(5, 'UpToDate'), level(2, 'OutOfDate')]) },
  }),
  passes('hcl-report-version-1', { hcl: u32('version', 1) }),
  passes('runtime-data-by-sha384', { hash: 2 }),
  passes('runtime-data-by-sha512', { ...tdx, hash: 3 }),
  passes('two-pcrs-quoted', { selected: [4, 7] }),
  passes('five-pcrs-quoted', { selected: [4, 7, 8, 9, 11] }),
  passes('runtime-data-of-a-later-paravisor', { runtime: vm('interactive-console-enabled', false) }),
  passes('runtime-data-with-unknown-members', { runtime: vm('not-yet-invented', 1) }),
  passes('runtime-data-without-user-data', { runtime: (value) => void delete value['user-data'] }),
  passes('runtime-data-spelled-with-spaces', { runtimeText: (text) => text.replaceAll(':', ': ') }),
  passes('nonce-as-it-is', { extraData: new Uint8Array(48).fill(9) }, { nonce: new Uint8Array(48).fill(9) }),
  passes('secure-boot-off-accepted', { runtime: vm('secure-boot', false) }, { values: { requireSecureBoot: false } }),
  passes('console-accepted', { runtime: vm('console-enabled', true) }, { values: { allowConsole: true } }),
  passes('vm-listed', {}, { values: { vmIds: ['00000000-0000-4000-8000-000000000001'] } }),
]

const reports: readonly AzureCase[] = [
  unverified('azure/header', 'hcl-report-without-its-name', { hcl: flip(0) }),
  unverified('azure/header', 'hcl-report-version-3', { hcl: u32('version', 3) }),
  unverified('azure/header', 'request-for-a-key', { hcl: u32('requestType', 1) }),
  unverified('azure/header', 'status-of-a-failure', { hcl: u32('status', 1) }),
  unverified('azure/header', 'reserved-bytes-of-the-header', { hcl: flip(field.reserved[0] + 11) }),
  unverified('azure/report-type', 'report-of-a-td-sent-as-snp', { hcl: u32('reportType', 4) }),
  unverified('azure/report-type', 'report-of-snp-sent-as-a-td', { ...tdx, hcl: u32('reportType', 2) }),
  unverified('azure/runtime-size', 'runtime-data-version-2', { hcl: u32('dataVersion', 2) }),
  unverified('azure/runtime-size', 'runtime-data-empty', { hcl: u32('variableDataSize', 0) }),
  unverified('azure/runtime-size', 'runtime-data-beyond-the-end', { hcl: u32('variableDataSize', 1365) }),
  unverified('azure/runtime-size', 'sizes-that-differ', { hcl: u32('dataSize', 1000) }),
  unverified('azure/runtime-size', 'report-size-that-differs', { hcl: u32('reportSize', 2600) }),
  unverified('azure/hash-type', 'hash-type-4', { hcl: u32('reportDataHashType', 4) }),
  unverified('azure/padding', 'byte-behind-the-runtime-data', { hcl: flip(2599) }),
  unverified('azure/padding', 'byte-behind-the-td-report', { ...tdx, hcl: flip(32 + 1024) }),
  unverified('snp/signature', 'hardware-report-changed', { hcl: flip(32 + snpField.measurement[0]) }),
  unverified('dcap/signature', 'quote-of-the-td-signed-by-another-key', {
    ...tdx,
    tdx: { quoteSigner: dcapKeys.other },
  }),
  unverified('snp/unknown-root', 'root-that-nobody-named', {}, { unknownRoot: true }),
  unverified('azure/vmpl', 'report-of-the-guest-itself', { snp: { report: { vmpl: 2 } } }),
  unverified('azure/td-report', 'td-report-of-another-image', { ...tdx, tdReport: flip(528) }),
  unverified('azure/td-report', 'td-report-with-other-report-data', { ...tdx, tdReport: flip(128) }),
  unverified('azure/td-report', 'td-report-of-another-type', { ...tdx, tdReport: flip(0) }),
  unverified('azure/td-report', 'td-report-of-another-service-td', {
    ...tdx,
    tdx: { version: 5, body: 'tdx-1.5' },
    tdReport: flip(912),
  }),
  unverified('azure/runtime-binding', 'runtime-data-changed', { hcl: flip(runtimeDataAt + 300) }),
  unverified('azure/runtime-binding', 'report-data-goes-on', { reportData: flip(63) }),
  unverified('azure/runtime-binding', 'report-data-goes-on-behind-sha384', { hash: 2, reportData: flip(48) }),
  unverified('azure/runtime-binding', 'hash-type-that-is-not-the-hash', { hcl: u32('reportDataHashType', 2) }),
]

const runtimes: readonly AzureCase[] = [
  unverified('azure/runtime-data', 'runtime-data-with-a-member-twice', {
    runtimeText: (text) => text.replace('"tpm-enabled":true', '"tpm-enabled":false,"tpm-enabled":true'),
  }),
  unverified('azure/runtime-data', 'keys-twice', { runtimeText: (text) => text.replace('{', '{"keys":[],') }),
  unverified('azure/runtime-data', 'runtime-data-go-on', { runtimeText: (text) => `${text}{}` }),
  unverified('azure/runtime-data', 'secure-boot-unsaid', { runtime: vm('secure-boot', undefined) }),
  unverified('azure/runtime-data', 'secure-boot-in-words', { runtime: vm('secure-boot', 'true') }),
  unverified('azure/runtime-data', 'user-data-of-63-bytes', {
    runtime: (value) => void (value['user-data'] = '00'.repeat(63)),
  }),
  unverified('azure/attestation-key', 'two-attestation-keys', keys(own, jwkOf(azureKeys.other, 'HCLAkPub', 'sign'))),
  unverified('azure/attestation-key', 'no-attestation-key', keys(jwkOf(azureKeys.ak, 'HCLTransferKey', 'encrypt'))),
  unverified('azure/attestation-key', 'attestation-key-that-encrypts', {
    runtime: ak({ key_ops: ['sign', 'encrypt'] }),
  }),
  unverified('azure/attestation-key', 'attestation-key-with-exponent-3', { runtime: ak({ e: 'Aw' }) }),
  unverified('azure/attestation-key', 'attestation-key-on-a-curve', { runtime: ak({ kty: 'EC' }) }),
  unverified('azure/attestation-key', 'attestation-key-of-1024-bits', {
    runtime: ak({ n: (own.n as string).slice(0, 172) }),
  }),
  unverified('azure/attestation-key', 'attestation-key-of-2047-bits', {
    runtime: ak({ n: `A${(own.n as string).slice(1)}` }),
  }),
  unverified('azure/attestation-key', 'attestation-key-with-a-member-more', { runtime: ak({ alg: 'RS1' }) }),
]

const quotes: readonly AzureCase[] = [
  unverified('azure/quote-form', 'signed-by-the-key-but-not-made-by-a-tpm', { quote: flipped(0) }),
  unverified('azure/quote-form', 'certification-of-a-key', { quote: spliced(at.type, 2, '8017') }),
  unverified('azure/quote-form', 'quote-with-a-trailing-byte', { quote: (quote) => concat(quote, new Uint8Array(1)) }),
  unverified('azure/quote-form', 'quote-cut-off', { quote: (quote) => quote.subarray(0, -1) }),
  unverified('azure/quote-form', 'name-of-67-bytes', { quote: spliced(at.nameSize, 2, '0043') }),
  unverified('azure/quote-form', 'extra-data-of-67-bytes', { extraData: new Uint8Array(67) }),
  unverified('azure/quote-form', 'safe-that-is-neither-yes-nor-no', { quote: spliced(at.safe, 1, '02') }),
  unverified('azure/quote-form', 'selection-of-4-bytes', { quote: spliced(at.selectSize, 4, '04ffffff00') }),
  unverified('azure/quote-form', 'no-pcr-quoted', { selected: [] }),
  unverified('azure/quote-form', 'pcr-digest-of-31-bytes', { quote: spliced(at.digestSize, 3, '001f') }),
  unverified('azure/pcr-bank', 'quote-of-the-sha1-bank', { quote: spliced(at.bank, 2, '0004') }),
  unverified('azure/pcr-bank', 'quote-of-two-banks', { quote: spliced(at.count, 4, '00000002000403ffffff') }),
  unverified('azure/quote-signature', 'quote-by-another-key', { signer: azureKeys.other }),
  unverified('azure/quote-signature', 'signature-changed', { signature: flip(255) }),
  unverified('azure/pcr-selection', 'value-of-a-quoted-pcr-missing', { pcrs: (values) => void delete values['7'] }),
  unverified('azure/pcr-selection', 'value-of-a-pcr-that-is-not-quoted', {
    selected: [4, 7],
    pcrs: (values) => void (values['8'] = values['7']!),
  }),
  unverified('azure/pcr-digest', 'value-of-a-pcr-changed', {
    pcrs: (values) => void (values['7'] = toBase64(new Uint8Array(32))),
  }),
  unverified('azure/pcr-digest', 'values-of-two-pcrs-swapped', {
    pcrs: (values) => {
      const [four, seven] = [values['4']!, values['7']!]
      Object.assign(values, { '4': seven, '7': four })
    },
  }),
]

const challenges: readonly AzureCase[] = [
  refused('report-data', 'extra-data-of-another-challenge', { extraData: new Uint8Array(32) }),
  refused('report-data', 'extra-data-cut', { extraData: azureReportData.subarray(0, 31) }),
  refused('report-data', 'extra-data-empty', { extraData: new Uint8Array(0) }),
  refused('report-data', 'report-data-itself-as-extra-data', { extraData: azureReportData }),
  refused('report-data', 'nonce-cut', { extraData: new Uint8Array(31).fill(9) }, { nonce: new Uint8Array(32).fill(9) }),
  refused('report-data', 'nonce-padded', { extraData: new Uint8Array(33) }, { nonce: new Uint8Array(32) }),
  refused('report-data', 'challenge-in-user-data-only', {
    extraData: new Uint8Array(0),
    runtime: (value) => void (value['user-data'] = toHex(azureReportData).toUpperCase()),
  }),
]

const judged: readonly AzureCase[] = [
  refused('reference-values', 'no-reference-values', {}, { values: null }),
  refused('platform', 'simulated-for-a-production-tenant', {}, { tenantClass: 'production' }),
  refused('debug', 'debug-guest', { snp: { report: { policy: defaultPolicy | (1n << 19n) } } }),
  refused('debug', 'debug-td', { ...tdx, tdx: { report: (body) => body.set([1], tdxField.tdAttributes[0]) } }),
  refused('measurement', 'another-paravisor', { snp: { report: { measurement: new Uint8Array(48).fill(1) } } }),
  refused('measurement', 'another-paravisor-of-a-td', { ...tdx, tdx: { report: (body) => body.fill(1, 136, 184) } }),
  refused('tcb-status', 'td-out-of-date', {
    ...tdx,
    tdx: { tcbInfo: (info) => void (info.tcbLevels = [level(5, 'OutOfDate')]) },
  }),
  refused('tpm-enabled', 'tpm-that-is-not-enabled', { runtime: vm('tpm-enabled', false) }),
  refused('secure-boot', 'secure-boot-off', { runtime: vm('secure-boot', false) }),
  refused('console', 'console-on', { runtime: vm('console-enabled', true) }),
  refused('console', 'console-unsaid', { runtime: vm('console-enabled', undefined) }),
  refused('vm-id', 'vm-not-listed', {}, { values: { vmIds: ['00000000-0000-4000-8000-000000000002'] } }),
  refused(
    'vm-id',
    'vm-without-an-id',
    { runtime: vm('vmUniqueId', undefined) },
    {
      values: { vmIds: ['00000000-0000-4000-8000-000000000001'] },
    },
  ),
  refused('pcr-7', 'pcr-that-is-not-quoted', { selected: [4] }),
  ...Array.from({ length: 16 }, (_, index) =>
    refused(
      `pcr-${index}`,
      `pcr-${index}-not-listed`,
      {},
      { values: { pcrs: { [String(index)]: ['ff'.repeat(32)] } } },
    ),
  ),
]

/** The case with the hardware of the other kind beneath: what a vTPM says is judged by one code, and shown of each. */
const onTd = (one: AzureCase): AzureCase => ({ ...one, name: `td-${one.name}`, broken: { ...one.broken, ...tdx } })
const ofVtpm = [
  'root-that-nobody-named',
  'report-data-goes-on',
  'runtime-data-with-a-member-twice',
  'no-attestation-key',
  'quote-by-another-key',
  'value-of-a-pcr-changed',
  'extra-data-of-another-challenge',
  'extra-data-cut',
  'no-reference-values',
  'simulated-for-a-production-tenant',
  'tpm-that-is-not-enabled',
  'secure-boot-off',
  'console-on',
  'vm-not-listed',
]
const vtpmOfTds = [...reports, ...runtimes, ...quotes, ...challenges, ...judged]
  .filter(({ name }) => ofVtpm.includes(name) || /^pcr-\d+-not-listed$/.test(name))
  .map((one) => onTd(one.code === 'snp/unknown-root' ? { ...one, code: 'dcap/unknown-root' } : one))

/** Of each refusal of the hardware alone the first case, with a vTPM above it. The challenge is the vTPM's. */
function firstOfEach<C extends SnpCase | DcapCase>(cases: readonly C[]): readonly C[] {
  const own = ['report-data', 'platform', 'reference-values', 'vmpl', 'event-log-form', 'event-log-replay']
  const refusals = cases.filter(({ code, crypto }) => crypto === 'pass' && code !== null && !own.includes(code))
  return refusals.filter(({ code }, i) => refusals.findIndex((one) => one.code === code) === i)
}
const named = <C extends { readonly name: string }>(cases: readonly C[], ...names: readonly string[]): readonly C[] =>
  names.map((name) => cases.find((one) => one.name === name)!)
const overSnp = (one: SnpCase): AzureCase => ({
  name: `snp-${one.name}`,
  code: one.code,
  crypto: one.crypto,
  broken: { snp: one.broken },
  hardware: one.values ?? {},
})
const overTdx = (one: DcapCase): AzureCase => ({
  name: `tdx-${one.name}`,
  code: one.code,
  crypto: one.crypto,
  broken: { ...tdx, tdx: one.broken },
  hardware: one.values ?? {},
})
const hardware: readonly AzureCase[] = [
  ...firstOfEach(snpCases).map(overSnp),
  { ...refused('vmpl', 'snp-vmpl-not-accepted', {}), hardware: { vmpls: [1] } },
  ...named(
    snpCases,
    'version-6',
    'leaf-expired',
    'crl-stale',
    'intermediate-revoked',
    'cpuid-of-another-product',
    'tcb-newer-than-certificate',
    'other-chip',
    'certificate-with-a-length-of-more-bytes',
    'certificate-without-a-length',
  ).map(overSnp),
  ...firstOfEach(tdxCases).map(overTdx),
  ...named(
    tdxCases,
    'pck-certificate-expired',
    'pck-certificate-revoked',
    'tcb-info-stale',
    'tcb-info-with-a-member-twice',
    'tcb-info-of-another-family',
    'module-of-another-signer',
    'qe-report-signed-by-another-key',
    'qe-report-names-another-key',
    'qe-of-another-signer',
    'byte-inside-signature-data',
    'pck-certificate-with-a-length-of-more-bytes',
    'pck-certificate-without-a-length',
  ).map(overTdx),
]

export const azureCases: readonly AzureCase[] = [
  ...good,
  ...reports,
  ...runtimes,
  ...quotes,
  ...challenges,
  ...judged,
  ...vtpmOfTds,
  ...hardware,
]
