import { fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { labelled } from '#core/crypto/jwk.js'

/**
 * The name under which a placement knows a platform: SHA-256 of a label, the registry's salt and the id. null for an id that
 * the host hides: zeros are nobody's, and a registry must not know them.
 *
 * id     bytes of a chip id, PPID or device id, lowercase hex
 * salt   of the registry of placements; without it the id could be followed from registry to registry
 */
export function platformName(id: string | null, salt: string): string | null {
  if (id === null || /^(00)*$/.test(id)) return null
  return toHex(sha256(labelled('claviger/platform/v1', utf8(salt), new Uint8Array(1), fromHex(id))))
}
