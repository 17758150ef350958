import { field as hclField, reportTypes, runtimeDataAt, tdReportField, tdReportType } from '#attest/azure/layout.js'
import { explainJson } from '#attest/explain/json.js'
import { type ExplainedField, type ExplainedPart, field, fieldsOf, number, type Row } from '#attest/explain/part.js'
import { explainSnp } from '#attest/explain/snp.js'
import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { isFailure } from '#core/failure.js'

const openHcl = 'Microsoft OpenHCL, openhcl_attestation_protocol, igvm_attest/get.rs'
const tpm = 'TCG TPM 2.0 Library Part 2, revision 1.59'

const text = (bytes: Uint8Array) => JSON.stringify(String.fromCharCode(...bytes))
const reportType = (bytes: Uint8Array) => {
  const value = Number(number(bytes))
  return `${value} (${Object.entries(reportTypes).find(([, one]) => one === value)?.[0] ?? 'unknown'})`
}

const hclRows: readonly Row[] = [
  ['Signature', ...hclField.signature, text],
  ['Version', ...hclField.version, number],
  ['ReportSize', ...hclField.reportSize, number],
  ['RequestType', ...hclField.requestType, number],
  ['Status', ...hclField.status, number],
  ['Reserved', ...hclField.reserved],
  ['HwReport', ...hclField.hardwareReport, () => 'in a part of its own, below'],
  ['DataSize', ...hclField.dataSize, number],
  ['DataVersion', ...hclField.dataVersion, number],
  ['ReportType', ...hclField.reportType, reportType],
  ['ReportDataHashType', ...hclField.reportDataHashType, number],
  ['VariableDataSize', ...hclField.variableDataSize, number],
]

const tdNames = {
  reportData: ['REPORTDATA', 64],
  teeTcbSvn: ['TEE_TCB_SVN', 16],
  mrSeam: ['MRSEAM', 48],
  mrSignerSeam: ['MRSIGNERSEAM', 48],
  seamAttributes: ['ATTRIBUTES of the module', 8],
  tdAttributes: ['ATTRIBUTES', 8],
  xfam: ['XFAM', 8],
  mrTd: ['MRTD', 48],
  mrConfigId: ['MRCONFIGID', 48],
  mrOwner: ['MROWNER', 48],
  mrOwnerConfig: ['MROWNERCONFIG', 48],
  rtmr0: ['RTMR0', 48],
  rtmr1: ['RTMR1', 48],
  rtmr2: ['RTMR2', 48],
  rtmr3: ['RTMR3', 48],
} as const satisfies Readonly<Record<keyof typeof tdReportField, readonly [string, number]>>
const tdRows: readonly Row[] = Object.entries(tdNames).map(([key, [name, size]]) => [
  name,
  tdReportField[key as keyof typeof tdReportField],
  size,
])

/** Whether bytes are as long as a TDREPORT_STRUCT and begin with its type. */
export const isTdReport = (bytes: Uint8Array): boolean => bytes.length === 1024 && bytes[0] === tdReportType

export function explainTdReport(bytes: Uint8Array): ExplainedPart {
  const document = 'Intel TDX Module ABI Specification, revision 1.5'
  return { title: 'TDREPORT_STRUCT', document, fields: fieldsOf(bytes, tdRows) }
}

/** Bytes of an HCL report: its header, the report of the hardware inside, and the runtime data that this binds. */
export function explainHcl(bytes: Uint8Array): readonly ExplainedPart[] {
  const [at, size] = hclField.hardwareReport
  const hardware = bytes.subarray(at, at + size)
  const isTdx = bytes[hclField.reportType[0]] === reportTypes.tdx
  const dataSize = Number(number(bytes.subarray(hclField.variableDataSize[0], runtimeDataAt)) || '0')
  const data = bytes.subarray(runtimeDataAt, runtimeDataAt + dataSize)
  return [
    { title: 'HCL report', document: openHcl, fields: fieldsOf(bytes, hclRows) },
    isTdx ? explainTdReport(hardware) : explainSnp(hardware),
    { title: 'Runtime data', document: openHcl, fields: explainJson(data) },
  ]
}

/** Bytes of a TPMS_ATTEST of a quote, big-endian, as far as they can be read. */
export function explainTpmQuote(bytes: Uint8Array): ExplainedPart {
  const fields: ExplainedField[] = []
  try {
    const reader = new Reader(bytes)
    const take = (name: string, size: number, show: (one: Uint8Array) => string = toHex) => {
      const offset = reader.at
      const value = reader.bytes(size)
      fields.push(field(name, show(value), offset, size))
      return value
    }
    const big = (one: Uint8Array) => number(one.toReversed())
    const sized = (name: string) => take(name, Number(big(take(`${name}.size`, 2, big))))
    take('magic', 4)
    take('type', 2)
    sized('qualifiedSigner')
    sized('extraData')
    take('clockInfo.clock', 8, big)
    take('clockInfo.resetCount', 4, big)
    take('clockInfo.restartCount', 4, big)
    take('clockInfo.safe', 1, big)
    take('firmwareVersion', 8)
    take('attested.quote.pcrSelect.count', 4, big)
    take('attested.quote.pcrSelect.hash', 2)
    const select = Number(big(take('attested.quote.pcrSelect.sizeofSelect', 1, big)))
    take('attested.quote.pcrSelect.pcrSelect', select)
    sized('attested.quote.pcrDigest')
  } catch (error) {
    if (!isFailure(error)) throw error
    fields.push(field('(cut off)', error.message))
  }
  return { title: 'TPMS_ATTEST', document: tpm, fields }
}

/** Whether bytes begin as a quote of a TPM. */
export const isTpmQuote = (bytes: Uint8Array): boolean => toHex(bytes.subarray(0, 6)) === 'ff5443478018'

/** Text of a RIM or of a log, bounded, where it is text at all. */
export function shortText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes.subarray(0, 200))
  } catch (error) {
    if (!isFailure(error)) throw error
    return toHex(bytes.subarray(0, 100))
  }
}
