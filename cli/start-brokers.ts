import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import type { VerifiedManifest } from '#core/sealed/manifest.js'
import { ownerOf } from '#core/wire/names.js'
import type { NodeQuorum } from '#runtime/own-values.js'
import type { Broker, FoundBroker, SessionEvent, SessionPorts } from '#runtime/ports.js'
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
  /** of a split key: where each of them is, by its thumbprint */
  readonly urls?: ReadonlyMap<string, string>
  readonly quorum?: NodeQuorum
  /** calls again those addresses of a split key's brokers that did not answer */
  readonly findBrokers?: NonNullable<SessionPorts['findBrokers']>
}

/** A broker that answered, and where. */
interface Callable extends FoundBroker {
  readonly url: string
}

const refuse = (message: string, hint: string) =>
  new Failure<StartBrokersCode>('node/brokers', message, { detail: { hint } })

const namesOf = ({ quorum }: VerifiedManifest) => quorum?.shares.map(({ name }) => name).join(', ')

/** Who a broker of a split key is, by its key, and the owner's trust statement that it keeps. @throws node/brokers, broker/... */
async function callOne(url: string, manifest: VerifiedManifest): Promise<Callable> {
  const id = await fetchBrokerName({ url })
  if (!manifest.quorum?.shares.some((one) => one.broker === id))
    throw refuse(`the broker at ${url} holds no share of this key`, `those that do: ${namesOf(manifest)}`)
  const trust = await fetchTrustStatement({ url }, ownerOf(manifest.model.id))
  return { id, url, broker: createBrokerClient({ url }), trust }
}

/**
 * Calls the addresses that did not answer yet, and adds those that do to `callable`, by their thumbprints.
 *
 * returns  what kept each of the others from being added
 */
async function callAll(urls: readonly string[], manifest: VerifiedManifest, callable: Map<string, Callable>) {
  const known = [...callable.values()].map(({ url }) => url)
  const failures: { readonly url: string; readonly failure: Failure }[] = []
  await Promise.all(
    urls
      .filter((url) => !known.includes(url))
      .map(async (url) => {
        try {
          const one = await callOne(url, manifest)
          if (callable.has(one.id)) throw refuse(`${url} is a broker that was named already`, 'name each once')
          callable.set(one.id, one)
        } catch (failure) {
          if (!isFailure(failure)) throw failure
          failures.push({ url, failure })
        }
      }),
  )
  return failures
}

/**
 * The brokers that a sealed model's manifest asks for, at the addresses that were typed, and the owner's trust statement that
 * each of them keeps. Which is which is told by their keys; one that does not answer is missing, and is said to be.
 *
 * trust   the owner's trust statement, where the host has it; null to ask for it
 * throws  node/brokers, broker/...
 */
export async function openBrokers(
  urls: readonly string[],
  manifest: VerifiedManifest,
  trust: Envelope | null,
  report: (event: SessionEvent) => void,
): Promise<NodeBrokers> {
  const { model, quorum } = manifest
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
  const names = namesOf(manifest)
  if (trust !== null)
    throw refuse('each broker of a split key keeps a trust statement of its own', 'leave out --trust-statement')
  if (urls.length < quorum.threshold)
    throw refuse(
      `${urls.length} brokers for a key of which ${quorum.threshold} have to release a share`,
      `name them all, --broker URL,URL,…: ${names}`,
    )
  const atStart = new Map<string, Callable>()
  const search = async (callable: Map<string, Callable>) => {
    const failures = await callAll(urls, manifest, callable)
    for (const { url, failure } of failures)
      report({ kind: 'trouble', failure: new Failure(failure.code, `${url}: ${failure.message}`, { cause: failure }) })
    return failures.find(({ failure }) => failure.code === ('node/brokers' satisfies StartBrokersCode))
  }
  const misnamed = await search(atStart)
  if (misnamed !== undefined) throw misnamed.failure
  const found = [...atStart.values()]
  const [first] = found
  if (first === undefined || found.length < quorum.threshold)
    throw refuse(`${found.length} brokers answered, ${quorum.threshold} have to`, `those that hold shares: ${names}`)
  return {
    trust: first.trust,
    broker: first.broker,
    brokers: new Map(found.map(({ id, broker }) => [id, broker])),
    urls: new Map(found.map(({ id, url }) => [id, url])),
    quorum: { quorum, trust: new Map(found.map(({ id, trust: statement }) => [id, statement])) },
    async findBrokers() {
      // Each time anew, their trust statements too: what was refused of one before may have been mended.
      const now = new Map(atStart)
      await search(now)
      return [...now.values()]
    },
  }
}
