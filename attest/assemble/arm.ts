import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import { spkiPrefix } from '#attest/cca/layout.js'
import { attempt } from '#attest/pool.js'
import { fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'

const prefixes = Object.values(spkiPrefix)

/** The public key that a file holds, PEM or DER, on a curve that platforms sign with; null for any other file. */
function publicKeyOf(bytes: Uint8Array): Uint8Array | null {
  const [found] = attempt(() => parsePem(fromUtf8(bytes), 'PUBLIC KEY', 1)) ?? [bytes]
  const head = toHex(found!.subarray(0, 32))
  return prefixes.some((prefix) => head.startsWith(prefix)) ? found! : null
}

/** The token with the key of its platform from the pool. Whether it is that key, and one that counts, is verified later. */
export const assembleCca: Assembler = ({ bytes, title }, pool) => {
  const wanted = new Wanted()
  const key = pool.others.map((file) => publicKeyOf(file.bytes)).find((one) => one !== null)
  const platformKey = wanted.take(key ?? undefined, 'the public key of the platform (PEM or DER)')
  wanted.done(title)
  return { kind: 'cca', token: toBase64(bytes), platformKey }
}
