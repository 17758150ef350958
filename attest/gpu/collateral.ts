import type { Anchors } from '#attest/anchors.js'
import type { DeviceIdentity } from '#attest/gpu/chain.js'
import type { GpuReport } from '#attest/gpu/parse.js'
import {
  compareGolden,
  type Golden,
  type RimPart,
  rimIds,
  verifyDisjoint,
  verifyRimSubject,
} from '#attest/gpu/rim/golden.js'
import { type Rim, readRim, verifyRimChain } from '#attest/gpu/rim/rim.js'
import { refuse } from '#attest/gpu/rim/signature.js'
import type { UnixSeconds } from '#core/time.js'
import type { GpuEvidence } from '#core/wire/evidence.js'

export type { Golden } from '#attest/gpu/rim/golden.js'

interface Device {
  readonly report: GpuReport
  readonly identity: DeviceIdentity
}

/** The RIMs of one device; null for one that did not come along. */
export interface DeviceRims {
  readonly ids: Readonly<Record<RimPart, string | null>>
  readonly driver: Golden | null
  readonly vbios: Golden | null
}

/** RIMs by id, each of them signed under NVIDIA's root, and about the devices that ask for it. */
export interface VerifiedRims {
  readonly verified: ReadonlyMap<string, Rim>
  /** whether one of them stands under a simulated root */
  readonly simulated: boolean
}

const parts: readonly RimPart[] = ['driver', 'vbios']

/**
 * Verifies the RIMs that came along: each is asked for by a device, signed and valid, about what the device reports.
 *
 * throws  gpu/collateral-unused, gpu/rim-..., gpu/unknown-root, x509/..., chain/...
 */
export async function verifyRims(
  rims: GpuEvidence['rims'],
  devices: readonly Device[],
  anchors: Anchors,
  at: UnixSeconds,
): Promise<VerifiedRims> {
  const verified = new Map<string, Rim>()
  const wanted = new Set(devices.flatMap(({ report, identity }) => Object.values(rimIds(report, identity))))
  let simulated = false
  for (const { id, rim: text } of rims) {
    if (!wanted.has(id) || verified.has(id))
      throw refuse('gpu/collateral-unused', `RIM ${id} is there twice, or of no device of this evidence`)
    const rim = await read(text, anchors)
    if ((await verifyRimChain(rim, anchors, at)) === 'simulated') simulated = true
    verified.set(id, rim)
  }
  for (const { report, identity } of devices) {
    const ids = rimIds(report, identity)
    const [driver, vbios] = parts.map((part) => {
      const rim = verified.get(ids[part] ?? '')
      if (rim) verifyRimSubject(rim, part, report, identity)
      return rim
    })
    if (driver && vbios) verifyDisjoint(driver, vbios)
  }
  return { verified, simulated }
}

async function read(text: string, { reads }: Anchors): Promise<Rim> {
  const known = reads?.rims.get(text) as Rim | undefined
  if (known) return known
  const rim = await readRim(text)
  reads?.rims.set(text, rim)
  return rim
}

/** Compares a device with its RIMs among those that were verified. */
export function rimsOf({ report, identity }: Device, verified: VerifiedRims['verified']): DeviceRims {
  const ids = rimIds(report, identity)
  const golden = (id: string | null): Golden | null => {
    const rim = verified.get(id ?? '')
    return rim && id !== null ? { id, rim, ...compareGolden(rim, report) } : null
  }
  return { ids, driver: golden(ids.driver), vbios: golden(ids.vbios) }
}
