import { fromBase64Url } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { Writer } from '#core/bytes/writer.js'
import { suiteIds } from '#core/crypto/hpke.js'
import { type X25519Jwk, x25519ToJwk } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of reading key configurations. */
export type KeyConfigCode =
  /** not a list of key configurations, or not exactly one of a suite that is spoken here */
  'ohttp/key-config'

export const keyConfigType = 'application/ohttp-keys'
/** The key identifier of a node's request key: a node has one at a time, and the attested keyset says which. */
export const requestKeyId = 1

const refuse = (message: string, cause?: unknown) =>
  new Failure<KeyConfigCode>('ohttp/key-config', message, cause === undefined ? {} : { cause })

/**
 * The document of a node's one key configuration: its length, then the configuration.
 *
 * source  RFC 9458, "Key Configuration", "Key Configuration Media Type"
 */
export function encodeKeyConfigs(key: X25519Jwk): Uint8Array {
  const suites = new Writer().u16be(suiteIds.kdf).u16be(suiteIds.aead).done()
  const config = new Writer()
    .u8(requestKeyId)
    .u16be(suiteIds.kem)
    .bytes(fromBase64Url(key.x, 32))
    .u16be(suites.length)
    .bytes(suites)
    .done()
  return new Writer().u16be(config.length).bytes(config).done()
}

function parseKeyConfig(config: Uint8Array): X25519Jwk | null {
  const reader = new Reader(config)
  const id = reader.u8()
  // Only the length of a configuration of another KEM is known: it is passed over, as RFC 9458 wants.
  if (reader.u16be() !== suiteIds.kem) return null
  const key = reader.bytes(32)
  const suites = new Reader(reader.bytes(reader.u16be()))
  reader.end()
  if (suites.left === 0 || suites.left % 4 !== 0) throw refuse('suites are not pairs of numbers')
  let spoken = false
  while (suites.left > 0) {
    const [kdf, aead] = [suites.u16be(), suites.u16be()]
    spoken ||= kdf === suiteIds.kdf && aead === suiteIds.aead
  }
  return spoken && id === requestKeyId ? x25519ToJwk(key) : null
}

/**
 * The key of the one configuration in the document that is ours. It is a hint: a client seals to the key in the
 * attested keyset and to no other.
 *
 * throws  ohttp/key-config
 */
export function parseKeyConfigs(document: Uint8Array): X25519Jwk {
  try {
    const reader = new Reader(document)
    const keys: X25519Jwk[] = []
    for (let i = 0; reader.left > 0; i++) {
      if (i === 16) throw refuse('more than 16 key configurations')
      const key = parseKeyConfig(reader.bytes(reader.u16be()))
      if (key !== null) keys.push(key)
    }
    if (keys.length !== 1) throw refuse(`${keys.length} configurations are ours, expected 1`)
    return keys[0]!
  } catch (error) {
    if (isFailure(error) && error.code.startsWith('bytes/')) {
      throw refuse('key configuration is cut or has bytes behind its end', error)
    }
    throw error
  }
}
