import { toBase64Url } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { challengeSeconds, challengesMax } from '#core/limits.js'
import { apiVersion, type Challenge } from '#core/wire/release.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'

/**
 * A nonce that waits for evidence about one model, for one use within two minutes.
 *
 * It is given out whether or not the model is known: what is registered here is not for everyone to find out.
 * throws  broker/challenges, database/...
 */
export async function challenge(broker: Broker, model: string): Promise<Challenge> {
  const at = broker.clock()
  if ((await broker.store.countNonces(at)) >= challengesMax) {
    throw new Failure<BrokerCode>('broker/challenges', `${challengesMax} challenges wait for an answer`)
  }
  const nonce = broker.random(32)
  const expiresAt = at + challengeSeconds
  await broker.store.storeNonce(nonce, model, expiresAt)
  return { version: apiVersion, broker: broker.signer.id, nonce: toBase64Url(nonce), expiresAt }
}
