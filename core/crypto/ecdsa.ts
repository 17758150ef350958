import type { CryptoCode } from '#core/crypto/failures.js'
import { Failure } from '#core/failure.js'

/** SEQUENCE { r, s } of a raw r||s signature on a curve of 32 or 48 bytes. source: RFC 3279, "ECDSA Signature Algorithm" */
export function ecdsaRawToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const out = new Uint8Array(raw.length + 8)
  let at = 2
  for (let end = half; end <= raw.length; end += half) {
    let from = end - half
    while (from < end - 1 && raw[from] === 0) from++
    const sign = raw[from]! >> 7 // a byte of zeros before what would be negative
    out[at++] = 0x02
    out[at++] = sign + end - from
    at += sign
    while (from < end) out[at++] = raw[from++]!
  }
  out[0] = 0x30
  out[1] = at - 2
  return out.subarray(0, at)
}

/** The raw r||s of a strictly DER encoded signature; `size` is that of one of them (32, 48). @throws crypto/signature */
export function ecdsaDerToRaw(der: Uint8Array, size: 32 | 48): Uint8Array {
  const refuse = () => new Failure<CryptoCode>('crypto/signature', 'signature is not a DER sequence of two integers')
  if (der.length < 8 || der.length > 2 * size + 8 || der[0] !== 0x30 || der[1] !== der.length - 2) throw refuse()
  const out = new Uint8Array(size * 2)
  let at = 2
  for (let half = size; half <= 2 * size; half += size) {
    const length = der[at + 1]
    const from = at + 2
    if (der[at] !== 0x02 || length === undefined || length === 0 || from + length > der.length) throw refuse()
    const isPadded = length > 1 && der[from] === 0
    if (der[from]! & 0x80 || (isPadded && !(der[from + 1]! & 0x80))) throw refuse() // negative, or a longer spelling
    const count = isPadded ? length - 1 : length
    if (count > size || der[from + length - count] === 0) throw refuse() // too long, or zero
    at = from + length
    for (let i = 1; i <= count; i++) out[half - i] = der[at - i]!
  }
  if (at !== der.length) throw refuse()
  return out
}
