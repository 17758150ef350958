import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { type Failure, isFailure } from '#core/failure.js'
import { beMeasured, type LandmarkAddress } from '#runtime/landmark/measure.js'
import type { Timing } from '#runtime/ports.js'

export interface TimingOptions {
  /** names of the landmarks, as the owner's directory has them */
  readonly names: readonly string[]
  /** where they are reached, read anew each time: their owner's directory, and nobody's word about a place, decides what counts */
  addresses(): Promise<readonly LandmarkAddress[]>
  /** for each of them, in ms */
  readonly timeoutMs: number
  /** of a landmark that gave no receipt: the others may be enough */
  onTrouble(failure: Failure): void
}

/** A key of a node that landmarks time. Its private half is made here, and leaves this function by no way but answers. */
export async function openTiming({ names, addresses, timeoutMs, onTrouble }: TimingOptions): Promise<Timing> {
  const { key, pkcs8 } = await generateSigningKey('Ed25519')
  pkcs8.fill(0)
  const receiptOf = async (landmark: LandmarkAddress, ticket: Envelope): Promise<readonly Envelope[]> => {
    try {
      return [await beMeasured({ landmark, ticket, key, timeoutMs })]
    } catch (error) {
      if (!isFailure(error)) throw error
      onTrouble(error)
      return []
    }
  }
  return {
    key: key.publicKey as Ed25519Jwk,
    landmarks: names,
    async beTimed(ticket) {
      const all = await addresses()
      return (await Promise.all(all.map((one) => receiptOf(one, ticket)))).flat()
    },
  }
}
