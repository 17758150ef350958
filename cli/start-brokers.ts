import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import type { VerifiedManifest } from '#core/sealed/manifest.js'
import { ownerOf } from '#core/wire/names.js'
import type { NodeQuorum } from '#runtime/own-values.js'
import type { Broker, SessionEvent } from '#runtime/ports.js'
import { createBrokerClient, fetchBrokerName, fetchTrustStatement } from '#runtime/service/broker-client.js'

/** Failures of naming the brokers of a model. */
export type StartBrokersCode =
  /** several brokers for a key that is whole, one for a key that is split, or one that holds no share */
  'node/brokers'

/** The brokers of a node: of a whole key one, of a split one those that could be called. */
export interface NodeBrokers {
  readonly trust: Envelope
  readonly broker: Broker
  readonly brokers?: ReadonlyMap<string, Broker>
  readonly quorum?: NodeQuorum
}

const refuse = (message: string, hint: string) =>
  new Failure<StartBrokersCode>('node/brokers', message, { detail: { hint } })

/**
 * The brokers that a sealed model's manifest asks for, at the addresses that were typed, and the owner's trust statement that
 * each of them keeps. Which is which is told by their keys; one that does not answer is missing, and is said to be.
 *
 * trust   the owner's trust statement, where the host has it; null to ask for it
 * throws  node/brokers, broker/...
 */
export async function openBrokers(
  urls: readonly string[],
  { model, quorum }: VerifiedManifest,
  trust: Envelope | null,
  report: (event: SessionEvent) => void,
): Promise<NodeBrokers> {
  const owner = ownerOf(model.id)
  if (quorum === undefined) {
    const [url, ...more] = urls
    if (more.length > 0)
      throw refuse('one broker holds the whole key of this model', 'name that one alone: --broker URL')
    return {
      trust: trust ?? (await fetchTrustStatement({ url: url! }, owner)),
      broker: createBrokerClient({ url: url! }),
    }
  }
  const names = quorum.shares.map(({ name }) => name).join(', ')
  if (trust !== null)
    throw refuse('each broker of a split key keeps a trust statement of its own', 'leave out --trust-statement')
  if (urls.length < quorum.threshold)
    throw refuse(
      `${urls.length} brokers for a key of which ${quorum.threshold} have to release a share`,
      `name them all, --broker URL,URL,…: ${names}`,
    )
  const brokers = new Map<string, Broker>()
  const statements = new Map<string, Envelope>()
  await Promise.all(
    urls.map(async (url) => {
      try {
        const broker = await fetchBrokerName({ url })
        if (!quorum.shares.some((one) => one.broker === broker))
          throw refuse(`the broker at ${url} holds no share of this key`, `those that do: ${names}`)
        if (brokers.has(broker)) throw refuse(`${url} is a broker that was named already`, 'name each once')
        brokers.set(broker, createBrokerClient({ url }))
        statements.set(broker, await fetchTrustStatement({ url }, owner))
      } catch (error) {
        if (!isFailure(error) || error.code === ('node/brokers' satisfies StartBrokersCode)) throw error
        report({ kind: 'trouble', failure: new Failure(error.code, `${url}: ${error.message}`, { cause: error }) })
      }
    }),
  )
  const [first] = statements.values()
  const [broker] = brokers.values()
  if (first === undefined || broker === undefined || statements.size < quorum.threshold)
    throw refuse(`${statements.size} brokers answered, ${quorum.threshold} have to`, `those that hold shares: ${names}`)
  return { trust: first, broker, brokers, quorum: { quorum, trust: statements } }
}
