import type { SnpClaims } from '#attest/snp/claims.js'
import type { Json } from '#core/encoding/json.js'

/**
 * Claims under the names that deployed policies read as `input.snp`, beside `init_data` and `report_data`.
 *
 * source  confidential-containers/trustee, attestation-service, "SNP" claims of the default CPU policy
 */
export function deployedClaims(claims: SnpClaims): Json {
  const { policy, platformInfo, tcb } = claims
  return {
    init_data: claims.hostData,
    report_data: claims.reportData,
    snp: {
      measurement: claims.measurement,
      chip_id: claims.chipId ?? '',
      policy_abi_major: policy.abiMajor,
      policy_abi_minor: policy.abiMinor,
      policy_smt_allowed: policy.smtAllowed,
      policy_migrate_ma: policy.migrationAgentAllowed,
      policy_debug_allowed: claims.debug,
      policy_single_socket: policy.singleSocket,
      platform_smt_enabled: platformInfo.smtEnabled,
      platform_tsme_enabled: platformInfo.tsmeEnabled,
      reported_tcb_bootloader: tcb.reported.bootLoader,
      reported_tcb_tee: tcb.reported.tee,
      reported_tcb_snp: tcb.reported.snp,
      reported_tcb_microcode: tcb.reported.microcode,
    },
  }
}
