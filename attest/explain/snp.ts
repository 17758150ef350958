import { bits, type ExplainedPart, fieldsOf, number, type Row } from '#attest/explain/part.js'
import { type Field, field, keyInfo, platformBit, policyBit, signingKeys } from '#attest/snp/layout.js'
import { toHex } from '#core/bytes/bytes.js'

const policyBits = {
  SMT: policyBit.smtAllowed,
  RESERVED_ONE: policyBit.reservedOne,
  MIGRATE_MA: policyBit.migrationAgentAllowed,
  DEBUG: policyBit.debugAllowed,
  SINGLE_SOCKET: policyBit.singleSocket,
  CXL_ALLOW: policyBit.cxlAllowed,
  MEM_AES_256_XTS: policyBit.aes256XtsRequired,
  RAPL_DIS: policyBit.raplDisabledRequired,
  CIPHERTEXT_HIDING_DRAM: policyBit.ciphertextHidingRequired,
  PAGE_SWAP_DISABLE: policyBit.pageSwapDisabled,
}
const platformBits = {
  SMT_EN: platformBit.smtEnabled,
  TSME_EN: platformBit.tsmeEnabled,
  ECC_EN: platformBit.eccEnabled,
  RAPL_DIS: platformBit.raplDisabled,
  CIPHERTEXT_HIDING_DRAM_EN: platformBit.ciphertextHidingEnabled,
  ALIAS_CHECK_COMPLETE: platformBit.aliasCheckComplete,
  IOMMU_WRITE_SAFE: platformBit.iommuWriteSafe,
  TIO_EN: platformBit.sevTioEnabled,
}

function policy(bytes: Uint8Array): string {
  return `${bits(policyBits)(bytes)}, ABI_MAJOR ${bytes[1]}, ABI_MINOR ${bytes[0]}`
}

/** AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY. */
function keys(bytes: Uint8Array): string {
  const key = (bytes[0]! >> keyInfo.signingKeyShift) & keyInfo.signingKeyMask
  const name = Object.entries(signingKeys).find(([, value]) => value === key)?.[0] ?? 'reserved'
  return `${bits({ AUTHOR_KEY_EN: 0, MASK_CHIP_KEY: 1 })(bytes)}, SIGNING_KEY ${key} (${name})`
}

/** Build, minor, major: shown as people write it. */
const firmware = (bytes: Uint8Array) => `${bytes[2]}.${bytes[1]}.${bytes[0]}`
const cpuid = (bytes: Uint8Array) => `family ${bytes[0]}, model ${bytes[1]}, stepping ${bytes[2]}`

type Shown = readonly [name: string, show?: (bytes: Uint8Array) => string]

/** Every field of the report under its name in the specification. The compiler demands one for each. */
const names: Readonly<Record<Field, Shown>> = {
  version: ['VERSION', number],
  guestSvn: ['GUEST_SVN', number],
  policy: ['POLICY', policy],
  familyId: ['FAMILY_ID'],
  imageId: ['IMAGE_ID'],
  vmpl: ['VMPL', number],
  signatureAlgo: ['SIGNATURE_ALGO', number],
  currentTcb: ['CURRENT_TCB'],
  platformInfo: ['PLATFORM_INFO', bits(platformBits)],
  keyInfo: ['AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY', keys],
  reservedAfterKeyInfo: ['Reserved'],
  reportData: ['REPORT_DATA'],
  measurement: ['MEASUREMENT'],
  hostData: ['HOST_DATA'],
  idKeyDigest: ['ID_KEY_DIGEST'],
  authorKeyDigest: ['AUTHOR_KEY_DIGEST'],
  reportId: ['REPORT_ID'],
  reportIdMa: ['REPORT_ID_MA'],
  reportedTcb: ['REPORTED_TCB'],
  cpuid: ['CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP', cpuid],
  reservedAfterCpuid: ['Reserved'],
  chipId: ['CHIP_ID'],
  committedTcb: ['COMMITTED_TCB'],
  currentFirmware: ['CURRENT_MAJOR, CURRENT_MINOR, CURRENT_BUILD', firmware],
  reservedAfterCurrent: ['Reserved'],
  committedFirmware: ['COMMITTED_MAJOR, COMMITTED_MINOR, COMMITTED_BUILD', firmware],
  reservedAfterCommitted: ['Reserved'],
  launchTcb: ['LAUNCH_TCB'],
  launchMitVector: ['LAUNCH_MIT_VECTOR', (bytes) => `0x${toHex(bytes.toReversed())}`],
  currentMitVector: ['CURRENT_MIT_VECTOR', (bytes) => `0x${toHex(bytes.toReversed())}`],
  reservedBeforeSignature: ['Reserved'],
  signatureR: ['SIGNATURE.R'],
  reservedAfterR: ['SIGNATURE.R, upper bytes'],
  signatureS: ['SIGNATURE.S'],
  reservedAfterS: ['SIGNATURE.S, upper bytes; Reserved'],
}

const rows: readonly Row[] = Object.entries(names).map(([key, [name, show]]) => [name, ...field[key as Field], show])

/** Bytes of an SEV-SNP report. TCB versions stay raw: the order of their parts depends on the product. */
export function explainSnp(bytes: Uint8Array): ExplainedPart {
  return {
    title: 'ATTESTATION_REPORT',
    document: 'AMD 56860 SEV-SNP Firmware ABI, revision 1.58',
    fields: fieldsOf(bytes, rows),
  }
}
