/**
 * What every relying party asks of a machine, in words that belong to no vendor. Byte strings are lowercase hex.
 *
 * measurement   what was launched: the launch digest, MRTD, MRENCLAVE, PCR0, RIM; on Azure the paravisor
 * measurements  every value that names software on it, `measurement` first: an owner takes back software by any of them
 * platformId    names one machine for as long as it exists; null where the kind has none or the host hides it
 * tcbStatus     the vendor's word for the state of its firmware; null where the vendor has none
 * advisories    ids of the vendors' security advisories that stand against it: `INTEL-SA-00615`, `AMD-SB-3015`
 * advisoriesTold  ids, and prefixes of ids that end with a hyphen, of which `advisories` names all that stand: of any other
 *               the evidence says nothing
 * svns          what AMD counts; empty for any other
 */
export interface Machine {
  readonly measurement: string
  readonly measurements: readonly string[]
  readonly platformId: string | null
  readonly debug: boolean
  readonly product: string
  readonly tcbStatus: string | null
  readonly advisories: readonly string[]
  readonly advisoriesTold: readonly string[]
  readonly svns: {
    readonly bootLoader?: number
    readonly tee?: number
    readonly snp?: number
    readonly microcode?: number
    readonly fmc?: number
  }
}

/**
 * What evidence is about.
 *
 * machine  null for devices alone: they say nothing of the machine that asked them
 * devices  the id of each device, in the order of the evidence
 * drivers, vbioses  every version of driver and VBIOS that they run, each once; a switch has no driver
 */
export interface Subject {
  readonly machine: Machine | null
  readonly devices: readonly string[]
  readonly drivers: readonly string[]
  readonly vbioses: readonly string[]
}

/** What a machine without devices has of them. */
export const noDevices = { devices: [], drivers: [], vbioses: [] } as const

/** Advisories of the vendor that made none of a machine's parts that evidence is about. */
const vendorPrefixes = { intel: 'INTEL-SA-', amd: 'AMD-SB-' } as const

/** Of Intel's machines the collateral names every advisory that stands at its TCB; none of AMD's is about them. */
export const intelAdvisories = (advisories: readonly string[]) => ({
  advisories,
  advisoriesTold: Object.values(vendorPrefixes),
})
/** AMD publishes no list by TCB. A report says of one whether it is mended; none of Intel's is about its machine. */
export const amdAdvisories = (aliasCheckComplete: boolean) => ({
  advisories: aliasCheckComplete ? [] : ['AMD-SB-3015'],
  advisoriesTold: [vendorPrefixes.intel, 'AMD-SB-3015'],
})
/** An Arm machine is none of either's. */
export const armAdvisories = { advisories: [], advisoriesTold: Object.values(vendorPrefixes) } as const
/** Evidence that names neither the processor nor its firmware says nothing of any. */
export const noAdvisories = { advisories: [], advisoriesTold: [] } as const

/** A register that nothing was measured into, or an id that is not there, names nothing. */
export const named = (id: string): string | null => (/^0*$/.test(id) ? null : id)

/** @see Machine */
export function measurementsOf(
  first: string,
  ...more: readonly string[]
): Pick<Machine, 'measurement' | 'measurements'> {
  const rest = more.filter((one) => named(one) !== null)
  return { measurement: first, measurements: [...new Set([first, ...rest])] }
}
