import { dirname, join } from 'node:path'
import { stateFolder } from '#cli/places.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { createSecretFile, makeFolder, readSecretFile } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { measureRuntime } from '#runtime/attester/simulated/measure.js'
import { createSimulatedPlatform, exportPlatform, importPlatform } from '#runtime/attester/simulated/platform.js'
import type { Attester } from '#runtime/ports.js'

/** A simulated machine as an attester. NOT HARDWARE: whoever accepts it names `rootDigest` in its own trust. */
export interface SimulatedAttester extends Attester {
  readonly platform: 'simulated'
  /** SHA-256 of the throwaway root's public key, hex: for `simulatedRoots` */
  readonly rootDigest: string
  /** measurement of the built runtime, 48 bytes in hex: for reference values */
  readonly measurement: string
  attest(reportData: Uint8Array): Promise<SnpEvidence>
}

/** Where a simulated machine's keys lie when no other place is named. */
export function simulatedPlatformPath(): string {
  return join(stateFolder(), 'simulated-platform.json')
}

async function readState(path: string): Promise<Uint8Array | null> {
  try {
    return await readSecretFile(path)
  } catch (error) {
    if (isFailure(error) && error.code === 'file/absent') return null
    throw error
  }
}

/**
 * The simulated machine whose keys lie at `path`, made there on first use (which takes seconds), with the built runtime
 * as its guest.
 *
 * throws  attester/measure, file/..., json/..., shape/...
 */
export async function openSimulatedAttester(path: string, at: UnixSeconds): Promise<SimulatedAttester> {
  const measurement = await measureRuntime(join(packageRoot(), 'dist'))
  const state = await readState(path)
  if (state === null) {
    const made = await createSimulatedPlatform({ at, measurement })
    await makeFolder(dirname(path), 0o700)
    try {
      await createSecretFile(path, exportPlatform(made))
      return attesterOf(made, measurement)
    } catch (error) {
      // Another command made one meanwhile: that one is the machine.
      if (!isFailure(error) || error.code !== 'file/exists') throw error
      return openSimulatedAttester(path, at)
    }
  }
  try {
    return attesterOf(await importPlatform(state, { at, measurement }), measurement)
  } finally {
    state.fill(0)
  }
}

function attesterOf(
  platform: { readonly rootDigest: string; attest: SimulatedAttester['attest'] },
  measurement: string,
): SimulatedAttester {
  return {
    platform: 'simulated',
    rootDigest: platform.rootDigest,
    measurement,
    attest: (reportData) => platform.attest(reportData),
  }
}
