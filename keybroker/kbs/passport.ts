import { type SignatureJwk, thumbprintShape } from '#core/crypto/jwk.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { verifyForeignJws } from '#core/jws.js'
import { clockSkewSeconds, KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { kbsTokenProfile } from '#core/wire/kbs-token.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { teeNames } from '#keybroker/kbs/messages.js'
import { parseTeeKey, type TeeKey } from '#keybroker/kbs/tee-key.js'
import { type GuestEvidence, guestEvidence } from '#policies/guest/facts.js'

/** A token of another verifier, one that was named: its word, of which nothing was verified here. */
export interface PassportToken {
  readonly kind: 'passport'
  /** thumbprint of the key that signed */
  readonly verifier: string
  readonly teeKey: TeeKey
  readonly issuedAt: UnixSeconds
  readonly tier: 'none' | 'affirming' | 'warning' | 'contraindicated'
  readonly evidence: GuestEvidence
  /** as they were signed */
  readonly claims: Json
}

/** A head of a request carries tokens of many devices, which are far larger than ours. */
export const passportSizeMax = 250 * KiB
/** From issue to expiry: longer than any that is deployed. */
const lifetimeSecondsMax = 3600
const verifiersMax = 8
const submodsMax = 64

type Members = { readonly [name: string]: Json }

function refuse(message: string, cause?: unknown): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/token', message, { cause })
}

function object(value: Json | undefined, what: string): Members {
  if (value === null || value === undefined || typeof value !== 'object' || Array.isArray(value))
    throw refuse(`${what} of the token is no object`)
  return value as Members
}

function seconds(value: Json | undefined, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw refuse(`${what} is no time`)
  return value
}

/**
 * The keys of verifiers whose tokens are taken: ES256, as deployed verifiers sign, or EdDSA, as ours do; no two alike.
 * RSA is refused where it is configured, not when the first guest comes.
 *
 * throws  kbs/token
 */
export function verifyVerifiers(keys: readonly SignatureJwk[]): void {
  if (keys.length > verifiersMax) throw refuse(`${keys.length} verifiers are named, at most ${verifiersMax}`)
  const distinct = new Set(keys.map((key) => JSON.stringify(canonicalJson(key))))
  if (distinct.size !== keys.length) throw refuse('a verifier is named twice')
}

const at = (claims: Json | undefined, ...path: readonly string[]): Json | undefined => {
  let value = claims
  for (const name of path) {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || !Object.hasOwn(value, name)) return
    value = (value as Members)[name]
  }
  return value
}

/**
 * Where the guest's key stands in tokens, in the order in which the reference server looks, and where RFC 7800 has it. They
 * all have to say the same: a second key would be somebody else's.
 *
 * source  trustee kbs/src/token/mod.rs; RFC 7800, "Representation of an Asymmetric Proof-of-Possession Key"
 */
const keyPlaces: readonly (readonly string[])[] = [
  ['tdx', 'attester_runtime_data', 'tee-pubkey'],
  ['tdx', 'attester_user_data', 'tee-pubkey'],
  ['customized_claims', 'runtime_data', 'tee-pubkey'],
  ['submods', 'cpu0', 'ear.veraison.annotated-evidence', 'runtime_data_claims', 'tee-pubkey'],
  ['tee-pubkey'],
  ['cnf', 'jwk'],
]

function teeKeyOf(claims: Members): TeeKey {
  const keys = keyPlaces.flatMap((path) => {
    const found = at(claims, ...path)
    return found === undefined ? [] : [parseTeeKey(found)]
  })
  const [key, ...more] = keys
  if (key === undefined) throw refuse('the token names no key of its guest: anybody could have brought it')
  if (more.some((other) => JSON.stringify(other) !== JSON.stringify(key)))
    throw refuse('the token names two keys of its guest')
  return key
}

const ranks = ['affirming', 'warning', 'contraindicated', 'none'] as const

/** The worst of all parts: a device that is not affirmed is not left out. */
function tierOf(submods: Members): PassportToken['tier'] {
  const parts = Object.entries(submods)
  if (parts.length > submodsMax) throw refuse(`the token has ${parts.length} parts, at most ${submodsMax}`)
  const found = parts.map(([name, part]) => {
    const rank = ranks.indexOf(object(part, name)['ear.status'] as (typeof ranks)[number])
    if (rank < 0) throw refuse(`the status of ${name} is none that is known`)
    return rank
  })
  return ranks[Math.max(...found)]!
}

function evidenceOf(submods: Members, isSimulated: boolean): GuestEvidence {
  const about = object(object(submods.cpu0, 'cpu0')['ear.veraison.annotated-evidence'], 'annotated evidence')
  const named = teeNames.filter((name) => Object.hasOwn(about, name))
  const [tee] = named
  if (tee === undefined || named.length !== 1) throw refuse('the token names not exactly one kind of TEE')
  const initData = about.init_data
  return guestEvidence({
    tee,
    platform: isSimulated || tee === 'sample' || tee === 'sampledevice' ? 'simulated' : 'vouched',
    claims: about[tee]!,
    initData: typeof initData === 'string' && /^[0-9a-f]{64,128}$/.test(initData) ? initData : null,
  })
}

/**
 * A token that one of the named verifiers signed, for this broker or for anybody, current at `now` give or take 60 s, which
 * names the key of its guest.
 *
 * keys    of the verifiers that the operator named: a key that a token brings along is compared with them, never used
 * own     thumbprint of this broker
 * throws  kbs/token, kbs/tee-key
 * source  trustee kbs/src/token/mod.rs and attestation-service/src/ear_token; RFC 8725
 */
export async function verifyPassport(
  token: string,
  keys: readonly SignatureJwk[],
  own: string,
  now: UnixSeconds,
): Promise<PassportToken> {
  if (token.length > passportSizeMax) throw refuse(`token has ${token.length} characters, at most ${passportSizeMax}`)
  try {
    const { signer, payload } = await verifyForeignJws(token, keys, 'token')
    const claims = object(parseJson(payload), 'payload')
    if (claims.eat_profile !== kbsTokenProfile) throw refuse('the token is of another profile')
    if (claims.aud !== undefined && ![claims.aud].flat().includes(own)) throw refuse('the token is for somebody else')
    const issuedAt = seconds(claims.iat, 'iat')
    const expiresAt = seconds(claims.exp, 'exp')
    const from = claims.nbf === undefined ? issuedAt : seconds(claims.nbf, 'nbf')
    if (Math.max(from, issuedAt) > now + clockSkewSeconds || now >= expiresAt + clockSkewSeconds)
      throw refuse(`token is valid from ${from} until ${expiresAt}`)
    if (expiresAt - issuedAt > lifetimeSecondsMax) throw refuse(`token lasts longer than ${lifetimeSecondsMax} s`)
    const submods = object(claims.submods, 'submods')
    const isSimulated = claims.claviger_hardware === 'NOT HARDWARE'
    return {
      kind: 'passport',
      verifier: thumbprintShape(signer, 'signer'),
      teeKey: teeKeyOf(claims),
      issuedAt,
      tier: tierOf(submods),
      evidence: evidenceOf(submods, isSimulated),
      claims,
    }
  } catch (error) {
    if (!isFailure(error) || error.code === 'kbs/token') throw error
    throw refuse(`token: ${error.message}`, error)
  }
}
