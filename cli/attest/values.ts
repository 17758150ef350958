import type { Anchors } from '#attest/anchors.js'
import { readValues, type Values } from '#attest/reader/values.js'
import { readInput } from '#cli/input.js'
import type { Io } from '#cli/output.js'
import { referenceFolder, seenReferences } from '#cli/reference-folder.js'
import { loadTrust } from '#cli/trust-store.js'

export interface ValuesArguments {
  readonly referenceValues?: string | undefined
  readonly values?: string | undefined
  readonly trust?: string | undefined
}

const fileAt = async (path: string | undefined) => (path === undefined ? null : readInput(path, 'reference values'))

/** What the reader compares with, from files. @throws input/..., trust-file/..., and what readValues throws */
export async function valuesAt({ referenceValues, values, trust }: ValuesArguments, io: Io): Promise<Values> {
  const publishers = trust === undefined ? null : async () => (await loadTrust(trust, io.now())).trust.runtimePublishers
  const files = {
    reference: await fileAt(referenceValues),
    values: await fileAt(values),
    names: { reference: referenceValues ?? '', values: values ?? '' },
  }
  return readValues(files, publishers, io.now(), (trusted) => seenReferences(referenceFolder(), trusted))
}

/** What the reader believes beside the roots that are compiled in, from the trust file. @throws trust-file/..., lock/held */
export async function anchorsAt(trust: string | undefined, io: Io): Promise<Anchors> {
  if (trust === undefined) return { simulatedRoots: [] }
  const { simulatedRoots, collateralFloors } = (await loadTrust(trust, io.now())).trust
  return { simulatedRoots, collateralFloors }
}
