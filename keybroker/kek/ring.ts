import { Failure } from '#core/failure.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'

/** The key-encryption keys of a broker: one wraps, and while rows are wrapped again the one before is there to read. */
export interface KekRing extends OpenKek {
  /** of every key that is open, the one that wraps first */
  readonly keyIds: readonly string[]
}

/**
 * `current` wraps, and each of them unwraps what it wrapped. They are the ring's from now on, and closed with it.
 *
 * throws  kek/setting when two of them are the same key; they are closed then
 */
export async function kekRing(current: OpenKek, previous: readonly OpenKek[] = []): Promise<KekRing> {
  const all = [current, ...previous]
  const close = async () => {
    for (const one of all) await one.close()
  }
  const byId = new Map(all.map((one) => [one.keyId, one]))
  if (byId.size !== all.length) {
    await close()
    const hint = 'name the key that was used before in --kek-previous, or leave it out'
    throw new Failure<KekCode>('kek/setting', 'one key-encryption key is named twice', { detail: { hint } })
  }
  return {
    ...current,
    keyIds: [...byId.keys()],
    // A row that names no open key is refused by the current one, which tells both ids.
    unwrapDek: (wrapped, aad, keyId) => (byId.get(keyId) ?? current).unwrapDek(wrapped, aad, keyId),
    verifyProtected() {
      for (const one of all) one.verifyProtected()
    },
    close,
  }
}
