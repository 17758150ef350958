import { type CryptoKey, compactVerify, importJWK, type JWK } from 'jose'
import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { bearerTokenSizeMax, clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { AccessProof } from '#core/wire/access-list.js'
import type { AccessCode } from '#keybroker/access/failures.js'

/** Signatures with public keys alone. Symmetric ones would make whoever can verify a token an issuer of them. */
const algorithms: Readonly<Record<string, { readonly kty: string; readonly crv?: string }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
}
/** Identity and access tokens. Others, such as logout and security event tokens, say something else than who asks. */
const types = ['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']
/** A token counts for a day at most, whatever its issuer says: what is longer belongs into an API key, which can be revoked. */
const lifetimeMax = 86_400

type Members = { readonly [name: string]: Json }

/** A token that is of the form and within its time. Nothing in it is shown to be true yet. */
export interface ClaimedToken {
  readonly text: string
  readonly algorithm: string
  readonly keyId: string | null
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly claims: Members
}

function refuse(code: AccessCode, message: string, cause?: unknown): Failure<AccessCode> {
  return new Failure<AccessCode>(code, message, { cause, detail: { hint: hints[code] ?? null } })
}

const hints: { readonly [code: string]: string } = {
  'access/token-form': 'send the identity or access token that your issuer gave you, whole and unchanged',
  'access/token-algorithm': `have the issuer sign with one of ${Object.keys(algorithms).join(', ')}`,
  'access/token-time': 'get a new token from its issuer; when it is new, compare the clocks',
}

/**
 * The token as it speaks of itself, when it has the form, an algorithm of ours and its time. All of this holds or fails
 * for every tenant alike, so that saying so tells nothing about any.
 *
 * throws  access/token-form, access/token-algorithm, access/token-time
 * source  RFC 7519, "Validating a JWT"; RFC 8725, "Perform Algorithm Verification", "Use Explicit Typing"
 */
export function readToken(text: string, at: UnixSeconds): ClaimedToken {
  const parts = text.length > bearerTokenSizeMax ? [] : text.split('.', 4)
  if (parts.length !== 3) throw refuse('access/token-form', 'bearer token is not a signed token of three parts')
  const header = readPart(parts[0]!, 'header')
  const claims = readPart(parts[1]!, 'payload')
  const { algorithm, keyId } = readHeader(header)
  verifyTimes(claims, at)
  const { iss, aud } = claims
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one) => typeof one === 'string')
  if (typeof iss !== 'string' || audiences.length === 0)
    throw refuse('access/token-form', 'bearer token names no issuer or no audience')
  return { text, algorithm, keyId, issuer: iss, audiences, claims }
}

function readPart(part: string, what: string): Members {
  try {
    const value = parseJson(fromBase64Url(part), bearerTokenSizeMax)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Members
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('access/token-form', `${what} of the bearer token: ${cause.message}`, cause)
  }
  throw refuse('access/token-form', `${what} of the bearer token is not an object`)
}

function readHeader(header: Members): { readonly algorithm: string; readonly keyId: string | null } {
  const { alg, typ, kid } = header
  if (typeof alg !== 'string' || !Object.hasOwn(algorithms, alg))
    throw refuse('access/token-algorithm', 'bearer token is signed with an algorithm that is not taken here')
  if (typ !== undefined && !(typeof typ === 'string' && types.includes(typ.toLowerCase())))
    throw refuse('access/token-form', 'bearer token is neither an identity token nor an access token')
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 200))
    throw refuse('access/token-form', 'bearer token names its key in a form that is none')
  // A key that comes along with what it signed proves nothing, and what is critical must be understood.
  const known = ['alg', 'typ', 'kid', 'x5t', 'x5t#S256', 'cty', 'nonce']
  const other = Object.keys(header).find((name) => !known.includes(name))
  if (other !== undefined)
    throw refuse('access/token-form', 'header of the bearer token has a member that is not taken')
  return { algorithm: alg, keyId: kid ?? null }
}

/** By the broker's clock, with a minute to either side. */
function verifyTimes({ exp, nbf, iat }: Members, at: UnixSeconds): void {
  const isTime = (value: Json | undefined): value is number => typeof value === 'number' && Number.isSafeInteger(value)
  if (!isTime(exp) || !isTime(iat) || !(nbf === undefined || isTime(nbf)))
    throw refuse('access/token-time', 'bearer token does not say in whole seconds when it was issued and when it ends')
  if (at >= exp + clockSkewSeconds) throw refuse('access/token-time', `bearer token ended at ${exp}, it is ${at}`)
  if (at < iat - clockSkewSeconds) throw refuse('access/token-time', `bearer token was issued at ${iat}, it is ${at}`)
  if (nbf !== undefined && at < nbf - clockSkewSeconds)
    throw refuse('access/token-time', `bearer token begins at ${nbf}, it is ${at}`)
  if (exp - iat > lifetimeMax)
    throw refuse('access/token-time', `bearer token counts for ${exp - iat} s, at most ${lifetimeMax}`)
}

/** Whether the token speaks of an identity: issuer, audience, and subject and claims, all letter for letter. */
export function speaksOf(token: ClaimedToken, proof: AccessProof): boolean {
  if (proof.kind !== 'oidc' || token.issuer !== proof.issuer || !token.audiences.includes(proof.audience)) return false
  if (proof.subject !== null && token.claims.sub !== proof.subject) return false
  return proof.claims.every(({ name, value }) => {
    const claim = Object.hasOwn(token.claims, name) ? token.claims[name] : undefined
    return claim === value || (Array.isArray(claim) && claim.includes(value))
  })
}

/**
 * Whether one of the issuer's keys signed the token: the one that it names, or the only one that fits where it names none.
 *
 * keys     of the issuer's JWK set, as they came
 * returns  `key-unknown` when no one key is the one: there may be a newer set
 */
export async function signatureOf(
  token: ClaimedToken,
  keys: readonly Json[],
): Promise<'signed' | 'not-signed' | 'key-unknown'> {
  const fitting = keys.flatMap((key) => publicKeyOf(key, token) ?? [])
  if (fitting.length !== 1) return 'key-unknown'
  try {
    const key = (await importJWK(fitting[0]!, token.algorithm)) as CryptoKey
    const { payload } = await compactVerify(token.text, key, { algorithms: [token.algorithm] })
    // Invariant: the claims that were read are the bytes that were signed.
    return toBase64Url(payload) === token.text.split('.')[1] ? 'signed' : 'not-signed'
  } catch {
    // Whatever the library objects to, a key of too few bits included: nothing was shown to be signed.
    return 'not-signed'
  }
}

/** The public members of a key for this token; null for one of another name, kind or use, and for anything with a secret. */
function publicKeyOf(key: Json, { algorithm, keyId }: ClaimedToken): JWK | null {
  if (key === null || typeof key !== 'object' || Array.isArray(key)) return null
  const { kty, crv, kid, use, alg, n, e, x, y } = key as Members
  const wanted = algorithms[algorithm]!
  const isNamed = keyId === null || kid === keyId
  const isForIt = (use === undefined || use === 'sig') && (alg === undefined || alg === algorithm)
  if (!isNamed || !isForIt || kty !== wanted.kty || (wanted.crv !== undefined && crv !== wanted.crv)) return null
  const members = kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x }
  return Object.values(members).every((one) => typeof one === 'string') ? (members as JWK) : null
}
