import type { FetchCode } from '#attest/collateral/failures.js'
import { baseUrl, type HttpOptions, request } from '#attest/collateral/fetch/http.js'
import { bodySizeMax, type CollateralItem } from '#attest/endorsements/item.js'
import type { CollateralName } from '#attest/endorsements/names.js'
import { equal, fromBase64, fromHex, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'

/** NVIDIA's RIM and OCSP services, or mirrors of them. */
export interface NvidiaOptions {
  /** default `https://rim.attestation.nvidia.com` */
  readonly rimUrl?: string
}

export const nvidiaRimService = 'https://rim.attestation.nvidia.com'

type NvidiaName = Extract<CollateralName, { readonly kind: 'nvidia-rim' }>

function content(message: string, cause?: unknown): Failure<FetchCode> {
  return new Failure<FetchCode>('collateral/content', message, { cause })
}

/** The service's answer: `id`, `rim` in base64 and its `sha256`; other members are not read. */
function rimOf(body: Uint8Array, id: string): Uint8Array {
  const answer = parseJson(body) as { readonly [name: string]: Json } | null
  const { id: named, rim, sha256: digest } = answer ?? {}
  if (named !== id) throw content(`the answer is about another RIM than ${id}`)
  if (typeof rim !== 'string') throw content('the answer holds no RIM')
  const bytes = fromBase64(rim)
  // A transport check of the service's own; what is believed is the signature inside the RIM.
  if (typeof digest === 'string' && !equal(sha256(bytes), fromHex(digest.toLowerCase(), 32)))
    throw content(`the RIM has SHA-256 ${toHex(sha256(bytes))}, the answer says another`)
  return bytes
}

/**
 * Fetches a reference integrity manifest by its id. What comes is not believed yet: verifyItem says what it is.
 *
 * throws  FetchCode
 * source  NVIDIA Attestation, "RIM Service"
 */
export function nvidiaSource(http: HttpOptions, options: NvidiaOptions): (name: NvidiaName) => Promise<CollateralItem> {
  const base = baseUrl(options.rimUrl ?? nvidiaRimService)
  return async (name) => {
    // JSON around base64.
    const sizeMax = 2 * bodySizeMax['nvidia-rim']
    const answer = await request(http, { url: new URL(`v1/rim/${name.id}`, base), bodySizeMax: sizeMax })
    try {
      return { name, body: rimOf(answer.body, name.id), chain: [] }
    } catch (cause) {
      if (!isFailure(cause) || cause.code === 'collateral/content') throw cause
      throw content('the answer is no RIM in JSON', cause)
    }
  }
}

const ocspSizeMax = 16 * KiB

/**
 * The answer of an OCSP responder to a request in DER, not believed yet.
 *
 * throws  FetchCode
 * source  RFC 6960, "OCSP over HTTP"
 */
export async function fetchOcsp(http: HttpOptions, url: string, requestDer: Uint8Array): Promise<Uint8Array> {
  const answer = await request(http, {
    url: baseUrl(url),
    bodySizeMax: ocspSizeMax,
    post: { body: requestDer, contentType: 'application/ocsp-request' },
    accept: 'application/ocsp-response',
  })
  const type = (answer.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/ocsp-response') throw content(`the answer is ${type.slice(0, 100) || 'of no type'}`)
  return answer.body
}
