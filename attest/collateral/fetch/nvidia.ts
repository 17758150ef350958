import type { FetchCode } from '#attest/collateral/failures.js'
import { baseUrl, endpointUrl, type HttpOptions, request } from '#attest/collateral/fetch/http.js'
import { bodySizeMax, type CollateralItem } from '#attest/endorsements/item.js'
import type { CollateralName, OcspName } from '#attest/endorsements/names.js'
import { equal, fromBase64, fromHex, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { encodeOcspRequest } from '#core/x509/ocsp-request.js'

/** NVIDIA's RIM and OCSP services, or mirrors of them. */
export interface NvidiaOptions {
  /** default `https://rim.attestation.nvidia.com` */
  readonly rimUrl?: string
  /** default `https://ocsp.ndis.nvidia.com`; asked as it stands, nothing is appended. Never what a certificate names: who is asked is the operator's choice */
  readonly ocspUrl?: string
}

export const nvidiaRimService = 'https://rim.attestation.nvidia.com'
export const nvidiaOcspService = 'https://ocsp.ndis.nvidia.com'

type NvidiaName = Extract<CollateralName, { readonly kind: `nvidia-${string}` }>

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
 * Fetches a reference integrity manifest by its id, or the answer of an OCSP responder on a certificate. What comes is not
 * believed yet: verifyItem says what it is.
 *
 * above   certificates above the one that an answer is about: the responder is asked by them, and does not give them out
 * throws  FetchCode
 * source  NVIDIA Attestation, "RIM Service"; RFC 6960, "OCSP over HTTP"
 */
export function nvidiaSource(
  http: HttpOptions,
  options: NvidiaOptions,
): (name: NvidiaName, above: readonly Uint8Array[]) => Promise<CollateralItem> {
  const rims = baseUrl(options.rimUrl ?? nvidiaRimService)
  const responder = endpointUrl(options.ocspUrl ?? nvidiaOcspService)
  return (name, above) =>
    name.kind === 'nvidia-rim' ? fetchRim(http, rims, name) : fetchAnswer(http, responder, name, above)
}

type RimName = Extract<NvidiaName, { readonly kind: 'nvidia-rim' }>

async function fetchRim(http: HttpOptions, base: URL, name: RimName): Promise<CollateralItem> {
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

async function fetchAnswer(
  http: HttpOptions,
  url: URL,
  name: OcspName,
  above: readonly Uint8Array[],
): Promise<CollateralItem> {
  if (above.length === 0)
    throw content('the certificates above the one that the answer is about are not at hand: ask for it by evidence')
  const answer = await request(http, {
    url,
    bodySizeMax: bodySizeMax['nvidia-ocsp'],
    post: { body: encodeOcspRequest(name), contentType: 'application/ocsp-request' },
    accept: 'application/ocsp-response',
  })
  const type = (answer.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/ocsp-response') throw content(`the answer is ${type.slice(0, 100) || 'of no type'}`)
  return { name, body: answer.body, chain: above }
}
