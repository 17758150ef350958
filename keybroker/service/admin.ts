import { timingSafeEqual } from 'node:crypto'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { verifyAdminJwt } from '#keybroker/kbs/admin-token.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'
import type { Clock } from '#keybroker/ports.js'

const bearerForm = /^Bearer ([A-Za-z0-9_.-]{43,8192})$/i

/** Who may administer what is the operator's own on the KBS route. */
export interface KbsAdmins {
  /** SHA-256 of the text of the admin token, 32 bytes; the token has at least 43 characters of base64url. null: none */
  readonly tokenDigest: Uint8Array | null
  /** keys that sign administrators' tokens, as the protocol's clients send them */
  readonly keys: readonly Ed25519Jwk[]
  /** thumbprint of this broker, which such a token has to name */
  readonly broker: string
  readonly clock: Clock
}

/**
 * Administrators of the KBS route are those who carry the broker's admin token, or one that a key among `keys` signed.
 * They administer resources of the operator's own and nothing else: what owners decide needs owners' signatures.
 */
export function bearerAdmin({ tokenDigest, keys, broker, clock }: KbsAdmins): KbsPorts['authoriseAdmin'] {
  return async (authorization) => {
    const token = bearerForm.exec(authorization ?? '')?.[1]
    if (token === undefined) throw new Failure<KbsCode>('kbs/admin', 'this needs the administrator’s token')
    // Ours has no dots, and a JWT has two: neither can be taken for the other.
    if (token.includes('.')) return verifyAdminJwt(token, keys, broker, clock())
    if (tokenDigest === null || !timingSafeEqual(sha256(utf8(token)), tokenDigest))
      throw new Failure<KbsCode>('kbs/admin', 'this is not the administrator’s token')
  }
}
