import { createFetch } from '#client/create-fetch.js'
import type { NodeClientOptions, VerifiedAnswer } from '#client/node-client.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import type { Trust } from '#core/wire/trust-file.js'
import type { App } from '#host/http.js'
import { answerOpenAi } from '#runtime/api/openai.js'
import { createNodeApp } from '#runtime/service/app.js'
import type { Session } from '#runtime/session.js'
import { BrokerDouble } from '#test/fakes/broker-double.js'
import { NodeDouble } from '#test/fakes/node-double.js'
import { testTime } from '#test/fakes/platform.js'
import { policyFor, trustIn } from './fixtures.js'

/** What the network saw of one call. */
export interface Seen {
  readonly url: string
  readonly method: string
  readonly bytes: Buffer
}

/** A true node session behind its true routes, and a network in between that records every byte and can be cut. */
export class Network {
  readonly broker: BrokerDouble
  readonly node: NodeDouble
  readonly seen: Seen[] = []
  readonly answers: VerifiedAnswer[] = []
  session!: Session
  app!: App
  /** what is done with an answer on its way back */
  tamper: (response: Response, seen: Seen) => Response | Promise<Response> = (response) => response

  private constructor(broker: BrokerDouble) {
    this.broker = broker
    this.node = new NodeDouble(broker)
  }

  static async open(): Promise<Network> {
    const network = new Network(await BrokerDouble.create(() => testTime))
    await network.restart()
    return network
  }

  /** A new session with new keys behind the same address. */
  async restart(): Promise<void> {
    this.session = await this.node.start()
    const { broker, session } = this
    const model = {
      name: 'whisper',
      owner: broker.owner.id,
      version: '3',
      loadedAt: testTime,
      metadata: session.metadata,
    }
    this.app = createNodeApp({
      session,
      handler: (request) => answerOpenAi(request, session.engine, model),
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      ratePerMinute: 0,
    })
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input as URL, init)
    const head = [request.url, ...[...request.headers].flat()].join('\n')
    const body = Buffer.from(await request.clone().arrayBuffer())
    const seen = { url: request.url, method: request.method, bytes: Buffer.concat([Buffer.from(head), body]) }
    this.seen.push(seen)
    return this.tamper(await this.app.hono.request(request), seen)
  }

  options(changes: Partial<NodeClientOptions & { policy: ClientPolicy; trust: Trust }> = {}): NodeClientOptions {
    return {
      url: 'http://node.test',
      trust: trustIn(this.broker),
      policy: policyFor(this.broker.model),
      fetch: this.fetch,
      now: () => this.node.wall,
      randomBytes,
      credential: null,
      timeoutMs: 30_000,
      ...changes,
    }
  }

  client(changes: Parameters<Network['options']>[0] = {}): typeof fetch {
    return createFetch({ ...this.options(changes), onAnswer: (answer) => void this.answers.push(answer) })
  }

  /** Whether any byte that went over the network spells the text, as it is or in base64. */
  saw(text: string): boolean {
    const forms = [
      Buffer.from(text),
      ...[0, 1, 2].map((skip) => Buffer.from(Buffer.from(text).subarray(skip).toString('base64').slice(0, -4))),
    ]
    return this.seen.some(({ bytes }) => forms.some((form) => bytes.includes(form)))
  }
}

/** A recording that a node can read: a tenth of a second of silence, 16 kHz. */
export function wav(canary = ''): Uint8Array<ArrayBuffer> {
  const samples = 1600
  const data = Buffer.alloc(samples * 2)
  data.write(canary)
  const head = Buffer.alloc(44)
  head.write('RIFF')
  head.writeUInt32LE(36 + data.length, 4)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt16LE(1, 22)
  head.writeUInt32LE(16_000, 24)
  head.writeUInt32LE(32_000, 28)
  head.writeUInt16LE(2, 32)
  head.writeUInt16LE(16, 34)
  head.write('data', 36)
  head.writeUInt32LE(data.length, 40)
  return new Uint8Array(Buffer.concat([head, data]))
}
