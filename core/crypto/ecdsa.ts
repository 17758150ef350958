import { concat, isZero } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'

function derInteger(raw: Uint8Array): Uint8Array {
  let at = 0
  while (at < raw.length - 1 && raw[at] === 0) at++
  const body = raw[at]! & 0x80 ? concat(new Uint8Array(1), raw.subarray(at)) : raw.subarray(at)
  return concat(new Uint8Array([0x02, body.length]), body)
}

/** SEQUENCE { r, s } of a raw r||s signature on a curve of 32 or 48 bytes. source: RFC 3279, "ECDSA Signature Algorithm" */
export function ecdsaRawToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const body = concat(derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half)))
  return concat(new Uint8Array([0x30, body.length]), body)
}

/** The raw r||s of a strictly DER encoded signature; `size` is that of one of them (32, 48). @throws crypto/signature */
export function ecdsaDerToRaw(der: Uint8Array, size: 32 | 48): Uint8Array {
  const refuse = () => new Failure<CryptoCode>('crypto/signature', 'signature is not a DER sequence of two integers')
  if (der.length < 8 || der.length > 2 * size + 8 || der[0] !== 0x30 || der[1] !== der.length - 2) throw refuse()
  const out = new Uint8Array(size * 2)
  let at = 2
  for (const target of [0, size]) {
    const length = der[at + 1]
    if (der[at] !== 0x02 || length === undefined || length === 0 || at + 2 + length > der.length) throw refuse()
    const body = der.subarray(at + 2, at + 2 + length)
    const padded = body.length > 1 && body[0] === 0
    if (body[0]! & 0x80 || (padded && !(body[1]! & 0x80))) throw refuse() // negative, or a longer spelling
    const value = padded ? body.subarray(1) : body
    if (value.length > size || isZero(value)) throw refuse()
    out.set(value, target + size - value.length)
    at += 2 + length
  }
  if (at !== der.length) throw refuse()
  return out
}
