import type { AttestServiceCode } from '#attest/service/failures.js'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'

/** Returns only for a caller who may ask. @throws attest/unauthorized */
export type Authorize = (authorization: string | undefined) => void

const tokenLengthMax = 512

/** Callers are those who hold one of the tokens, of which only SHA-256 digests are kept. No digest: nobody. */
export function authorizeByToken(digests: readonly Uint8Array[]): Authorize {
  return (authorization) => {
    const token = /^Bearer ([\x21-\x7e]+)$/i.exec((authorization ?? '').slice(0, tokenLengthMax))?.[1]
    const digest = token === undefined ? undefined : sha256(utf8(token))
    const known = digest !== undefined && digests.filter((one) => equal(one, digest)).length > 0
    if (!known) throw new Failure<AttestServiceCode>('attest/unauthorized', 'no bearer token that is known here')
  }
}
