import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { amdService } from '#attest/collateral/fetch/amd.js'
import { intelService } from '#attest/collateral/fetch/intel.js'
import { nvidiaOcspService, nvidiaRimService } from '#attest/collateral/fetch/nvidia.js'
import { type FetchItem, vendorSources } from '#attest/collateral/fetch/sources.js'
import { CollateralStore } from '#attest/collateral/store.js'
import { type CollateralSupply, collateralSupply } from '#attest/collateral/supply.js'
import { httpUrl } from '#cli/option-values.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Database } from '#host/database.js'
import type { Log } from '#host/log.js'

/** Where vendors' documents are fetched from; absent: the vendors' own services. */
export interface SourceArguments {
  readonly pcs?: string | undefined
  readonly kds?: string | undefined
  readonly rim?: string | undefined
  readonly ocsp?: string | undefined
}

/** The services that are asked, as text, by what the names of their documents begin with. */
export const servicesOf = ({ pcs, kds, rim, ocsp }: SourceArguments) => ({
  intel: pcs ?? intelService,
  amd: kds ?? amdService,
  'nvidia/rim': rim ?? nvidiaRimService,
  'nvidia/ocsp': ocsp ?? nvidiaOcspService,
})

const fetchTimeoutMs = 10_000
const intelRootPath = join(import.meta.dirname, '../attest/dcap/roots/intel-sgx-root-ca.pem')

/** The sources as they were named. Nobody is asked yet. */
export async function openSources(args: SourceArguments): Promise<FetchItem> {
  const { intel, amd, ...nvidia } = servicesOf(args)
  const rootCertificate = parsePem(fromUtf8(new Uint8Array(await readFile(intelRootPath))), 'CERTIFICATE', 1)[0]!
  const http = { fetch: globalThis.fetch, timeoutMs: fetchTimeoutMs }
  return vendorSources(http, {
    intel: { url: intel, rootCertificate },
    amd: { url: amd },
    nvidia: { rimUrl: nvidia['nvidia/rim'], ocspUrl: nvidia['nvidia/ocsp'] },
  })
}

/** The store of a service's collateral. What happens to its sources stands in the service's log. @throws database/... */
export async function openSupply(
  options: {
    readonly log: Log
    readonly now: () => UnixSeconds
    readonly fetchCollateral?: SourceArguments | undefined
  },
  database: Database,
  simulatedRoots: readonly string[],
): Promise<CollateralSupply> {
  const store = await CollateralStore.open({
    database,
    fetchItem: options.fetchCollateral ? await openSources(options.fetchCollateral) : null,
    simulatedRoots,
    now: options.now,
    nowMs: () => performance.now(),
    log: options.log,
  })
  return collateralSupply(store)
}

export interface FetchCollateralArguments extends SourceArguments {
  readonly fetchCollateral?: boolean | undefined
}

/** Options of a service that may fetch. Without the first of them it asks nobody. */
export function fetchOptions(command: Command): Command {
  return command
    .option('--fetch-collateral', "ask vendors' services for collateral; without it nobody is asked")
    .option('--pcs <url>', "with it: Intel's service or a PCCS; else Intel's own", httpUrl('https://pccs.example'))
    .option('--kds <url>', "with it: AMD's service or a mirror; else AMD's own", httpUrl('https://kds.example'))
    .option(
      '--rim <url>',
      "with it: NVIDIA's RIM service or a mirror; else NVIDIA's own",
      httpUrl('https://rim.example'),
    )
    .option(
      '--ocsp <url>',
      "with it: NVIDIA's OCSP responder or a mirror; else NVIDIA's own",
      httpUrl('https://ocsp.example'),
    )
}

/** What was chosen by these options. @throws usage/fetch-collateral for an address that nobody would ask */
export function fetchOf({ fetchCollateral, pcs, kds, rim, ocsp }: FetchCollateralArguments): {
  fetchCollateral?: SourceArguments
} {
  const sources = { pcs, kds, rim, ocsp }
  if (fetchCollateral === true) return { fetchCollateral: sources }
  if (Object.values(sources).some((url) => url !== undefined))
    throw new Failure<FetchUsageCode>('usage/fetch-collateral', 'a source is named, and --fetch-collateral is missing')
  return {}
}

/** Failures of what was typed. */
export type FetchUsageCode = 'usage/fetch-collateral'
