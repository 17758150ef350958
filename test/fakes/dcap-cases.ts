import { sgxField } from '#attest/dcap/layout.js'
import { replay } from '#attest/tdx/event-log.js'
import { ccel, field, runtimeEvent } from '#attest/tdx/layout.js'
import { runtimeDigest } from '#attest/tdx/runtime-log.js'
import { concat, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { formatTime } from '#core/time.js'
import type { SgxReferenceValues, TdxReferenceValues } from '#core/wire/reference-values.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { type DcapBreakage, dcapKeys, dcapRootDigest, dcapSerials, isvLevel, level, pckExtension } from './dcap.js'
import { withLongLength, withoutLength } from './non-der.js'
import { testTime } from './platform.js'

/** One minted case: a good machine with one thing done differently, and what must come of it; see SnpCase. */
export interface DcapCase {
  readonly name: string
  readonly code: string | null
  readonly crypto: 'pass' | 'fail'
  readonly broken: DcapBreakage
  readonly values?: Partial<TdxReferenceValues> | Partial<SgxReferenceValues> | null
  readonly reportData?: Uint8Array
  readonly tenantClass?: 'production'
  readonly unknownRoot?: true
  readonly floorAt?: number
  readonly floors?: readonly CollateralFloor[]
}

const passes = (name: string, broken: DcapBreakage, values: DcapCase['values'] = {}): DcapCase => ({
  name,
  code: null,
  crypto: 'pass',
  broken,
  values,
})
const unverified = (code: string, name: string, broken: DcapBreakage): DcapCase => ({
  name,
  code,
  crypto: 'fail',
  broken,
})
const refused = (
  code: string,
  name: string,
  broken: DcapBreakage,
  more: Pick<DcapCase, 'values' | 'reportData' | 'tenantClass'> = {},
): DcapCase => ({ name, code, crypto: 'pass', broken, ...more })

const set =
  (at: number, ...bytes: readonly number[]) =>
  (target: Uint8Array) =>
    target.set(bytes, at)
const svns = (...bytes: readonly number[]) => set(field.teeTcbSvn[0], ...bytes)
const both =
  (...changes: readonly ((body: Uint8Array) => void)[]) =>
  (body: Uint8Array) => {
    for (const change of changes) change(body)
  }
/** A byte more of signature data, whose size at `at` counts it. */
const longer = (at: number) => (quote: Uint8Array) => {
  const more = concat(quote, new Uint8Array(1))
  new DataView(more.buffer).setUint32(at, more.length - at - 4, true)
  return more
}
const nested = (from: string, to: string) => (text: string) => {
  const out = text.replace(from, to)
  if (out === text) throw new Error(`nothing to replace: ${from}`)
  return out
}
/** What is the same of a TD and of an enclave: certificates and lists by BER, members twice. */
const spellings: readonly DcapCase[] = [
  unverified('x509/form', 'pck-certificate-with-a-length-of-more-bytes', { pckBytes: withLongLength }),
  unverified('x509/form', 'pck-certificate-without-a-length', { pckBytes: withoutLength }),
  unverified('x509/form', 'tcb-signing-certificate-with-a-length-of-more-bytes', { signerBytes: withLongLength }),
  unverified('x509/form', 'tcb-signing-certificate-without-a-length', { signerBytes: withoutLength }),
  unverified('crl/form', 'pck-crl-with-a-length-of-more-bytes', { pckCrlBytes: withLongLength }),
  unverified('crl/form', 'root-crl-without-a-length', { rootCrlBytes: withoutLength }),
  unverified('dcap/collateral-form', 'tcb-info-with-a-member-twice', {
    tcbInfoText: nested('"tcbEvaluationDataNumber":18', '"tcbEvaluationDataNumber":18,"tcbEvaluationDataNumber":19'),
  }),
  unverified('dcap/collateral-form', 'level-with-a-member-twice', {
    tcbInfoText: nested('"tcbStatus":"UpToDate"', '"tcbStatus":"OutOfDate","tcbStatus":"UpToDate"'),
  }),
  unverified('dcap/collateral-signature', 'tcb-info-twice', {
    tcbInfoBytes: (bytes) => utf8(`{"tcbInfo":{},${new TextDecoder().decode(bytes).slice(1)}`),
  }),
  unverified('dcap/collateral-form', 'identity-with-a-member-twice', {
    qeIdentityText: nested('"isvprodid":', '"isvprodid":9,"isvprodid":'),
  }),
]
const day = 86_400
const floorOf = { root: dcapRootDigest, tee: 'tdx' } as const
const tcbFloor = (editionMin: number, issuedAtMin = testTime - day) =>
  ({ kind: 'tcb-info', fmspc: '90c06f000000', ...floorOf, editionMin, issuedAtMin }) as const
const identityFloor = (editionMin: number) =>
  ({ kind: 'qe-identity', ...floorOf, editionMin, issuedAtMin: testTime - day }) as const
const levels =
  (...list: readonly unknown[]) =>
  (info: Record<string, unknown>) => {
    info.tcbLevels = list
  }
const member = (name: string, value: unknown) => (document: Record<string, unknown>) => {
  document[name] = value
}
const modules =
  (...tcbLevels: readonly unknown[]) =>
  (info: Record<string, unknown>) => {
    const [first] = info.tdxModuleIdentities as readonly Record<string, unknown>[]
    info.tdxModuleIdentities = [{ ...first, tcbLevels }]
  }

/** A CCEL with one event for each of registers 1 and 2 (RTMR0, RTMR1), with its filler. */
function ccelLog(filler: Uint8Array): { log: Uint8Array; registers: readonly Uint8Array[] } {
  const id = utf8(`${ccel.specId}\0`)
  const spec = new Writer().bytes(id).bytes(new Uint8Array(8)).u32le(1).u16le(ccel.sha384).u16le(48).u8(0).done()
  const writer = new Writer().u32le(1).u32le(ccel.noAction).bytes(new Uint8Array(20)).u32le(spec.length).bytes(spec)
  const events = [
    { register: 0, digest: new Uint8Array(48).fill(0x11) },
    { register: 1, digest: new Uint8Array(48).fill(0x22) },
  ]
  for (const { register, digest } of events)
    writer
      .u32le(register + 1)
      .u32le(1)
      .u32le(1)
      .u16le(ccel.sha384)
      .bytes(digest)
      .u32le(3)
      .bytes(utf8('abc'))
  return { log: concat(writer.done(), filler), registers: replay(events) }
}

const payload = 'ab'.repeat(32)
const runtimeLog = [
  { imr: 0, event_type: 1, digest: '33'.repeat(48), event: '', event_payload: '' },
  { imr: 3, event_type: runtimeEvent.type, digest: '', event: 'compose-hash', event_payload: payload },
  { imr: 3, event_type: runtimeEvent.type, digest: '', event: 'system-ready', event_payload: '' },
]
const runtimeRegisters = replay([
  { register: 0, digest: new Uint8Array(48).fill(0x33) },
  { register: 3, digest: runtimeDigest('compose-hash', new Uint8Array(32).fill(0xab)) },
  { register: 3, digest: runtimeDigest('system-ready', new Uint8Array(0)) },
])
const json = (value: unknown) => utf8(JSON.stringify(value))
const registers = (values: readonly Uint8Array[]) => (body: Uint8Array) => {
  for (const [i, value] of values.entries()) body.set(value, field.rtmr0[0] + i * 48)
}
const firmware = ccelLog(new Uint8Array(64).fill(0xff))

const tdxGood: readonly DcapCase[] = [
  passes('tdx-good', {}),
  passes('version-5-report-1.0', { version: 5 }),
  passes('version-5-report-1.5', { version: 5, body: 'tdx-1.5' }),
  passes('processor-ca', {
    ca: { subject: 'Intel SGX PCK Processor CA' },
    pck: { issuer: 'Intel SGX PCK Processor CA' },
    pckCrl: { issuer: 'Intel SGX PCK Processor CA' },
  }),
  passes('auth-of-5-bytes', { auth: new Uint8Array(5) }),
  passes('levels-out-of-order', { tcbInfo: levels(level(3, 'OutOfDate'), level(5, 'UpToDate')) }),
  passes('out-of-date-accepted', { tcbInfo: levels(level(5, 'OutOfDate')) }, { tcbStatuses: ['OutOfDate'] }),
  passes('module-components-left-to-its-identity', { report: svns(4, 1), tcbInfo: modules(isvLevel(4, 'UpToDate')) }),
  passes('firmware-log', { report: registers(firmware.registers), eventLog: firmware.log }, { eventLog: 'required' }),
  passes(
    'runtime-log',
    { report: registers(runtimeRegisters), eventLog: json(runtimeLog) },
    { eventLog: 'required', composeHashes: [payload] },
  ),
  passes(
    'service-td-accepted',
    { version: 5, body: 'tdx-1.5', report: (body) => void body.fill(9, field.mrServiceTd[0], 648) },
    { mrServiceTds: ['09'.repeat(48)] },
  ),
]

const quotes: readonly DcapCase[] = [
  unverified('dcap/size', 'quote-without-signature', { quoteBytes: (quote) => quote.subarray(0, 440) }),
  unverified('dcap/version', 'version-6', { beforeSigning: set(0, 6) }),
  unverified('dcap/key-type', 'attestation-key-type-3', { beforeSigning: set(2, 3) }),
  unverified('dcap/tee-type', 'tee-type-1', { beforeSigning: set(4, 1) }),
  unverified('dcap/tee-type', 'version-3-of-a-td', { beforeSigning: set(0, 3) }),
  unverified('dcap/qe-vendor', 'another-vendor', { beforeSigning: set(12, 0) }),
  unverified('dcap/body', 'body-type-4', { version: 5, beforeSigning: set(48, 4) }),
  unverified('dcap/body', 'body-of-another-size', { version: 5, beforeSigning: set(50, 0x49) }),
  unverified('dcap/body', 'enclave-body-in-a-quote-of-a-td', { version: 5, body: 'sgx' }),
  unverified('dcap/length', 'length-beyond-the-end', { quoteBytes: (quote) => quote.subarray(0, -1) }),
  unverified('dcap/length', 'byte-inside-signature-data', { quoteBytes: longer(632) }),
  unverified('dcap/certification-data', 'chain-elsewhere', { chainType: 3 }),
  unverified('dcap/certification-data', 'no-wrapper', { wrapperType: 5 }),
  unverified('dcap/certificates', 'chain-is-no-pem', { chainBytes: () => utf8('PCK') }),
  unverified('dcap/certificates', 'chain-of-one', {
    chainBytes: (pem) => pem.subarray(0, new TextDecoder().decode(pem).indexOf('-----BEGIN', 10)),
  }),
  { ...unverified('dcap/unknown-root', 'root-that-nobody-named', {}), unknownRoot: true },
  unverified('dcap/certificate-name', 'authority-with-another-name', {
    ca: { subject: 'Intel SGX PCK Other CA' },
    pck: { issuer: 'Intel SGX PCK Other CA' },
  }),
  unverified('dcap/certificate-name', 'signer-with-another-name', { signer: { subject: 'Intel SGX Other' } }),
  unverified('dcap/pck-certificate', 'no-sgx-extension', { pck: { extensions: [] } }),
  unverified('dcap/pck-certificate', 'short-fmspc', { pckExtension: pckExtension({ fmspc: new Uint8Array(5) }) }),
  unverified('chain/expired', 'pck-certificate-expired', { pck: { notAfter: testTime - 1 } }),
  unverified('crl/revoked', 'pck-certificate-revoked', { pckCrl: { revoked: [dcapSerials.pck] } }),
  unverified('crl/revoked', 'authority-revoked', { rootCrl: { revoked: [dcapSerials.ca] } }),
  unverified('crl/revoked', 'tcb-signing-certificate-revoked', { rootCrl: { revoked: [dcapSerials.signer] } }),
  unverified('crl/expired', 'pck-crl-stale', { pckCrl: { nextUpdate: testTime - 1 } }),
  unverified('crl/expired', 'root-crl-stale', { rootCrl: { nextUpdate: testTime - 1 } }),
  unverified('crl/issuer-name', 'pck-crl-of-another-authority', { pckCrl: { issuer: 'Intel SGX PCK Processor CA' } }),
]

const documents: readonly DcapCase[] = [
  unverified('dcap/collateral-form', 'tcb-info-version-2', { tcbInfo: member('version', 2) }),
  unverified('dcap/collateral-form', 'identity-version-3', { qeIdentity: member('version', 3) }),
  unverified('dcap/collateral-form', 'tcb-info-without-signature', {
    tcbInfoBytes: (bytes) => bytes.subarray(0, -160),
  }),
  unverified('dcap/collateral-signature', 'tcb-info-signed-by-another-key', { documentSigner: dcapKeys.other }),
  unverified('dcap/collateral-signature', 'tcb-info-spelled-differently', {
    tcbInfoBytes: (bytes) => utf8(new TextDecoder().decode(bytes).replace('"version":3', '"version": 3')),
  }),
  unverified('dcap/collateral-not-yet-valid', 'tcb-info-of-tomorrow', {
    tcbInfo: member('issueDate', formatTime(testTime + day)),
  }),
  unverified('dcap/collateral-expired', 'tcb-info-stale', { tcbInfo: member('nextUpdate', formatTime(testTime - 1)) }),
  unverified('dcap/collateral-expired', 'identity-stale', {
    qeIdentity: member('nextUpdate', formatTime(testTime - 1)),
  }),
  unverified('dcap/collateral-kind', 'tcb-info-of-sgx', { tcbInfo: member('id', 'SGX') }),
  unverified('dcap/collateral-kind', 'identity-of-the-sgx-enclave', { qeIdentity: member('id', 'QE') }),
  { ...unverified('dcap/crl-floor', 'root-crl-older-than-the-floor', {}), floorAt: testTime },
  { ...unverified('dcap/tcb-floor', 'tcb-info-of-an-older-edition', {}), floors: [tcbFloor(19)] },
  { ...unverified('dcap/tcb-floor', 'tcb-info-older-than-one-of-its-edition', {}), floors: [tcbFloor(18, testTime)] },
  { ...unverified('dcap/tcb-floor', 'identity-of-an-older-edition', {}), floors: [identityFloor(19)] },
  { ...passes('editions-of-the-floors', {}), floors: [tcbFloor(18), identityFloor(18)] },
  { ...passes('newer-edition-than-the-floor', {}), floors: [tcbFloor(17, testTime)] },
  {
    ...passes('floors-of-others', {}),
    floors: [
      { ...tcbFloor(19), fmspc: '00806f050000' },
      { ...tcbFloor(19), tee: 'sgx' },
      { ...identityFloor(19), root: '00'.repeat(32) },
      { ...tcbFloor(19), issuedAtMin: testTime + 1 },
    ],
  },
  unverified('dcap/fmspc', 'tcb-info-of-another-family', { tcbInfo: member('fmspc', '00806F050000') }),
  unverified('dcap/pce-id', 'tcb-info-of-another-pce', { tcbInfo: member('pceId', '0001') }),
  unverified('tdx/module-identity', 'module-that-is-not-listed', { report: svns(5, 3) }),
  unverified('tdx/module-signer', 'module-of-another-signer', { report: set(field.mrSignerSeam[0], 1) }),
  unverified('tdx/module-attributes', 'module-with-attributes', { report: set(field.seamAttributes[0], 1) }),
  unverified('dcap/qe-signature', 'qe-report-signed-by-another-key', { qeSigner: dcapKeys.other }),
  unverified('dcap/attestation-key', 'qe-report-names-another-key', { qeReport: set(sgxField.reportData[0], 0) }),
  unverified('dcap/attestation-key', 'qe-report-data-goes-on', { qeReport: set(sgxField.reportData[0] + 63, 1) }),
  unverified('dcap/qe-identity', 'qe-of-another-signer', { qeReport: set(sgxField.mrSigner[0], 0) }),
  unverified('dcap/qe-identity', 'qe-of-another-product', { qeReport: set(sgxField.isvProdId[0], 1) }),
  unverified('dcap/qe-identity', 'qe-is-a-debug-enclave', { qeReport: set(sgxField.attributes[0], 0x17) }),
  unverified('dcap/signature', 'quote-signed-by-another-key', { quoteSigner: dcapKeys.other }),
  unverified('tdx/body', 'enclave-sent-as-a-td', { tee: 'sgx' }),
  unverified('tdx/event-log-form', 'log-goes-on-after-its-filler', {
    eventLog: ccelLog(concat(new Uint8Array(16).fill(0xff), new Uint8Array(1))).log,
  }),
  unverified('tdx/event-log-form', 'log-cut-off', { eventLog: firmware.log.subarray(0, 100) }),
  unverified('tdx/event-log-form', 'digest-of-another-payload', {
    eventLog: json([{ ...runtimeLog[1], digest: '00'.repeat(48) }]),
  }),
  unverified('tdx/event-log-replay', 'log-without-its-last-event', {
    report: registers(runtimeRegisters),
    eventLog: json(runtimeLog.slice(0, -1)),
  }),
]

const five = { version: 5, body: 'tdx-1.5' } as const
const now = (...bytes: readonly number[]) => set(field.teeTcbSvn2[0], ...bytes)
const tdxAppraisals: readonly DcapCase[] = [
  refused('platform', 'simulated-for-a-production-tenant', {}, { tenantClass: 'production' }),
  refused('report-data', 'other-report-data', {}, { reportData: new Uint8Array(64) }),
  refused('report-data', 'nonce-padded-with-zeros', { report: set(field.reportData[0] + 32, ...new Uint8Array(32)) }),
  refused('report-data', 'report-data-cut-by-a-byte', { report: set(field.reportData[0] + 63, 0) }),
  refused('debug', 'debug-td', { report: set(field.tdAttributes[0], 1) }),
  refused('td-attributes', 'profiled-td', { report: set(field.tdAttributes[0], 0x20) }),
  refused('reference-values', 'no-reference-values-for-the-kind', {}, { values: null }),
  refused('tcb-not-supported', 'machine-below-every-level', { tcbInfo: levels(level(6, 'UpToDate')) }),
  refused('tcb-not-supported', 'qe-below-every-level', { qeReport: set(sgxField.isvSvn[0], 1) }),
  refused('tcb-status', 'platform-out-of-date', { report: svns(5, 1, 3) }),
  refused(
    'tcb-status',
    'platform-revoked',
    { tcbInfo: levels(level(5, 'Revoked')) },
    { values: { tcbStatuses: ['OutOfDate'] } },
  ),
  refused('tcb-status', 'module-out-of-date', { report: svns(3, 1) }),
  refused('tcb-status', 'qe-out-of-date', { qeReport: set(sgxField.isvSvn[0], 2) }),
  refused('tcb-status', 'configuration-needed', { tcbInfo: levels(level(5, 'ConfigurationNeeded')) }),
  passes(
    'out-of-date-configuration-needed',
    { tcbInfo: levels(level(5, 'ConfigurationNeeded')), qeReport: set(sgxField.isvSvn[0], 2) },
    { tcbStatuses: ['OutOfDateConfigurationNeeded'] },
  ),
  passes(
    'relaunch-advised',
    { ...five, report: both(svns(3, 1), now(5, 1, 5)) },
    { tcbStatuses: ['TDRelaunchAdvised'] },
  ),
  passes(
    'relaunch-and-configuration-advised',
    { ...five, report: both(svns(3, 1), now(5, 1, 5)), tcbInfo: levels(level(5, 'ConfigurationNeeded')) },
    { tcbStatuses: ['TDRelaunchAdvisedConfigurationNeeded'] },
  ),
  refused(
    'tcb-status',
    'no-relaunch-while-the-host-is-old',
    { ...five, report: both(svns(3, 1), now(4, 1, 5)) },
    { values: { tcbStatuses: ['TDRelaunchAdvised'] } },
  ),
  refused(
    'advisories',
    'advisory-not-accepted',
    { report: svns(3, 1) },
    { values: { tcbStatuses: ['OutOfDate'], advisories: ['INTEL-SA-00001'] } },
  ),
  refused('tcb-evaluation-number', 'earlier-edition', {}, { values: { tcbEvaluationDataNumberMin: 19 } }),
  refused('fmspc', 'family-not-listed', {}, { values: { fmspcs: ['00'.repeat(6)] } }),
  refused('chip-id', 'machine-not-listed', {}, { values: { platformIds: ['00'.repeat(16)] } }),
  refused('measurement', 'other-measurement', {}, { values: { mrTds: ['00'.repeat(48)] } }),
  ...([0, 1, 2, 3] as const).map((i) =>
    refused(`rtmr${i}`, `other-rtmr${i}`, {}, { values: { [`rtmr${i}`]: ['11'.repeat(48)] } }),
  ),
  refused('mr-seam', 'other-module', {}, { values: { mrSeams: ['00'.repeat(48)] } }),
  refused('compose-hash', 'no-log-to-name-a-compose-hash', {}, { values: { composeHashes: [payload] } }),
  refused('event-log', 'no-event-log', {}, { values: { eventLog: 'required' } }),
  refused('sept-ve-disable', 'sept-ve-not-disabled', { report: set(field.tdAttributes[0] + 3, 0) }),
  refused('migration', 'migratable-td', { report: set(field.tdAttributes[0] + 3, 0x30) }),
  refused('perfmon', 'td-with-perfmon', { report: set(field.tdAttributes[0] + 7, 0x80) }),
  refused('service-td', 'service-td', { ...five, report: set(field.mrServiceTd[0], 1) }),
  refused('xfam', 'other-features', {}, { values: { xfams: ['00'.repeat(8)] } }),
  refused('mr-config-id', 'other-config-id', {}, { values: { mrConfigIds: ['11'.repeat(48)] } }),
  refused('mr-owner', 'other-owner', {}, { values: { mrOwners: ['11'.repeat(48)] } }),
  refused('mr-owner-config', 'other-owner-config', {}, { values: { mrOwnerConfigs: ['11'.repeat(48)] } }),
]

export const tdxCases: readonly DcapCase[] = [...tdxGood, ...spellings, ...quotes, ...documents, ...tdxAppraisals]

const sgx = (one: DcapCase): DcapCase => ({ ...one, broken: { tee: 'sgx', ...one.broken } })
export const sgxCases: readonly DcapCase[] = [
  passes('sgx-good', {}),
  passes(
    'by-signer',
    {},
    { mrEnclaves: undefined, signers: [{ mrSigner: 'cd'.repeat(32), isvProdId: 1, isvSvnMin: 5 }] },
  ),
  passes(
    'software-hardening-accepted',
    { tcbInfo: levels(level(5, 'SWHardeningNeeded', ['INTEL-SA-00615'], false)) },
    { tcbStatuses: ['SWHardeningNeeded'], advisories: ['INTEL-SA-00615'] },
  ),
  unverified('sgx/body', 'td-sent-as-an-enclave', { tee: 'tdx' }),
  unverified('sgx/quote-version', 'version-4-of-an-enclave', { version: 4 }),
  unverified('dcap/signature', 'quote-signed-by-another-key', { quoteSigner: dcapKeys.other }),
  unverified('crl/revoked', 'pck-certificate-revoked', { pckCrl: { revoked: [dcapSerials.pck] } }),
  ...spellings,
  unverified('dcap/length', 'signature-data-go-on', { quoteBytes: longer(432) }),
  unverified('chain/expired', 'pck-certificate-expired', { pck: { notAfter: testTime - 1 } }),
  unverified('dcap/fmspc', 'tcb-info-of-another-family', { tcbInfo: member('fmspc', '00806F050000') }),
  unverified('dcap/qe-signature', 'qe-report-signed-by-another-key', { qeSigner: dcapKeys.other }),
  unverified('dcap/attestation-key', 'qe-report-names-another-key', { qeReport: set(sgxField.reportData[0], 0) }),
  unverified('dcap/qe-identity', 'qe-of-another-signer', { qeReport: set(sgxField.mrSigner[0], 0) }),
  refused('reference-values', 'no-reference-values-for-the-kind', {}, { values: null }),
  refused('report-data', 'other-report-data', {}, { reportData: new Uint8Array(64) }),
  refused('report-data', 'nonce-padded-with-zeros', {
    report: set(sgxField.reportData[0] + 32, ...new Uint8Array(32)),
  }),
  refused('report-data', 'report-data-cut-by-a-byte', { report: set(sgxField.reportData[0] + 63, 0) }),
  refused(
    'advisories',
    'advisory-not-accepted',
    { tcbInfo: levels(level(5, 'OutOfDate', ['INTEL-SA-00960'], false)) },
    { values: { tcbStatuses: ['OutOfDate'], advisories: ['INTEL-SA-00001'] } },
  ),
  refused('tcb-evaluation-number', 'earlier-edition', {}, { values: { tcbEvaluationDataNumberMin: 19 } }),
  refused('fmspc', 'family-not-listed', {}, { values: { fmspcs: ['00'.repeat(6)] } }),
  refused('chip-id', 'machine-not-listed', {}, { values: { platformIds: ['00'.repeat(16)] } }),
  refused('debug', 'debug-enclave', { report: set(sgxField.attributes[0], 7) }),
  refused('enclave-attributes', 'enclave-with-provisioning-key', { report: set(sgxField.attributes[0], 0x15) }),
  refused('tcb-status', 'qe-out-of-date', { qeReport: set(sgxField.isvSvn[0], 2) }),
  refused('tcb-not-supported', 'machine-below-every-level', { tcbInfo: levels(level(6, 'UpToDate', [], false)) }),
  refused(
    'measurement',
    'older-version-of-the-signer',
    { report: set(sgxField.isvSvn[0], 4) },
    {
      values: { mrEnclaves: undefined, signers: [{ mrSigner: 'cd'.repeat(32), isvProdId: 1, isvSvnMin: 5 }] },
    },
  ),
  refused('measurement', 'neither-enclave-nor-signer-named', {}, { values: { mrEnclaves: undefined } }),
  refused('config-id', 'other-config-id', {}, { values: { configIds: ['11'.repeat(64)] } }),
  refused('platform', 'simulated-for-a-production-tenant', {}, { tenantClass: 'production' }),
].map(sgx)
