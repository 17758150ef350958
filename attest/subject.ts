/**
 * What every relying party asks of a machine, in words that belong to no vendor. Byte strings are lowercase hex.
 *
 * measurement   what was launched: the launch digest, MRTD, MRENCLAVE, PCR0, RIM; on Azure the paravisor
 * measurements  every value that names software on it, `measurement` first: an owner takes back software by any of them
 * platformId    names one machine for as long as it exists; null where the kind has none or the host hides it
 * tcbStatus     the vendor's word for the state of its firmware; null where the vendor has none
 * svns          what AMD counts; empty for any other
 */
export interface Machine {
  readonly measurement: string
  readonly measurements: readonly string[]
  readonly platformId: string | null
  readonly debug: boolean
  readonly product: string
  readonly tcbStatus: string | null
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
 */
export interface Subject {
  readonly machine: Machine | null
  readonly devices: readonly string[]
}

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
