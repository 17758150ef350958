import { fromUtf8, toBase64, utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { json, nullable, object, optional, type Shape, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { parseTeeKey, type TeeKey } from '#keybroker/kbs/tee-key.js'

/** The one version that is spoken: no other is negotiated. */
export const kbsVersion = '0.4.0'
export const messageSizeMax = 2 * MiB

/** Kinds of TEE that the protocol knows. source: kbs-types, enum Tee */
export const teeNames = [
  'az-snp-vtpm',
  'az-tdx-vtpm',
  'nvidia',
  'nvidia-dpu',
  'sgx',
  'snp',
  'tdx',
  'cca',
  'csv',
  'se',
  'hygondcu',
  'tpm',
  'sample',
  'sampledevice',
] as const
type TeeName = (typeof teeNames)[number]

const devices = 'it is about a device, which says nothing of the machine that asked it'
const unsigned = 'nobody signs it'
const unknown = 'no verifier of it is built in'
/** Why evidence of a kind is refused as primary evidence; null where it is verified. */
const refusals = {
  snp: null,
  tdx: null,
  sgx: null,
  'az-snp-vtpm': null,
  'az-tdx-vtpm': null,
  cca: 'a token comes without the key of its platform, and no maker has published one',
  nvidia: devices,
  'nvidia-dpu': devices,
  hygondcu: devices,
  sampledevice: devices,
  sample: unsigned,
  tpm: 'a TPM alone says nothing of memory',
  csv: unknown,
  se: unknown,
} as const satisfies Readonly<Record<TeeName, string | null>>

/** Kinds that this broker verifies as primary evidence. */
export type VerifiedTee = {
  [T in TeeName]: (typeof refusals)[T] extends null ? T : never
}[TeeName]
/** Kinds that are taken: those, and where development allows it the protocol's sample, which proves nothing. */
export type AcceptedTee = VerifiedTee | 'sample'
const isVerified = (tee: TeeName): tee is VerifiedTee => refusals[tee] === null

export interface KbsRequest {
  readonly tee: AcceptedTee
}

export interface KbsAttestation {
  readonly nonce: string
  readonly teeKey: TeeKey
  /** the text of the TOML document, or null when the guest was started with none */
  readonly initData: string | null
  readonly primaryEvidence: Json
  /** exactly as it came: it is hashed as text */
  readonly additionalEvidence: string
}

function parsed<T>(bytes: Uint8Array, shape: Shape<T>, what: string): T {
  try {
    return shape(parseJson(bytes, messageSizeMax), '')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/message', `${what}: ${error.message}`, { cause: error })
  }
}

const requestShape = object({
  version: string({ max: 32 }),
  tee: string({ max: 32 }),
  // Any value, an object or "": but it must be there, as the reference client and server both insist.
  'extra-params': json,
})

/**
 * The opening message of a handshake.
 *
 * throws  kbs/message, kbs/version for every version but 0.4.0, kbs/tee
 * source  kbs-protocol.md of trustee, "Request"
 */
export function parseRequest(bytes: Uint8Array, allowSample = false): KbsRequest {
  const { version, tee } = parsed(bytes, requestShape, 'request')
  if (version !== kbsVersion) {
    throw new Failure<KbsCode>('kbs/version', `protocol version is ${JSON.stringify(version)}, expected ${kbsVersion}`)
  }
  const name = teeNames.find((one) => one === tee)
  if (name === undefined) throw new Failure<KbsCode>('kbs/tee', `there is no TEE called ${JSON.stringify(tee)}`)
  return { tee: acceptedTee(name, allowSample) }
}

/** @throws kbs/tee */
export function acceptedTee(name: string, allowSample: boolean): AcceptedTee {
  const tee = teeNames.find((one) => one === name)
  if (tee !== undefined && isVerified(tee)) return tee
  if (tee === 'sample' && allowSample) return tee
  const why = tee === undefined ? 'there is no such TEE' : refusals[tee]
  const message = `evidence of ${JSON.stringify(name)} is not verified here: ${why}; only ${teeNames.filter(isVerified).join(', ')} is`
  throw new Failure<KbsCode>('kbs/tee', message)
}

/** The nonce as text: clients hash the text and never decode it. random 32 bytes */
export function nonceText(random: Uint8Array): string {
  return toBase64(random)
}

/** `extra-params` is the empty string, as the reference server sends it; the client then hashes with SHA-384. */
export function encodeChallenge(nonce: string): string {
  return JSON.stringify({ nonce, 'extra-params': '' })
}

const initDataShape = object({ format: string({ max: 16 }), body: string({ max: MiB }) })
const attestationShape = object({
  'init-data': optional(nullable(initDataShape)),
  'runtime-data': object({ nonce: string(), 'tee-pubkey': json }),
  'tee-evidence': object({ primary_evidence: json, additional_evidence: string({ max: messageSizeMax }) }),
})

// A number that JSON readers round is kept as text: marked, so that no text of the sender's can pass for one.
const mark = '\ue000'
const bigNumber = /(?<![\w.+-])[1-9]\d{15,19}(?![\w.+-])/g

function markBigNumbers(text: string): string {
  return text.replace(bigNumber, (token) =>
    BigInt(token) <= BigInt(Number.MAX_SAFE_INTEGER) ? token : `"${mark}${token}"`,
  )
}

/** Index behind the string that begins at `start`; the text's end when it does not end. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return text.length
    let slashes = 0
    while (text[quote - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return quote + 1
    at = quote + 1
  }
}

/** Whole numbers from 2^53 to 2^64 outside of strings become marked text; `uint64` reads both. In linear time. */
function keepBigNumbers(bytes: Uint8Array): Uint8Array {
  const text = fromUtf8(bytes)
  if (/\ue000|\\ue000/i.test(text)) throw new Failure<KbsCode>('kbs/message', 'text holds a character of private use')
  const out: string[] = []
  for (let at = 0; at < text.length; ) {
    const quote = text.indexOf('"', at)
    const end = quote < 0 ? text.length : quote
    out.push(markBigNumbers(text.slice(at, end)))
    at = quote < 0 ? text.length : endOfString(text, quote)
    if (quote >= 0) out.push(text.slice(quote, at))
  }
  return utf8(out.join(''))
}

/** A whole number of at most 64 bits in a message that parseAttestation read. */
export const uint64: Shape<bigint> = (value, path) => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return BigInt(value)
  if (typeof value === 'string' && value.startsWith(mark)) {
    const number = BigInt(value.slice(1))
    if (number < 2n ** 64n) return number
  }
  throw new Failure<KbsCode>('kbs/evidence', `${path}: expected a whole number of at most 64 bits`)
}

/**
 * The evidence of a handshake. Unknown members are refused, but for those of the key, which are dropped.
 *
 * throws  kbs/message, kbs/tee-key, kbs/init-data for a format other than toml
 * source  kbs-protocol.md of trustee, "Attestation"
 */
export function parseAttestation(bytes: Uint8Array): KbsAttestation {
  if (bytes.length > messageSizeMax) {
    throw new Failure<KbsCode>('kbs/message', `attestation has ${bytes.length} bytes, at most ${messageSizeMax}`)
  }
  let kept: Uint8Array
  try {
    kept = keepBigNumbers(bytes)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/message', `attestation: ${error.message}`, { cause: error })
  }
  const message = parsed(kept, attestationShape, 'attestation')
  const initData = message['init-data'] ?? null
  if (initData !== null && initData.format !== 'toml') {
    throw new Failure<KbsCode>(
      'kbs/init-data',
      `init-data has format ${JSON.stringify(initData.format)}, expected toml`,
    )
  }
  return {
    nonce: message['runtime-data'].nonce,
    teeKey: parseTeeKey(message['runtime-data']['tee-pubkey']),
    initData: initData?.body ?? null,
    primaryEvidence: message['tee-evidence'].primary_evidence,
    additionalEvidence: message['tee-evidence'].additional_evidence,
  }
}

/** The answer to evidence that was accepted. */
export function encodeToken(token: string): string {
  return JSON.stringify({ token })
}
