import {
  boolean,
  hex,
  integer,
  list,
  object,
  oneOf,
  optional,
  type Shape,
  type ShapeCode,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'

const svn = integer({ max: 255 })

/** Least security versions of a Milan or Genoa platform. */
const tcbFloor = object({ bootLoader: svn, tee: svn, snp: svn, microcode: svn })
/** Turin counts its FMC as well. */
const turinTcbFloor = object({ fmc: svn, bootLoader: svn, tee: svn, snp: svn, microcode: svn })

/** `reported` names the key that signed, `committed` what cannot be rolled back, `launch` what started the guest. */
const floors = object({ reported: tcbFloor, committed: tcbFloor, launch: tcbFloor })
const turinFloors = object({ reported: turinTcbFloor, committed: turinTcbFloor, launch: turinTcbFloor })

const anyOf = <T>(item: Parameters<typeof list<T>>[0], max = 256) => optional(list(item, { min: 1, max }))

/**
 * What an owner accepts from an SEV-SNP node. A list that is absent accepts any value; every other member must be there.
 *
 * products   floors of each accepted product; a product that is absent is refused
 * allowMilan Milan is refused without it even when it has floors: its endorsement key can be recovered in software
 * crl        `required` refuses evidence without a current CRL of the vendor root
 */
export const snpReferenceValuesShape = object({
  measurements: list(hex(48), { min: 1, max: 256 }),
  hostData: anyOf(hex(32)),
  idKeyDigests: anyOf(hex(48)),
  authorKeyDigests: anyOf(hex(48)),
  chipIds: anyOf(hex(64), 1000),
  cspIds: anyOf(string({ max: 100 }), 64),
  signingKeys: list(oneOf('VCEK', 'VLEK'), { min: 1, max: 2 }),
  vmpls: list(integer({ max: 3 }), { min: 1, max: 4 }),
  guestSvnMin: integer({ max: 0xffff_ffff }),
  products: object({ Milan: optional(floors), Genoa: optional(floors), Turin: optional(turinFloors) }),
  allowMilan: boolean,
  allowSmt: boolean,
  allowMigrationAgent: boolean,
  requireAliasCheck: boolean,
  requireCiphertextHiding: boolean,
  crl: oneOf('required', 'when-given'),
})
export type SnpReferenceValues = Shaped<typeof snpReferenceValuesShape>

/** TCB statuses that an owner can live with. `Revoked`, and a TCB that Intel does not list, are never accepted. */
const acceptableTcbStatuses = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
] as const

/**
 * What TDX and SGX have in common.
 *
 * tcbStatuses                absent accepts `UpToDate` only; any other status that is accepted stays a warning
 * advisories                 ids of advisories that may stand against the TCB; absent accepts those of an accepted status
 * tcbEvaluationDataNumberMin least edition of Intel's TCB info and QE identity
 * fmspcs                     platform families; absent accepts any
 * platformIds                PPIDs of single machines; absent accepts any
 */
const dcapMembers = {
  tcbStatuses: optional(list(oneOf(...acceptableTcbStatuses), { min: 1, max: acceptableTcbStatuses.length })),
  advisories: optional(list(string({ max: 40 }), { max: 256 })),
  tcbEvaluationDataNumberMin: integer({ max: 0xffff_ffff }),
  fmspcs: anyOf(hex(6)),
  platformIds: anyOf(hex(16), 1000),
}

/**
 * What an owner accepts from a TDX node. A list that is absent accepts any value, but for `mrServiceTds`: without it no
 * service TD may be bound, since one may migrate the TD.
 *
 * eventLog  `required` refuses evidence without a log that replays to the four registers
 */
const tdxReferenceValuesShape = object({
  ...dcapMembers,
  mrTds: list(hex(48), { min: 1, max: 256 }),
  rtmr0: anyOf(hex(48)),
  rtmr1: anyOf(hex(48)),
  rtmr2: anyOf(hex(48)),
  rtmr3: anyOf(hex(48)),
  mrSeams: anyOf(hex(48)),
  mrConfigIds: anyOf(hex(48)),
  mrOwners: anyOf(hex(48)),
  mrOwnerConfigs: anyOf(hex(48)),
  mrServiceTds: anyOf(hex(48)),
  xfams: anyOf(hex(8)),
  composeHashes: anyOf(hex(32)),
  requireSeptVeDisable: boolean,
  allowMigration: boolean,
  allowPerfmon: boolean,
  eventLog: oneOf('required', 'when-given'),
})
export type TdxReferenceValues = Shaped<typeof tdxReferenceValuesShape>

/** A line of enclaves by who signed them, instead of one enclave by its measurement. */
const signedEnclave = object({
  mrSigner: hex(32),
  isvProdId: integer({ max: 65_535 }),
  isvSvnMin: integer({ max: 65_535 }),
})

/** What an owner accepts from an SGX enclave: by measurement, by signer, or either. One of the two must be there. */
const sgxReferenceValuesShape = object({
  ...dcapMembers,
  mrEnclaves: anyOf(hex(32)),
  signers: anyOf(signedEnclave),
  configIds: anyOf(hex(64)),
})
export type SgxReferenceValues = Shaped<typeof sgxReferenceValuesShape>

const driverVersion = string({ form: /^\d{1,5}(\.\d{1,5}){1,3}$/ })
const vbiosVersion = string({ form: /^[0-9A-F]{2}(\.[0-9A-F]{2}){4}$/ })
const byArchitecture = <T>(item: Shape<T>) =>
  object({ HOPPER: optional(item), BLACKWELL: optional(item), LS10: optional(item) })

/**
 * What an owner accepts of NVIDIA GPUs and NVSwitches beside a machine. A list or floor that is absent accepts any value.
 *
 * devices   exactly how many of each architecture; one that is absent is refused
 * deviceIds PDIs of single devices
 * rim       `required` refuses devices without the golden values of driver and VBIOS; without them it is a warning
 * topology  `protected-pcie` refuses devices that are not shown to be one whole board
 * ocsp      `required` refuses evidence without a current answer on every certificate of devices and RIMs
 * modes     single and multiple pass-through, protected PCIe; a device that does not say its mode is in none
 */
const gpuReferenceValuesShape = object({
  devices: byArchitecture(integer({ min: 1, max: 12 })),
  driverVersions: anyOf(driverVersion),
  driverVersionMin: optional(driverVersion),
  vbiosVersions: anyOf(vbiosVersion),
  vbiosVersionMin: optional(byArchitecture(vbiosVersion)),
  deviceIds: anyOf(hex(8), 1000),
  modes: anyOf(oneOf('SPT', 'MPT', 'PPCIE')),
  rim: oneOf('required', 'when-given'),
  ocsp: oneOf('required', 'when-given'),
  topology: oneOf('protected-pcie', 'any'),
})
export type GpuReferenceValues = Shaped<typeof gpuReferenceValuesShape>

/** Registers of an enclave in debug mode are zeros: no list can hold them. */
const pcr: Shape<string> = (value, path) => {
  const text = hex(48)(value, path)
  return string({ max: 96, form: /[1-9a-f]/ })(text, path)
}

/**
 * What an owner accepts from an AWS Nitro enclave. A list that is absent accepts any value; every other member must be
 * there.
 *
 * images                PCR0 (image), PCR1 (kernel and boot files) and PCR2 (application), accepted together
 * pcr3, pcr4, pcr8      IAM role of the parent instance, its id, certificate that the image was signed with
 * moduleIds             single enclaves, by the id that the hypervisor gave each when it started
 * documentAgeSecondsMax at most three hours, which is how long AWS's certificates live
 */
const nitroReferenceValuesShape = object({
  images: list(object({ pcr0: pcr, pcr1: pcr, pcr2: pcr }), { min: 1, max: 256 }),
  pcr3: anyOf(hex(48)),
  pcr4: anyOf(hex(48), 1000),
  pcr8: anyOf(hex(48)),
  moduleIds: anyOf(string({ max: 100 }), 1000),
  documentAgeSecondsMax: integer({ min: 1, max: 10_800 }),
})
export type NitroReferenceValues = Shaped<typeof nitroReferenceValuesShape>

/** PCRs that nothing resets before the next start of the VM: 16 and 23 are the guest's to reset, 17 to 22 are unused. */
const staticPcrs = Array.from({ length: 16 }, (_, i) => String(i))
const pcrLists = object(Object.fromEntries(staticPcrs.map((index) => [index, anyOf(hex(32))])))
/** Accepted values by index, 0 to 15. None named would leave the whole guest to chance. */
const pcrsShape: Shape<{ readonly [index: string]: readonly string[] }> = (value, path) => {
  const pcrs = pcrLists(value, path) as { readonly [index: string]: readonly string[] }
  if (Object.keys(pcrs).length === 0)
    throw new Failure<ShapeCode>('shape/range', `${path}: expected at least one PCR`, { detail: { path } })
  return pcrs
}

/**
 * What an owner accepts of a vTPM and its VM, beside what is accepted of the hardware.
 *
 * requireSecureBoot  off is refused
 * allowConsole       without it a serial console is refused, and a paravisor that does not say whether there is one
 * vmIds              ids of single virtual machines, as the paravisor spells them; absent accepts any
 */
const vtpmMembers = {
  pcrs: pcrsShape,
  requireSecureBoot: boolean,
  allowConsole: boolean,
  vmIds: anyOf(string({ max: 64 }), 1000),
}
const vtpmReferenceValuesShape = object(vtpmMembers)
export type VtpmReferenceValues = Shaped<typeof vtpmReferenceValuesShape>

/** What an owner accepts from an Azure confidential VM: `measurements` and `mrTds` are those of the paravisor. */
const azureSnpReferenceValuesShape = object({ ...vtpmMembers, snp: snpReferenceValuesShape })
export type AzureSnpReferenceValues = Shaped<typeof azureSnpReferenceValuesShape>
const azureTdxReferenceValuesShape = object({ ...vtpmMembers, tdx: tdxReferenceValuesShape })
export type AzureTdxReferenceValues = Shaped<typeof azureTdxReferenceValuesShape>

/** A measurement of 32, 48 or 64 bytes. */
const measurement: Shape<string> = (value, path) => {
  const text = hex(undefined, 128)(value, path)
  return string({ max: 128, form: /^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/ })(text, path)
}

/** A part of a platform's firmware. `type` is its role; absent where the token does not say one. */
const ccaComponent = object({ type: optional(string()), measurement, signerId: measurement })

/**
 * What an owner accepts from an Arm CCA realm. A list that is absent accepts any value; every other member must be there.
 *
 * initialMeasurements  RIM      rem0 to rem3  extensible measurements      personalizationValues  RPV
 * realmHashAlgorithms  how the realm is measured
 * platforms            for each accepted firmware its implementation id and all of its components, accepted together
 * configs, instanceIds configuration of the platform, and single platforms
 */
const ccaReferenceValuesShape = object({
  initialMeasurements: list(measurement, { min: 1, max: 256 }),
  rem0: anyOf(measurement),
  rem1: anyOf(measurement),
  rem2: anyOf(measurement),
  rem3: anyOf(measurement),
  personalizationValues: anyOf(hex(64)),
  realmHashAlgorithms: optional(list(oneOf('sha-256', 'sha-384', 'sha-512'), { min: 1, max: 3 })),
  platforms: list(object({ implementationId: hex(32), components: list(ccaComponent, { min: 1, max: 64 }) }), {
    min: 1,
    max: 64,
  }),
  configs: anyOf(hex(undefined, 512), 64),
  instanceIds: anyOf(hex(33), 1000),
})
export type CcaReferenceValues = Shaped<typeof ccaReferenceValuesShape>

/** The owner's reference values, one member for each accepted kind of evidence. A kind that is absent is refused. */
export interface ReferenceValues {
  readonly snp?: SnpReferenceValues | undefined
  readonly tdx?: TdxReferenceValues | undefined
  readonly sgx?: SgxReferenceValues | undefined
  readonly gpu?: GpuReferenceValues | undefined
  readonly nitro?: NitroReferenceValues | undefined
  readonly 'azure-snp'?: AzureSnpReferenceValues | undefined
  readonly 'azure-tdx'?: AzureTdxReferenceValues | undefined
  readonly cca?: CcaReferenceValues | undefined
}
export const referenceValuesShape: Shape<ReferenceValues> = object({
  snp: optional(snpReferenceValuesShape),
  tdx: optional(tdxReferenceValuesShape),
  sgx: optional(sgxReferenceValuesShape),
  gpu: optional(gpuReferenceValuesShape),
  nitro: optional(nitroReferenceValuesShape),
  'azure-snp': optional(azureSnpReferenceValuesShape),
  'azure-tdx': optional(azureTdxReferenceValuesShape),
  cca: optional(ccaReferenceValuesShape),
})
