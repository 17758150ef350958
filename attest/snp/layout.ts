/**
 * What belongs in attest/snp: everything that knows AMD SEV-SNP, from bytes to neutral claims. This file: offsets,
 * sizes and constants only, with the specification's field names. It decides nothing, so the minter of simulated
 * evidence may read it too.
 *
 * source  AMD 56860 SEV-SNP Firmware ABI, "ATTESTATION_REPORT", "TCB_VERSION", "Guest Policy"; 57230 VCEK Certificate
 *         and KDS Interface Specification, "VCEK Certificate Extensions"; 58369 VLEK Certificate Definition
 */

/** Sizes in bytes. */
export const reportSize = 1184
export const signedSize = 0x2a0
export const chipIdSize = 64

/** Offset and size of each field of the report. */
export const field = {
  version: [0x000, 4],
  guestSvn: [0x004, 4],
  policy: [0x008, 8],
  familyId: [0x010, 16],
  imageId: [0x020, 16],
  vmpl: [0x030, 4],
  signatureAlgo: [0x034, 4],
  currentTcb: [0x038, 8],
  platformInfo: [0x040, 8],
  /** AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY */
  keyInfo: [0x048, 4],
  reservedAfterKeyInfo: [0x04c, 4],
  reportData: [0x050, 64],
  measurement: [0x090, 48],
  hostData: [0x0c0, 32],
  idKeyDigest: [0x0e0, 48],
  authorKeyDigest: [0x110, 48],
  reportId: [0x140, 32],
  reportIdMa: [0x160, 32],
  reportedTcb: [0x180, 8],
  /** CPUID family, model, stepping: version 3 and later */
  cpuid: [0x188, 3],
  reservedAfterCpuid: [0x18b, 21],
  chipId: [0x1a0, 64],
  committedTcb: [0x1e0, 8],
  /** build, minor, major */
  currentFirmware: [0x1e8, 3],
  reservedAfterCurrent: [0x1eb, 1],
  committedFirmware: [0x1ec, 3],
  reservedAfterCommitted: [0x1ef, 1],
  launchTcb: [0x1f0, 8],
  /** version 5 */
  launchMitVector: [0x1f8, 8],
  currentMitVector: [0x200, 8],
  reservedBeforeSignature: [0x208, 152],
  /** r and s: 48 bytes little-endian, 24 zero bytes after each, then zeros to the end */
  signatureR: [0x2a0, 48],
  reservedAfterR: [0x2d0, 24],
  signatureS: [0x2e8, 48],
  reservedAfterS: [0x318, 392],
} as const satisfies Readonly<Record<string, readonly [number, number]>>
export type Field = keyof typeof field

/** Fields that must be zero in every version. */
export const reservedFields = [
  'reservedAfterKeyInfo',
  'reservedAfterCpuid',
  'reservedAfterCurrent',
  'reservedAfterCommitted',
  'reservedBeforeSignature',
  'reservedAfterR',
  'reservedAfterS',
] as const satisfies readonly Field[]

/** Versions seen on hardware are 2, 3 and 5; 4 reads like 3. */
export const reportVersions = [2, 3, 4, 5] as const
/** First version with CPUID, first with mitigation vectors. */
export const cpuidVersionMin = 3
export const mitigationVersionMin = 5

/** ECDSA P-384 with SHA-384. */
export const signatureAlgoEcdsaP384 = 1
/** VMPL of a report that the host asked for. */
export const vmplHost = 0xffff_ffff
export const vmplMax = 3

/** Bits of `keyInfo`. */
export const keyInfo = {
  authorKeyEnabled: 0x1,
  maskChipKey: 0x2,
  signingKeyShift: 2,
  signingKeyMask: 0x7,
  reservedFrom: 5,
}
export const signingKeys = { VCEK: 0, VLEK: 1, none: 7 } as const

/** Guest policy: bits 0..7 ABI minor, 8..15 ABI major. */
export const policyBit = {
  smtAllowed: 16,
  /** always one */
  reservedOne: 17,
  migrationAgentAllowed: 18,
  debugAllowed: 19,
  singleSocket: 20,
  cxlAllowed: 21,
  aes256XtsRequired: 22,
  raplDisabledRequired: 23,
  ciphertextHidingRequired: 24,
  pageSwapDisabled: 25,
  reservedFrom: 26,
} as const

/** What the machine says of itself: unknown bits are shown, never refused. */
export const platformBit = {
  smtEnabled: 0,
  tsmeEnabled: 1,
  eccEnabled: 2,
  raplDisabled: 3,
  ciphertextHidingEnabled: 4,
  /** the check against memory aliasing (BadRAM, SB-3015) was done */
  aliasCheckComplete: 5,
  iommuWriteSafe: 6,
  sevTioEnabled: 7,
} as const

export type Product = 'Milan' | 'Genoa' | 'Turin'
export const products = ['Milan', 'Genoa', 'Turin'] as const satisfies readonly Product[]
/** Parts of a TCB_VERSION. */
export type TcbPart = 'fmc' | 'bootLoader' | 'tee' | 'snp' | 'microcode'

/** Which part stands in which byte of a TCB_VERSION; null is reserved, zero. */
export const tcbLayout: Readonly<Record<Product, readonly (TcbPart | null)[]>> = {
  Milan: ['bootLoader', 'tee', null, null, null, null, 'snp', 'microcode'],
  Genoa: ['bootLoader', 'tee', null, null, null, null, 'snp', 'microcode'],
  Turin: ['fmc', 'bootLoader', 'tee', 'snp', null, null, null, 'microcode'],
}

/** How many bytes of the chip id a product uses; the rest is zero. */
export const hwIdSize: Readonly<Record<Product, number>> = { Milan: 64, Genoa: 64, Turin: 8 }

/** Family and models of each product: Genoa stands for Bergamo and Siena too. Others are refused. */
export const cpuModels: readonly {
  readonly product: Product
  readonly family: number
  readonly from: number
  readonly to: number
}[] = [
  { product: 'Milan', family: 0x19, from: 0x00, to: 0x0f },
  { product: 'Genoa', family: 0x19, from: 0x10, to: 0x1f },
  { product: 'Genoa', family: 0x19, from: 0xa0, to: 0xaf },
  { product: 'Turin', family: 0x1a, from: 0x00, to: 0x11 },
]

/** Extensions of VCEK and VLEK certificates. */
const amd = '1.3.6.1.4.1.3704.1'
export const extensionOid = {
  structVersion: `${amd}.1`,
  productName: `${amd}.2`,
  bootLoader: `${amd}.3.1`,
  tee: `${amd}.3.2`,
  snp: `${amd}.3.3`,
  reserved4: `${amd}.3.4`,
  reserved5: `${amd}.3.5`,
  reserved6: `${amd}.3.6`,
  reserved7: `${amd}.3.7`,
  microcode: `${amd}.3.8`,
  fmc: `${amd}.3.9`,
  hwId: `${amd}.4`,
  cspId: `${amd}.5`,
} as const
/** Structure version of the extensions of each product. */
export const structVersion: Readonly<Record<Product, number>> = { Milan: 0, Genoa: 0, Turin: 1 }
