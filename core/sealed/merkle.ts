import { concat } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'

const leafPrefix = new Uint8Array([0])
const nodePrefix = new Uint8Array([1])

/** The Merkle tree hash of a list of entries, at least one. source: RFC 6962, "Merkle Hash Trees" */
export function merkleRoot(entries: readonly Uint8Array[]): Uint8Array {
  let level = entries.map((entry) => sha256(concat(leafPrefix, entry)))
  // Pairing from the left, an odd one out moving up, is the same tree as splitting at the largest power of two.
  while (level.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i + 1 < level.length; i += 2) next.push(sha256(concat(nodePrefix, level[i]!, level[i + 1]!)))
    if (level.length % 2 === 1) next.push(level[level.length - 1]!)
    level = next
  }
  return level[0]!
}
