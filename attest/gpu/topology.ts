import type { DeviceIdentity } from '#attest/gpu/chain.js'
import { gpusPerSwitch, pdiSize, switchesPerSystem } from '#attest/gpu/layout.js'
import type { GpuReport } from '#attest/gpu/parse.js'
import { fromHex, toHex } from '#core/bytes/bytes.js'

interface Device {
  readonly report: GpuReport
  readonly identity: DeviceIdentity
}

const zeroPdi = '00'.repeat(pdiSize)
const reversed = (pdi: string) => toHex(fromHex(pdi).toReversed())
const same = (a: ReadonlySet<string>, b: ReadonlySet<string>) => a.size === b.size && [...a].every((one) => b.has(one))

/**
 * Why the devices are not shown to be one protected-PCIe board of 8 GPUs and 4 switches, linked to one another and to
 * nobody else; null when they are.
 *
 * NVIDIA's own verifier compares what GPUs say among themselves, and what switches say. Here both are compared with the
 * certificates too: a switch lists exactly the GPUs whose certificates are here, and names itself as its own does.
 *
 * trusts  that the devices are verified, distinct, and answer one nonce
 * source  NVIDIA nvtrust, ppcie-verifier-sdk-cpp, "TopologyValidation"
 */
export function topologyProblem(devices: readonly Device[]): string | null {
  const gpus = devices.filter(({ report }) => report.kind === 'gpu')
  const switches = devices.filter(({ report }) => report.kind === 'switch')
  if (gpus.length !== gpusPerSwitch || switches.length !== switchesPerSystem)
    return `${gpus.length} GPUs and ${switches.length} switches, not ${gpusPerSwitch} and ${switchesPerSystem}`
  const linked = new Set<string>()
  for (const { report, identity } of gpus) {
    const { opaque } = report
    if (opaque.feature !== 'PPCIE' && opaque.protectedPcie !== true)
      return `GPU ${identity.pdi} is not in protected PCIe`
    const seen = new Set(opaque.switchPdis.filter((pdi) => pdi !== zeroPdi))
    if (seen.size !== switchesPerSystem)
      return `GPU ${identity.pdi} is linked to ${seen.size} switches, not ${switchesPerSystem}`
    if (linked.size === 0) for (const pdi of seen) linked.add(pdi)
    else if (!same(seen, linked)) return `GPU ${identity.pdi} is linked to other switches than the first one`
  }
  const known = new Set(gpus.map(({ identity }) => identity.pdi))
  const named = new Set<string>()
  for (const { report, identity } of switches) {
    const [own = ''] = report.opaque.switchPdis
    if (own !== identity.pdi) return `switch ${identity.pdi} calls itself ${own || 'nothing'}`
    if (!same(new Set(report.opaque.gpuPdis), known)) return `switch ${identity.pdi} is linked to other GPUs than these`
    named.add(reversed(own)) // GPUs write the PDI of a switch the other way round
  }
  return same(named, linked) ? null : 'GPUs are linked to other switches than these'
}
