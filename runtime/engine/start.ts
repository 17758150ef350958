/**
 * What belongs in runtime/engine: the process that holds one model's key and plaintext and runs its graphs, and the parent's
 * side of it. What does not: what the routes say (runtime/api), the steps around a graph (runtime/pipelines), and everything
 * that decides whether a key may come here.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { dirname } from 'node:path'
import type { XwingJwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import type { Tensor } from '#core/wire/tensor.js'
import type { EngineCode, InferenceEngine, ModelMetadata, Transcript } from '#runtime/api/engine.js'
import { Channel, expect } from '#runtime/engine/channel.js'
import { keepDescriptors } from '#runtime/engine/closed.js'
import { compiledPath } from '#runtime/engine/compiled.js'
import type { FromEngine, ToEngine } from '#runtime/engine/messages.js'
import { createQueue } from '#runtime/engine/queue.js'
import { engineThreads } from '#runtime/engine/threads.js'
import type { LoadKey } from '#runtime/ports.js'

export interface EngineOptions {
  /** Leaves the process readable from outside, for tests that scan it. The node document shows it. Default false. */
  readonly dangerousAllowInspection?: boolean
  /** From a request's start to the end of the process that does not answer it. Default 60,000. */
  readonly requestDeadlineMs?: number
  /** Default 600,000. */
  readonly loadDeadlineMs?: number
  /** Requests that wait behind the running one. Default 16. */
  readonly queueMax?: number
  /** What runs when the model is unloaded has this long. Default 5,000. */
  readonly exitDeadlineMs?: number
  /** The user and group of the process, where the parent may choose. */
  readonly uid?: number
  readonly gid?: number
}

/** What is loaded, and what was sealed to `releaseKey` of this engine to open it with. */
export type LoadRequest = LoadKey & {
  /** absolute path of the sealed folder */
  readonly folder: string
  readonly manifestBytes: Uint8Array
  readonly aad: Uint8Array
  /** Default: what the control group grants (runtime/engine/threads.ts). */
  readonly threads?: number
  /** Default true. False loads faster, in half the memory, and runs some graphs slower. */
  readonly prepacking?: boolean
}

/** A process for one model, from start to exit. It is never used again after `unload`, a crash or a missed deadline. */
export interface Engine extends InferenceEngine {
  readonly pid: number
  /** The recipient key of this process alone: what is sealed to it dies with the process. */
  readonly releaseKey: XwingJwk
  /**
   * The sealed model is decrypted in the process and its sessions are made.
   *
   * throws  engine/key, engine/graph, engine/known-answers, onnx/..., pipeline/..., sealed/..., engine/deadline, engine/crashed
   */
  load(request: LoadRequest): Promise<ModelMetadata>
  /** True when the process has exited: key and plaintext are gone with its memory. Never throws. */
  unload(): Promise<void>
  /** Resolves when the process has exited, with the failure that later requests meet. */
  readonly ended: Promise<Failure>
}

const unloaded = () => new Failure<EngineCode>('engine/not-loaded', 'the model was unloaded')
const startDeadlineMs = 20_000

/**
 * All that the process sees of the environment: glibc overwrites what is freed, so that plaintext does not linger in the
 * heap; and ONNX Runtime keeps no record of models and sends none to its maker, which its builds for Linux do by default.
 */
export const engineEnvironment = { MALLOC_PERTURB_: '165', ORT_DISABLE_TELEMETRY: '1' }

function spawnChild(options: EngineOptions): ChildProcess {
  const path = compiledPath('runtime/engine/child.js')
  const open = options.dangerousAllowInspection === true
  keepDescriptors()
  return fork(path, open ? ['--dangerous-allow-inspection'] : [], {
    env: engineEnvironment,
    cwd: dirname(path),
    execArgv: process.allowedNodeEnvironmentFlags.has('--disable-sigusr1') ? ['--disable-sigusr1'] : [],
    serialization: 'advanced',
    // Nothing that the process prints leaves it: no descriptor is inherited but the channel.
    stdio: ['ignore', 'ignore', open ? 'inherit' : 'ignore', 'ipc'],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
}

/**
 * A process of its own is running, closed to inspection, and has made its release key.
 *
 * throws  engine/start, engine/crashed, engine/deadline
 */
export async function startEngine(options: EngineOptions = {}): Promise<Engine> {
  const requestDeadlineMs = options.requestDeadlineMs ?? 60_000
  const exitDeadlineMs = options.exitDeadlineMs ?? 5_000
  const child = spawnChild(options)
  const channel = new Channel(child)
  const { releaseKey } = expect(channel, await channel.exchange(undefined, startDeadlineMs), 'started')
  const enqueue = createQueue(options.queueMax ?? 16)
  let nextId = 1
  let loaded = false

  const ask = async <K extends FromEngine['kind']>(
    kind: K,
    deadlineMs: number,
    request: (id: number) => ToEngine,
  ): Promise<Extract<FromEngine, { kind: K }>> => {
    const id = nextId++
    return expect(channel, await channel.exchange(request(id), deadlineMs), kind, id)
  }
  return {
    pid: child.pid!,
    releaseKey,
    ended: channel.ended,
    ready: () => loaded && channel.failure === undefined,
    load: (request) =>
      enqueue(async () => {
        const answer = await ask('loaded', options.loadDeadlineMs ?? 600_000, (id) => ({
          kind: 'load',
          id,
          folder: request.folder,
          manifest: request.manifestBytes,
          keys: 'shares' in request ? request.shares : [{ index: 0, sealed: request.sealed, info: request.info }],
          aad: request.aad,
          threads: request.threads ?? engineThreads(),
          prepacking: request.prepacking ?? true,
        }))
        loaded = true
        return answer.metadata
      }),
    infer: (inputs: readonly Tensor[], outputs: readonly string[]) =>
      enqueue(async () => {
        const answer = await ask('inferred', requestDeadlineMs, (id) => ({ kind: 'infer', id, inputs, outputs }))
        return answer.outputs
      }),
    transcribe: (samples: Float32Array): Promise<Transcript> =>
      enqueue(async () => {
        // Between decoder steps the process stops by itself a little before it would be killed.
        const budgetMs = Math.max(1, Math.floor(requestDeadlineMs * 0.9))
        const answer = await ask('transcribed', requestDeadlineMs, (id) => ({
          kind: 'transcribe',
          id,
          samples,
          budgetMs,
        }))
        return { text: answer.text, tokens: answer.tokens }
      }),
    async unload() {
      loaded = false
      // What runs or waits has this long; then the process is killed, and those requests fail.
      const timer = setTimeout(() => channel.fail(unloaded()), exitDeadlineMs)
      const asked = enqueue(() => ask('unloaded', exitDeadlineMs, (id) => ({ kind: 'unload', id })))
      await asked.then(
        () => channel.willEnd(unloaded()),
        () => channel.fail(unloaded()),
      )
      await channel.ended
      clearTimeout(timer)
    },
  }
}
