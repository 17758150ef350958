import { Failure } from '#core/failure.js'
import { ownerOf } from '#core/wire/names.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'

/** The key-encryption keys of a broker: one wraps, and while rows are wrapped again the one before is there to read. */
export interface KekRing extends OpenKek {
  /** of every key that is open, the one that wraps first */
  readonly keyIds: readonly string[]
  /** who else can use any of them: an operator who can use one that only reads can read what it wrapped */
  readonly usableBy: OpenKek['holder']
}

/**
 * What was wrapped under a key that was released to evidence goes on to no key of somebody else: else an operator would have
 * approved code wrap every model key again under one that the operator has.
 */
function verifySuccessor(current: OpenKek, previous: readonly OpenKek[]): void {
  const to = current.released === undefined ? null : ownerOf(current.released.model)
  const left = previous.find(({ released }) => released !== undefined && ownerOf(released.model) !== to)
  if (left === undefined) return
  const message = `key ${left.keyId} was released to this broker, and ${current.keyId} is not a key of the same owner`
  const hint =
    'a next key is one of the same owner: keybroker kek seal with the same --keys; any other needs a new broker, at which owners register'
  throw new Failure<KekCode>('kek/holder', message, { detail: { hint } })
}

/**
 * `current` wraps, and each of them unwraps what it wrapped. They are the ring's from now on, and closed with it.
 *
 * throws  kek/setting when two of them are the same key, kek/holder when one is no successor of the other; they are closed then
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
  try {
    verifySuccessor(current, previous)
  } catch (error) {
    await close()
    throw error
  }
  return {
    ...current,
    usableBy: all.some(({ holder }) => holder === 'operator') ? 'operator' : 'broker',
    keyIds: [...byId.keys()],
    // A row that names no open key is refused by the current one, which tells both ids.
    unwrapDek: (wrapped, aad, keyId) => (byId.get(keyId) ?? current).unwrapDek(wrapped, aad, keyId),
    verifyProtected() {
      for (const one of all) one.verifyProtected()
    },
    close,
  }
}
