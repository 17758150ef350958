import { brokerAppraiser } from '#client/broker-proof.js'
import { equal } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, hpkeOpen, type RecipientKey } from '#core/crypto/hpke.js'
import type { XwingJwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import type { Quorum } from '#core/sealed/quorum.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { ModelMetadata, Transcript } from '#runtime/api/engine.js'
import { openShares } from '#runtime/engine/shares.js'
import type { NodeSettings } from '#runtime/own-values.js'
import type { SealedKey, SessionEngine, SessionEvent, SessionPorts } from '#runtime/ports.js'
import type { Session } from '#runtime/session.js'
import { type SessionOptions, startSession } from '#runtime/start-session.js'
import type { BrokerDouble } from './broker-double.js'
import { testPlatform, testTime } from './platform.js'

/** A model's process in this process: it opens the wrapped key truly, and forgets it on unload. */
export class EngineDouble implements SessionEngine {
  readonly #key: RecipientKey<XwingJwk>
  dek: Uint8Array | undefined
  unloads = 0
  ended: Promise<Failure>
  #end: (failure: Failure) => void = () => {}
  text = 'Ask not.'
  /** of a key that is split, what the manifest says of it */
  split: { readonly model: { readonly id: string; readonly version: number }; readonly quorum: Quorum } | undefined

  private constructor(key: RecipientKey<XwingJwk>) {
    this.#key = key
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }
  static async start(): Promise<EngineDouble> {
    return new EngineDouble(await generateHybridKey())
  }
  get releaseKey() {
    return this.#key.publicKey
  }
  ready() {
    return this.dek !== undefined
  }
  async load(request: Parameters<SessionEngine['load']>[0]): Promise<ModelMetadata> {
    let wrongShares: readonly number[] = []
    if ('shares' in request) {
      const { model, quorum } = this.split!
      const open = (key: SealedKey) => hpkeOpen(this.#key, key.info, request.aad, key.sealed)
      const opened = await openShares({ model }, quorum, request.shares, open)
      this.dek = opened.dek
      wrongShares = opened.wrongShares
    } else this.dek = await hpkeOpen(this.#key, request.info, request.aad, request.sealed)
    return {
      pipeline: 'moonshine',
      inputs: [],
      outputs: [],
      runtime: 'double',
      provider: 'cpu',
      threads: 1,
      knownAnswers: 0,
      wrongShares,
    }
  }
  async infer(): Promise<never> {
    throw new Failure('engine/pipeline', 'no tensors')
  }
  async transcribe(): Promise<Transcript> {
    if (this.dek === undefined) throw new Failure('engine/not-loaded', 'no model is loaded')
    return { text: this.text, tokens: 3 }
  }
  async unload() {
    this.unloads++
    this.dek?.fill(0)
    this.dek = undefined
    this.#end(new Failure('engine/not-loaded', 'unloaded'))
  }
  crash() {
    this.dek = undefined
    this.#end(new Failure('engine/crashed', 'the process ended'))
  }
}

/** A node with clocks that the test moves, in front of a broker double. */
export class NodeDouble {
  readonly broker: BrokerDouble
  /** seconds on the wall, milliseconds passed: `pass` moves both, a test may move one */
  wall: number = testTime
  elapsed = 1_000_000
  readonly events: SessionEvent[] = []
  readonly engines: EngineDouble[] = []
  platform: 'hardware' | 'simulated' = 'simulated'
  attest: (reportData: Uint8Array) => Promise<Evidence> = async (data) => (await testPlatform()).attest(data)
  settings: Partial<NodeSettings> = {}
  keysetSeconds = 90_000

  constructor(broker: BrokerDouble) {
    this.broker = broker
    broker.now = () => this.wall
  }

  pass(seconds: number): void {
    this.wall += seconds
    this.elapsed += seconds * 1000
  }

  ports(): SessionPorts {
    return {
      broker: this.broker.port(),
      appraiseBroker: brokerAppraiser(),
      attester: { platform: this.platform, attest: (data) => this.attest(data) },
      startEngine: async () => {
        const engine = await EngineDouble.start()
        this.engines.push(engine)
        return engine
      },
      random: randomBytes,
      now: () => this.wall,
      elapsedMs: () => this.elapsed,
      pause: async (ms) => this.pass(ms / 1000),
      report: (event) => this.events.push(event),
    }
  }

  options(): SessionOptions {
    return {
      settings: {
        model: this.broker.model,
        modelVersion: 3,
        manifestDigest: this.broker.manifestDigest,
        ownerKey: this.broker.owner.publicKey,
        trust: this.broker.trust,
        broker: null,
        host: null,
        dangerousAllowInspection: false,
        dangerousAllowPlain: false,
        dangerousAllowSimulated: true,
        engineConfinement: 'unconfined',
        leaks: [],
        ...this.settings,
      },
      folder: '/nowhere',
      manifestBytes: new Uint8Array(0),
      threads: 1,
      keysetSeconds: this.keysetSeconds,
    }
  }

  start(): Promise<Session> {
    return startSession(this.options(), this.ports())
  }

  get engine(): EngineDouble {
    return this.engines.at(-1)!
  }

  /** Whether the engine holds the very key that the broker keeps. */
  get holdsKey(): boolean {
    const { dek } = this.engine
    return dek !== undefined && equal(dek, this.broker.dek)
  }
  get steps(): readonly string[] {
    return this.events.flatMap((event) => (event.kind === 'step' ? [event.step] : []))
  }
  get troubles(): readonly string[] {
    return this.events.flatMap((event) => (event.kind === 'trouble' ? [event.failure.code] : []))
  }
}
