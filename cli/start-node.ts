import { resolve } from 'node:path'
import { openNodeSession, type Sealed } from '#cli/node-session.js'
import { openSealedFolder } from '#convert/unseal/sealed-folder.js'
import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { isKekManifest } from '#core/sealed/kek.js'
import { modelName } from '#core/sealed/manifest.js'
import { ownerOf } from '#core/wire/names.js'
import type { HostDeclaration } from '#core/wire/release.js'
import { type Listening, listen } from '#host/listen.js'
import type { Log } from '#host/log.js'
import { answerOip } from '#runtime/api/oip.js'
import { answerOpenAi } from '#runtime/api/openai.js'
import { startEngine } from '#runtime/engine/start.js'
import { engineThreads } from '#runtime/engine/threads.js'
import type { Handler } from '#runtime/exchange.js'
import type { Attester, SessionCode, SessionEvent, SessionPorts, Timing } from '#runtime/ports.js'
import { createNodeApp, keepSession } from '#runtime/service/app.js'
import type { Session } from '#runtime/session.js'

/** Failures of starting a node, beside those of its session. */
export type StartNodeCode =
  /** the sealed folder holds another model than the one asked for */
  'node/model'

export interface StartNodeOptions {
  /** full model id; or an alias that nobody resolved and a name, of which the name must fit; null for any */
  readonly model: string | null
  /** one, or several with commas between them, where several hold the key */
  readonly brokerUrl: string
  /** folder that `claviger seal` made */
  readonly sealed: string
  /** the owner's trust statement; null to ask the broker for it */
  readonly trust: Envelope | null
  /** thumbprint of the broker's key; null when the trust statement lists one broker */
  readonly broker: string | null
  readonly host: HostDeclaration | null
  /** what the key is for, as the host says; absent: it says nothing */
  readonly purpose?: string | undefined
  readonly attester: Attester
  /** what the host presents with each request; absent: nothing */
  readonly present?: SessionPorts['present']
  /** makes the key that landmarks time; absent: none times this node */
  readonly openTiming?: (() => Promise<Timing>) | undefined
  readonly listen: { readonly host: string; readonly port: number }
  readonly dangerousAllowSimulated: boolean
  readonly dangerousAllowInspection: boolean
  readonly dangerousAllowPlain: boolean
  /** default: what the control group grants */
  readonly threads?: number
  readonly log: Log
  report(event: SessionEvent): void
  /** requests a minute from one address; 0 for no bound */
  readonly ratePerMinute?: number
}

export interface RunningNode {
  readonly url: string
  readonly session: Session
  /** process of the engine: for those who look at it from outside */
  readonly enginePid: number
  /** the reason, once key use has ended and the engine's process has exited; the listener is closed then */
  readonly ended: Promise<Failure>
  /** Ends key use and stops listening. */
  close(): Promise<void>
}

function isNamed(asked: string, id: string): boolean {
  if (/^[A-Za-z0-9_-]{43}\//.test(asked)) return asked === id
  return asked.slice(asked.indexOf('/') + 1) === id.slice(id.indexOf('/') + 1)
}

/** The sealed folder's manifest, signed by the owner whom its model id names. @throws node/model, sealed/..., ... */
export async function openSealed(options: Pick<StartNodeOptions, 'model' | 'sealed'>): Promise<Sealed> {
  const folder = resolve(options.sealed)
  const { manifest, bytes: manifestBytes } = await openSealedFolder(folder, null)
  const { model } = manifest
  if (isKekManifest(manifest))
    throw new Failure<StartNodeCode>('node/model', `${model.id} is a key-encryption key, and no model`, {
      detail: { hint: 'a broker gets it: serve keybroker --kek broker:…' },
    })
  if (options.model !== null && !isNamed(options.model, model.id)) {
    throw new Failure<StartNodeCode>('node/model', `sealed folder holds ${model.id}, expected ${options.model}`)
  }
  return { folder, manifestBytes, manifest }
}

/** OpenAI's routes below /v1, those of the Open Inference Protocol below /v2; each answers its own refusals. */
function handlerOf(session: Session, sealed: Sealed): Handler {
  const { version } = sealed.manifest.model
  const model = {
    name: modelName(sealed.manifest),
    owner: ownerOf(sealed.manifest.model.id),
    version: String(version),
    loadedAt: Math.floor(Date.now() / 1000),
    metadata: session.metadata,
  }
  return (request, engine) =>
    request.path === '/v2' || request.path.startsWith('/v2/')
      ? answerOip(request, engine, model)
      : answerOpenAi(request, engine, model)
}

async function openSession(options: StartNodeOptions, sealed: Sealed) {
  let enginePid = 0
  const { brokerUrl, threads = engineThreads() } = options
  const session = await openNodeSession({ ...options, urls: brokerUrl.split(','), threads }, sealed, async () => {
    const engine = await startEngine({ dangerousAllowInspection: options.dangerousAllowInspection })
    enginePid = engine.pid
    return engine
  })
  return { session, enginePid }
}

/**
 * A node that listens, after its session verified everything that the broker sent and the model was loaded.
 *
 * throws  node/model, sealed/..., listen/..., and what startSession throws
 */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  const sealed = await openSealed(options)
  const { session, enginePid } = await openSession(options, sealed)
  const stopped = () => new Failure<SessionCode>('session/stopped', 'the node was stopped')
  const stopTicks = keepSession(session, options.log)
  const { ratePerMinute } = options
  const app = createNodeApp({
    session,
    handler: handlerOf(session, sealed),
    log: options.log,
    ...(ratePerMinute === undefined ? {} : { ratePerMinute }),
  })
  let listening: Listening
  try {
    listening = await listen(app, options.listen)
  } catch (error) {
    stopTicks()
    await session.end(stopped())
    throw error
  }
  const ended = session.ended.then(async (reason) => {
    stopTicks()
    await listening.close()
    return reason
  })
  return {
    url: listening.url,
    session,
    enginePid,
    ended,
    async close() {
      await session.end(stopped())
      await ended
      await session.finished
    },
  }
}
