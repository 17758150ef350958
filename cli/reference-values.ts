import type { runtimeFileShape } from '#attest/reference/runtime-file.js'
import type { SimulatedAttester } from '#cli/simulated-attester.js'
import type { Shaped } from '#core/encoding/shape.js'

/** What a reader accepts of the simulated machine of this computer: the runtime as it is built here, and nothing else. */
export function simulatedRuntime(attester: SimulatedAttester): Shaped<typeof runtimeFileShape> {
  const least = { bootLoader: 0, tee: 0, snp: 0, microcode: 0 }
  return {
    simulatedRoots: [attester.rootDigest],
    title: 'claviger runtime as built on this machine (simulated: NOT HARDWARE)',
    values: {
      snp: {
        measurements: [attester.measurement],
        hostData: undefined,
        idKeyDigests: undefined,
        authorKeyDigests: undefined,
        chipIds: undefined,
        cspIds: undefined,
        signingKeys: ['VCEK'],
        vmpls: [0],
        guestSvnMin: 0,
        products: { Milan: undefined, Genoa: { reported: least, committed: least, launch: least }, Turin: undefined },
        allowMilan: false,
        allowSmt: false,
        allowMigrationAgent: false,
        requireAliasCheck: true,
        requireCiphertextHiding: false,
        crl: 'required',
      },
    },
  }
}
