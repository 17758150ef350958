import { timingSafeEqual } from 'node:crypto'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'

const bearerForm = /^Bearer ([A-Za-z0-9_-]{43,200})$/i

/**
 * Administrators of the KBS route are those who carry the token whose digest this is; null, and there are none.
 * It administers resources of the operator's own and nothing else: what owners decide needs owners' signatures.
 *
 * tokenDigest  SHA-256 of the token's text, 32 bytes; the token has at least 43 characters of base64url
 */
export function bearerAdmin(tokenDigest: Uint8Array | null): KbsPorts['authoriseAdmin'] {
  return async (authorization) => {
    const token = bearerForm.exec(authorization ?? '')?.[1]
    if (tokenDigest === null || token === undefined || !timingSafeEqual(sha256(utf8(token)), tokenDigest)) {
      throw new Failure<KbsCode>('kbs/admin', 'this needs the administrator’s token')
    }
  }
}
