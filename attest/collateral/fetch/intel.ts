import type { FetchCode } from '#attest/collateral/failures.js'
import { baseUrl, type HttpAnswer, type HttpOptions, request } from '#attest/collateral/fetch/http.js'
import { bodySizeMax, type CollateralItem } from '#attest/endorsements/item.js'
import type { CollateralName } from '#attest/endorsements/names.js'
import { fromHex, fromUtf8 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'

/** Intel's Provisioning Certification Service, or a caching service (PCCS) that mirrors it. */
export interface IntelOptions {
  /** default `https://api.trustedservices.intel.com` */
  readonly url?: string
  /** default: Intel's for Intel's service, `sgx/certification/v4/rootcacrl` of a mirror */
  readonly rootCrlUrl?: string
  /** DER of the root certificate that the CRL of the root stands under */
  readonly rootCertificate: Uint8Array
}

export const intelService = 'https://api.trustedservices.intel.com'
const intelRootCrl = 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der'
/** A chain in a response header: two certificates of about 1 KiB, URL-encoded. */
const chainHeaderSizeMax = 16 * 1024

type IntelName = Extract<CollateralName, { readonly kind: `intel-${string}` }>

function content(message: string, cause?: unknown): Failure<FetchCode> {
  return new Failure<FetchCode>('collateral/content', message, { cause })
}

/** What is asked for, and in which header the certificates above it come. */
function queryOf(name: Exclude<IntelName, { kind: 'intel-root-crl' }>): readonly [path: string, header: string] {
  switch (name.kind) {
    case 'intel-pck-crl':
      return [`sgx/certification/v4/pckcrl?ca=${name.ca}&encoding=der`, 'SGX-PCK-CRL-Issuer-Chain']
    case 'intel-tcb-info':
      return [`${name.tee}/certification/v4/tcb?fmspc=${name.fmspc}`, 'TCB-Info-Issuer-Chain']
    case 'intel-qe-identity':
      return [`${name.tee}/certification/v4/qe/identity`, 'SGX-Enclave-Identity-Issuer-Chain']
  }
}

function chainOf(answer: HttpAnswer, header: string): readonly Uint8Array[] {
  const text = answer.header(header)
  if (text === null) throw content(`the answer has no ${header}`)
  if (text.length > chainHeaderSizeMax) throw content(`${header} has ${text.length} characters`)
  try {
    return parsePem(decodeURIComponent(text), 'CERTIFICATE', 2)
  } catch (cause) {
    if (!isFailure(cause) && !(cause instanceof URIError)) throw cause
    throw content(`${header} is no URL-encoded chain`, cause)
  }
}

/** Intel's service gives the CRL of the root out as DER, mirrors as hex, some as PEM. */
function crlOf(body: Uint8Array): Uint8Array {
  if (body[0] === 0x30) return body // text begins with a digit 3, a quotation mark or a dash
  try {
    const text = fromUtf8(body).trim()
    if (text.startsWith('-----BEGIN')) return parsePem(text, 'X509 CRL', 1)[0]!
    return fromHex(text.replaceAll('"', '').toLowerCase())
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw content('the answer is no CRL', cause)
  }
}

/**
 * Fetches what Intel signs, from its service or a mirror. What comes is not believed yet: verifyItem says what it is.
 *
 * throws  FetchCode
 * source  Intel PCS API version 4; Intel PCCS design guide, "API of PCCS"
 */
export function intelSource(http: HttpOptions, options: IntelOptions): (name: IntelName) => Promise<CollateralItem> {
  const base = baseUrl(options.url ?? intelService)
  const isIntels = base.href === `${intelService}/`
  const rootCrlUrl = new URL(
    options.rootCrlUrl ?? (isIntels ? intelRootCrl : new URL('sgx/certification/v4/rootcacrl', base).href),
  )
  return async (name) => {
    const max = bodySizeMax[name.kind]
    if (name.kind === 'intel-root-crl') {
      // In hex it is twice as long.
      const { body } = await request(http, { url: rootCrlUrl, bodySizeMax: 2 * max + 2 })
      return { name, body: crlOf(body), chain: [options.rootCertificate] }
    }
    const [path, header] = queryOf(name)
    const answer = await request(http, { url: new URL(path, base), bodySizeMax: max })
    const body = name.kind === 'intel-pck-crl' ? crlOf(answer.body) : answer.body
    return { name, body, chain: chainOf(answer, header) }
  }
}
