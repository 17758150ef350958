import { type DcapClaims, dcapClaims } from '#attest/dcap/claims.js'
import { sgxFlag } from '#attest/dcap/layout.js'
import type { VerifiedSgx } from '#attest/sgx/verify.js'
import { intelAdvisories, type Machine, measurementsOf, named } from '#attest/subject.js'
import { toHex } from '#core/bytes/bytes.js'

/** What a verified report of an enclave says, in neutral words. Byte strings are lowercase hex. */
export interface SgxClaims extends DcapClaims {
  readonly product: 'SGX'
  readonly reportData: string
  /** MRENCLAVE */
  readonly measurement: string
  readonly mrSigner: string
  readonly isvProdId: number
  readonly isvSvn: number
  readonly isvExtProdId: string
  readonly isvFamilyId: string
  readonly configId: string
  readonly configSvn: number
  readonly miscSelect: string
  readonly attributes: string
  readonly debug: boolean
  /** whether the enclave may derive keys that Intel keeps for its own enclaves */
  readonly provisioningKeys: boolean
  readonly initialised: boolean
}

/** The machine is named by its PPID. */
export function sgxMachine({ measurement, chipId, debug, product, tcbStatus, advisories }: SgxClaims): Machine {
  return {
    ...measurementsOf(measurement),
    platformId: named(chipId),
    debug,
    product,
    tcbStatus,
    ...intelAdvisories(advisories),
    svns: {},
  }
}

/** The claims of a verified quote of an enclave. */
export function sgxClaims({ quote, report, machine, collateral, tcb }: VerifiedSgx): SgxClaims {
  const bit = (at: number) => ((report.flags >> BigInt(at)) & 1n) === 1n
  return {
    product: 'SGX',
    ...dcapClaims(quote, machine, collateral, tcb),
    reportData: toHex(report.reportData),
    measurement: toHex(report.mrEnclave),
    mrSigner: toHex(report.mrSigner),
    isvProdId: report.isvProdId,
    isvSvn: report.isvSvn,
    isvExtProdId: toHex(report.isvExtProdId),
    isvFamilyId: toHex(report.isvFamilyId),
    configId: toHex(report.configId),
    configSvn: report.configSvn,
    miscSelect: toHex(report.miscSelect),
    attributes: toHex(report.attributes),
    debug: bit(sgxFlag.debug),
    provisioningKeys: bit(sgxFlag.provisionKey) || bit(sgxFlag.einitTokenKey),
    initialised: bit(sgxFlag.init),
  }
}
