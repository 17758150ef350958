import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { amdService } from '#attest/collateral/fetch/amd.js'
import { intelService } from '#attest/collateral/fetch/intel.js'
import { nvidiaRimService } from '#attest/collateral/fetch/nvidia.js'
import { type FetchItem, vendorSources } from '#attest/collateral/fetch/sources.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'

/** Where vendors' documents are fetched from; absent: the vendors' own services. */
export interface SourceArguments {
  readonly pcs?: string | undefined
  readonly kds?: string | undefined
  readonly rim?: string | undefined
}

/** The services that are asked, as text, by vendor. */
export const servicesOf = ({ pcs, kds, rim }: SourceArguments) => ({
  intel: pcs ?? intelService,
  amd: kds ?? amdService,
  nvidia: rim ?? nvidiaRimService,
})

const fetchTimeoutMs = 10_000
const intelRootPath = join(import.meta.dirname, '../attest/dcap/roots/intel-sgx-root-ca.pem')

/** The sources as they were named. Nobody is asked yet. */
export async function openSources(args: SourceArguments): Promise<FetchItem> {
  const { intel, amd, nvidia } = servicesOf(args)
  const rootCertificate = parsePem(fromUtf8(new Uint8Array(await readFile(intelRootPath))), 'CERTIFICATE', 1)[0]!
  const http = { fetch: globalThis.fetch, timeoutMs: fetchTimeoutMs }
  return vendorSources(http, { intel: { url: intel, rootCertificate }, amd: { url: amd }, nvidia: { rimUrl: nvidia } })
}
