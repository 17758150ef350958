import type { AzureCode } from '#attest/azure/codes.js'
import {
  dataHeaderSize,
  dataVersion,
  type Field,
  field,
  type Hardware,
  hashTypes,
  hclReportSize,
  hclSignature,
  hclVersions,
  reportTypes,
  requestTypeAk,
  runtimeDataAt,
  tdReportSize,
} from '#attest/azure/layout.js'
import { isZero } from '#core/bytes/bytes.js'
import type { HashName } from '#core/crypto/backend.js'
import { Failure } from '#core/failure.js'

/** An HCL report as it stands in its bytes. Nothing of its header is measured: the hardware binds the runtime data alone. */
export interface HclReport {
  readonly version: number
  readonly hardware: Hardware
  /** an SNP report of 1184 bytes, or a TDREPORT of 1024 */
  readonly hardwareReport: Uint8Array
  readonly hash: HashName
  /** the bytes of the JSON as found */
  readonly runtimeData: Uint8Array
}

function refuse(code: AzureCode, message: string): Failure<AzureCode> {
  return new Failure<AzureCode>(code, message)
}

/**
 * The HCL report that 2600 bytes spell: known versions, of the kind of hardware that the envelope says, with sizes that
 * agree with each other, and zeros wherever nothing stands.
 *
 * throws  azure/size, azure/header, azure/report-type, azure/runtime-size, azure/hash-type, azure/padding
 * source  Microsoft OpenHCL, igvm_attest/get.rs, "IgvmAttestRequestHeader", "IgvmAttestRequestData"
 */
export function parseHclReport(bytes: Uint8Array, hardware: Hardware): HclReport {
  if (bytes.length !== hclReportSize)
    throw refuse('azure/size', `HCL report has ${bytes.length} bytes, expected ${hclReportSize}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bytesOf = (name: Field) => bytes.subarray(field[name][0], field[name][0] + field[name][1])
  const u32 = (name: Field) => view.getUint32(field[name][0], true)

  const version = u32('version')
  if (String.fromCharCode(...bytesOf('signature')) !== hclSignature || !hclVersions.some((known) => known === version))
    throw refuse('azure/header', `not an HCL report of version ${hclVersions.join(' or ')}`)
  if (u32('requestType') !== requestTypeAk || u32('status') !== 0 || !isZero(bytesOf('reserved')))
    throw refuse(
      'azure/header',
      `request type is ${u32('requestType')}, status ${u32('status')}, expected ${requestTypeAk}, 0 and zeros`,
    )
  if (u32('reportType') !== reportTypes[hardware])
    throw refuse('azure/report-type', `report type is ${u32('reportType')}, expected ${reportTypes[hardware]}`)
  const size = runtimeSize(u32)
  const hash = hashTypes.get(u32('reportDataHashType'))
  if (hash === undefined)
    throw refuse('azure/hash-type', `hash type is ${u32('reportDataHashType')}, expected one of 1, 2, 3`)
  const area = bytesOf('hardwareReport')
  const hardwareReport = hardware === 'snp' ? area : area.subarray(0, tdReportSize)
  if (!isZero(area.subarray(hardwareReport.length)) || !isZero(bytes.subarray(runtimeDataAt + size)))
    throw refuse('azure/padding', 'bytes behind the hardware report or the runtime data are not zero')
  const runtimeData = bytes.subarray(runtimeDataAt, runtimeDataAt + size)
  return { version, hardware, hardwareReport, hash, runtimeData }
}

/** Three fields say how long the runtime data are; they must say the same. */
function runtimeSize(u32: (name: Field) => number): number {
  const size = u32('variableDataSize')
  if (u32('dataVersion') !== dataVersion)
    throw refuse('azure/runtime-size', `version of the runtime data is ${u32('dataVersion')}, expected ${dataVersion}`)
  if (size === 0 || size > hclReportSize - runtimeDataAt)
    throw refuse(
      'azure/runtime-size',
      `runtime data have ${size} bytes, expected 1 to ${hclReportSize - runtimeDataAt}`,
    )
  if (u32('dataSize') !== size + dataHeaderSize || u32('reportSize') !== size + runtimeDataAt)
    throw refuse(
      'azure/runtime-size',
      `sizes are ${u32('dataSize')} and ${u32('reportSize')}, expected ${size + dataHeaderSize} and ${size + runtimeDataAt}`,
    )
  return size
}
