import { type AmdOptions, amdSource } from '#attest/collateral/fetch/amd.js'
import type { HttpOptions } from '#attest/collateral/fetch/http.js'
import { type IntelOptions, intelSource } from '#attest/collateral/fetch/intel.js'
import { type NvidiaOptions, nvidiaSource } from '#attest/collateral/fetch/nvidia.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import type { CollateralName } from '#attest/endorsements/names.js'

/**
 * What fails together and is left alone together. What strangers can choose, single chips and families, has lanes of its
 * own, so that they cannot have a vendor refuse us its revocation lists.
 */
export type Lane = 'intel' | 'intel-root' | 'intel-families' | 'amd' | 'amd-chips' | 'nvidia-rims' | 'nvidia-ocsp'

export const laneOf: Readonly<Record<CollateralName['kind'], Lane>> = {
  'intel-root-crl': 'intel-root',
  'intel-pck-crl': 'intel',
  'intel-qe-identity': 'intel',
  'intel-tcb-info': 'intel-families',
  'amd-ask': 'amd',
  'amd-crl': 'amd',
  'amd-vcek': 'amd-chips',
  'nvidia-rim': 'nvidia-rims',
  'nvidia-ocsp': 'nvidia-ocsp',
}

/** What must be held before a document of this name can be fetched or believed. */
export function neededBefore(name: CollateralName): readonly CollateralName[] {
  switch (name.kind) {
    case 'intel-root-crl':
    case 'amd-ask':
    case 'nvidia-rim':
    case 'nvidia-ocsp':
      return []
    case 'amd-crl':
      return [{ kind: 'amd-ask', product: name.product, key: name.key }]
    case 'amd-vcek':
      return [{ kind: 'amd-ask', product: name.product, key: 'vcek' }]
    default:
      return [{ kind: 'intel-root-crl' }]
  }
}

/**
 * DER of certificates above a document, where neither its vendor gives them out nor a document that is held: those above
 * the certificate that an OCSP answer is about, which come with the evidence.
 */
export type Above = readonly Uint8Array[]

/** Fetches a document; `held` are those of neededBefore. What comes is not believed yet. @throws FetchCode */
export type FetchItem = (name: CollateralName, held: readonly CollateralItem[], above: Above) => Promise<CollateralItem>

/** The vendors' own services, or mirrors of them. */
export function vendorSources(
  http: HttpOptions,
  options: { readonly intel: IntelOptions; readonly amd: AmdOptions; readonly nvidia?: NvidiaOptions },
): FetchItem {
  const intel = intelSource(http, options.intel)
  const amd = amdSource(http, options.amd)
  const nvidia = nvidiaSource(http, options.nvidia ?? {})
  return (name, held, above) => {
    switch (name.kind) {
      case 'amd-ask':
      case 'amd-crl':
      case 'amd-vcek':
        return amd(
          name,
          held.flatMap(({ body, chain }) => [body, ...chain]),
        )
      case 'nvidia-rim':
      case 'nvidia-ocsp':
        return nvidia(name, above)
      default:
        return intel(name)
    }
  }
}
