import type { VtpmClaims } from '#attest/azure/claims.js'
import type { CcaClaims } from '#attest/cca/claims.js'
import type { DcapClaims } from '#attest/dcap/claims.js'
import type { GpuClaims, GpuDeviceClaims } from '#attest/gpu/claims.js'
import type { NitroClaims } from '#attest/nitro/claims.js'
import type { AnyClaims } from '#attest/result.js'
import type { SgxClaims } from '#attest/sgx/claims.js'
import type { SnpClaims } from '#attest/snp/claims.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import type { Json } from '#core/encoding/json.js'

/**
 * Claims under the names that deployed policies read as `input.snp`, `input.tdx`, `input.sgx`, `input["az-snp-vtpm"]`,
 * `input["az-tdx-vtpm"]` or `input.nvidia`, beside `init_data` and `report_data`. No deployed policy knows Nitro
 * documents: those have AWS's own names under `input.nitro`, and CCA tokens those of Arm under `input.cca`.
 *
 * source  confidential-containers/trustee, attestation-service, claims of the default CPU policy; deps/verifier,
 *         "claims" of tdx, sgx and intel_dcap
 */
export function deployedClaims(claims: AnyClaims): Json {
  if (claims.product === 'NVIDIA') return gpu(claims)
  if ('vtpm' in claims) return azure(claims.product === 'TDX' ? tdx(claims) : snp(claims), claims.vtpm)
  if (claims.product === 'TDX') return tdx(claims)
  if (claims.product === 'SGX') return sgx(claims)
  if (claims.product === 'Nitro') return nitro(claims)
  if (claims.product === 'CCA') return cca(claims)
  return snp(claims)
}

type Deployed = { readonly [name: string]: Json }

/** The hardware's names and the PCRs; what a challenge bound is the quote's, and PCR 8 is where init data are measured. */
function azure(hardware: { readonly snp: Deployed } | { readonly tdx: Deployed }, vtpm: VtpmClaims): Json {
  const tpm = Object.fromEntries(Object.entries(vtpm.pcrs).map(([i, value]) => [`pcr${i.padStart(2, '0')}`, value]))
  const common = { init_data: vtpm.pcrs['8'] ?? '', report_data: vtpm.extraData }
  return 'tdx' in hardware
    ? { ...common, 'az-tdx-vtpm': { ...hardware.tdx, tpm } }
    : { ...common, 'az-snp-vtpm': { ...hardware.snp, tpm } }
}

function snp(claims: SnpClaims): Deployed & { readonly snp: Deployed } {
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

/** What the names of TDX and SGX have in common. */
function dcap(claims: DcapClaims): { readonly [name: string]: Json } {
  return {
    tcb_status: claims.tcbStatus,
    tcb_eval_num: claims.tcbEvaluationDataNumber,
    advisory_ids: claims.advisories,
    platform_provider_id: claims.chipId,
  }
}

function tdx(claims: TdxClaims): Deployed & { readonly tdx: Deployed } {
  const { attributes, rtmrs } = claims
  return {
    init_data: claims.mrConfigId,
    report_data: claims.reportData,
    tdx: {
      ...dcap(claims),
      quote: {
        header: { version: claims.quoteVersion, tee_type: '81000000' },
        body: {
          tcb_svn: claims.teeTcbSvn,
          mr_seam: claims.mrSeam,
          mrsigner_seam: claims.mrSignerSeam,
          td_attributes: attributes.raw,
          xfam: claims.xfam,
          mr_td: claims.measurement,
          mr_config_id: claims.mrConfigId,
          mr_owner: claims.mrOwner,
          mr_owner_config: claims.mrOwnerConfig,
          rtmr_0: rtmrs[0]!,
          rtmr_1: rtmrs[1]!,
          rtmr_2: rtmrs[2]!,
          rtmr_3: rtmrs[3]!,
          report_data: claims.reportData,
        },
      },
      td_attributes: {
        debug: claims.debug,
        septve_disable: attributes.septVeDisable,
        protection_keys: attributes.protectionKeys,
        key_locker: attributes.keyLocker,
        perfmon: attributes.perfmon,
      },
    },
  }
}

function sgx(claims: SgxClaims): Json {
  return {
    init_data: claims.configId,
    report_data: claims.reportData,
    sgx: {
      ...dcap(claims),
      header: { version: claims.quoteVersion },
      body: {
        cpu_svn: claims.cpuSvn,
        misc_select: claims.miscSelect,
        mr_enclave: claims.measurement,
        mr_signer: claims.mrSigner,
        isv_prod_id: claims.isvProdId,
        isv_svn: claims.isvSvn,
        isv_ext_prod_id: claims.isvExtProdId,
        isv_family_id: claims.isvFamilyId,
        config_id: claims.configId,
        config_svn: claims.configSvn,
        report_data: claims.reportData,
      },
    },
  }
}

/** source: NVIDIA nvtrust, local_gpu_verifier, "get_current_gpu_claims"; attestation_sdk, nv_switch_verifier, the same */
function gpu(claims: GpuClaims): Json {
  const one = (device: GpuDeviceClaims): Json => ({
    hwmodel: device.chip,
    ueid: device.deviceId,
    ...(device.kind === 'switch'
      ? { 'x-nvidia-switch-bios-version': device.vbiosVersion }
      : {
          'x-nvidia-gpu-driver-version': device.driverVersion,
          'x-nvidia-gpu-vbios-version': device.vbiosVersion,
        }),
  })
  const named = claims.devices.map((device, i) => [`${device.kind === 'gpu' ? 'GPU' : 'SWITCH'}-${i}`, one(device)])
  return { nvidia: { eat_nonce: claims.nonce, ...Object.fromEntries(named) } }
}

/** A document has no place for data of the host: `init_data` is empty. */
function nitro(claims: NitroClaims): Json {
  return {
    init_data: '',
    report_data: claims.reportData,
    nitro: {
      module_id: claims.moduleId,
      timestamp: claims.timestampMs,
      pcrs: claims.pcrs,
      public_key: claims.publicKey ?? '',
      nonce: claims.nonce ?? '',
    },
  }
}

/** What whoever started the realm bound in is its personalization value. */
function cca(claims: CcaClaims): Json {
  return {
    init_data: claims.personalizationValue,
    report_data: claims.reportData,
    cca: {
      realm: {
        challenge: claims.reportData,
        personalization_value: claims.personalizationValue,
        initial_measurement: claims.measurement,
        extensible_measurements: claims.extensibleMeasurements,
        hash_algo_id: claims.realmHashAlgorithm,
      },
      platform: {
        profile: claims.platformProfile,
        implementation_id: claims.implementationId,
        instance_id: claims.chipId,
        config: claims.platformConfig,
        lifecycle: claims.lifecycle,
        hash_algo_id: claims.platformHashAlgorithm,
        sw_components: claims.components.map((one) => ({
          component_type: one.type ?? '',
          measurement_value: one.measurement,
          version: one.version ?? '',
          signer_id: one.signerId,
          hash_algo_id: one.hashAlgorithm ?? '',
        })),
      },
    },
  }
}
