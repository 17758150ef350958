import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { verifyForeignJws } from '#core/jws.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'

/** The role that a token has to name. */
const adminRole = 'kbs-admin'
/** From now to a token's expiry: who finds an old one finds it useless. */
const lifetimeSecondsMax = 24 * 3600
const tokenSizeMax = 8192

function refuse(message: string, cause?: unknown): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/admin', `administrator’s token: ${message}`, { cause })
}

function time(claims: object, name: string): number | undefined {
  const value = (claims as Record<string, unknown>)[name]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw refuse(`${name} is no time`)
  return value
}

/**
 * Returns only for a JWT that one of the administrators' keys signed with EdDSA, for this broker, in the role
 * `kbs-admin`, which is current at `at`, give or take 60 s, and ends within a day.
 *
 * A token without audience is refused: a broker that was sent one could use it at every other that pins the same key.
 * Members that are not looked at may stand beside, as RFC 7519 has it; the algorithm is the key's, never the header's.
 * broker  thumbprint of this broker's key
 * throws  kbs/admin
 * source  trustee kbs/docs/admin.md; RFC 7519, "Registered Claim Names"; RFC 8725
 */
export async function verifyAdminJwt(
  token: string,
  keys: readonly Ed25519Jwk[],
  broker: string,
  at: UnixSeconds,
): Promise<void> {
  if (token.length > tokenSizeMax) throw refuse(`has ${token.length} characters, at most ${tokenSizeMax}`)
  let claims: unknown
  try {
    claims = parseJson((await verifyForeignJws(token, keys, 'token')).payload)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(error.message, error)
  }
  if (claims === null || typeof claims !== 'object' || Array.isArray(claims)) throw refuse('claims are no object')
  const { role, aud } = claims as Record<string, unknown>
  if (role !== adminRole) throw refuse(`role is not ${adminRole}`)
  if (aud !== broker && !(Array.isArray(aud) && aud.includes(broker)))
    throw refuse(`aud does not name this broker, ${broker}`)
  const expires = time(claims, 'exp')
  if (expires === undefined || at >= expires + clockSkewSeconds) throw refuse('it has expired, or says not when')
  if (expires > at + lifetimeSecondsMax + clockSkewSeconds) throw refuse('it lasts longer than a day')
  for (const name of ['iat', 'nbf']) {
    const from = time(claims, name)
    if (from !== undefined && from > at + clockSkewSeconds) throw refuse(`${name} is in the future`)
  }
}
