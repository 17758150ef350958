import { type SgxField, sgxField } from '#attest/dcap/layout.js'
import { assert } from '#core/assert.js'

/** An SGX report as it stands in its 384 bytes. Reserved bytes get no meaning. Byte members are views. */
export interface SgxReport {
  readonly cpuSvn: Uint8Array
  readonly miscSelect: Uint8Array
  readonly isvExtProdId: Uint8Array
  readonly attributes: Uint8Array
  /** the first half of the attributes, as a number */
  readonly flags: bigint
  readonly mrEnclave: Uint8Array
  readonly mrSigner: Uint8Array
  readonly configId: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly configSvn: number
  readonly isvFamilyId: Uint8Array
  readonly reportData: Uint8Array
}

/** The fields of a report: of an enclave, or of the quoting enclave. source: Intel SDM, "REPORT" */
export function readSgxReport(bytes: Uint8Array): SgxReport {
  assert(bytes.length === 384, 'an SGX report has 384 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const of = (name: SgxField) => bytes.subarray(sgxField[name][0], sgxField[name][0] + sgxField[name][1])
  const u16 = (name: SgxField) => view.getUint16(sgxField[name][0], true)
  return {
    cpuSvn: of('cpuSvn'),
    miscSelect: of('miscSelect'),
    isvExtProdId: of('isvExtProdId'),
    attributes: of('attributes'),
    flags: view.getBigUint64(sgxField.attributes[0], true),
    mrEnclave: of('mrEnclave'),
    mrSigner: of('mrSigner'),
    configId: of('configId'),
    isvProdId: u16('isvProdId'),
    isvSvn: u16('isvSvn'),
    configSvn: u16('configSvn'),
    isvFamilyId: of('isvFamilyId'),
    reportData: of('reportData'),
  }
}
