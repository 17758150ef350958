import type { FetchCode } from '#attest/collateral/failures.js'
import { baseUrl, type HttpOptions, request } from '#attest/collateral/fetch/http.js'
import { bodySizeMax, type CollateralItem, chainCertificateSizeMax } from '#attest/endorsements/item.js'
import type { CollateralName } from '#attest/endorsements/names.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'

/** AMD's Key Distribution Service, or a mirror of it. */
export interface AmdOptions {
  /** default `https://kdsintf.amd.com` */
  readonly url?: string
}

export const amdService = 'https://kdsintf.amd.com'

type AmdName = Extract<CollateralName, { readonly kind: `amd-${string}` }>

/** source: AMD 57230, "KDS Interface" */
function pathOf(name: AmdName): string {
  if (name.kind === 'amd-ask') return `${name.key}/v1/${name.product}/cert_chain`
  if (name.kind === 'amd-crl') return `${name.key}/v1/${name.product}/crl`
  const { fmc, bootLoader, tee, snp, microcode } = name.tcb
  const parts = { fmcSPL: fmc, blSPL: bootLoader, teeSPL: tee, snpSPL: snp, ucodeSPL: microcode }
  const query = Object.entries(parts)
    .filter(([, value]) => value !== null)
    .map(([part, value]) => `${part}=${String(value).padStart(2, '0')}`)
  return `vcek/v1/${name.product}/${name.hwId}?${query.join('&')}`
}

function chainOf(body: Uint8Array): readonly [Uint8Array, Uint8Array] {
  try {
    const [ask, ark] = parsePem(fromUtf8(body), 'CERTIFICATE', 2)
    if (ask !== undefined && ark !== undefined) return [ask, ark]
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<FetchCode>('collateral/content', 'the answer is no chain of certificates', { cause })
  }
  throw new Failure<FetchCode>('collateral/content', 'the chain has one certificate, expected two')
}

/**
 * Fetches what AMD signs. What comes is not believed yet: verifyItem says what it is.
 *
 * chainOfAuthority  intermediate and root that the document stands under, as they are held: AMD gives out a CRL and a
 *                   VCEK without them
 * throws  FetchCode
 */
export function amdSource(
  http: HttpOptions,
  options: AmdOptions,
): (name: AmdName, chainOfAuthority: readonly Uint8Array[]) => Promise<CollateralItem> {
  const base = baseUrl(options.url ?? amdService)
  return async (name, chainOfAuthority) => {
    const max = name.kind === 'amd-ask' ? 4 * chainCertificateSizeMax : bodySizeMax[name.kind]
    const { body } = await request(http, { url: new URL(pathOf(name), base), bodySizeMax: max })
    if (name.kind === 'amd-ask') {
      const [ask, ark] = chainOf(body)
      return { name, body: ask, chain: [ark] }
    }
    if (chainOfAuthority.length !== 2)
      throw new Failure<FetchCode>('collateral/content', 'the authority of the document is not at hand')
    return { name, body, chain: name.kind === 'amd-crl' ? chainOfAuthority.slice(1) : chainOfAuthority }
  }
}
