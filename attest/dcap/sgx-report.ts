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
  return new Fields(bytes)
}

/** Views are made when asked for: of the quoting enclave's report few fields are. */
class Fields implements SgxReport {
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  #of(name: SgxField): Uint8Array {
    const [from, size] = sgxField[name]
    return this.#bytes.subarray(from, from + size)
  }

  #u16(name: SgxField): number {
    const [from] = sgxField[name]
    return this.#bytes[from]! | (this.#bytes[from + 1]! << 8)
  }

  get flags() {
    const { buffer, byteOffset } = this.#bytes
    return new DataView(buffer, byteOffset + sgxField.attributes[0], 8).getBigUint64(0, true)
  }
  get cpuSvn() {
    return this.#of('cpuSvn')
  }
  get miscSelect() {
    return this.#of('miscSelect')
  }
  get isvExtProdId() {
    return this.#of('isvExtProdId')
  }
  get attributes() {
    return this.#of('attributes')
  }
  get mrEnclave() {
    return this.#of('mrEnclave')
  }
  get mrSigner() {
    return this.#of('mrSigner')
  }
  get configId() {
    return this.#of('configId')
  }
  get isvProdId() {
    return this.#u16('isvProdId')
  }
  get isvSvn() {
    return this.#u16('isvSvn')
  }
  get configSvn() {
    return this.#u16('configSvn')
  }
  get isvFamilyId() {
    return this.#of('isvFamilyId')
  }
  get reportData() {
    return this.#of('reportData')
  }
}
