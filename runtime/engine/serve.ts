import { wipe } from '#core/bytes/secret.js'
import { generateRecipientKey, hpkeOpen, type RecipientKey } from '#core/crypto/hpke.js'
import { Failure, isFailure } from '#core/failure.js'
import { dekSize } from '#core/sealed/keys.js'
import { parseManifest, type SealedManifest } from '#core/sealed/manifest.js'
import type { EngineCode } from '#runtime/api/engine.js'
import { type FromEngine, parseToEngine, type ToEngine, type WrappedKey } from '#runtime/engine/messages.js'
import { type LoadedModel, loadModel } from '#runtime/engine/model.js'
import { type KeyCode, type OpenedKey, openShares } from '#runtime/engine/shares.js'

interface State {
  readonly key: RecipientKey
  readonly verbose: boolean
  model: LoadedModel | undefined
}

function send(message: FromEngine): Promise<void> {
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()))
}

type Load = Extract<ToEngine, { kind: 'load' }>

/** What was sealed to this process, in a buffer outside V8's heap. @throws engine/key */
async function openSealed(state: State, { sealed, info }: WrappedKey, aad: Uint8Array): Promise<Uint8Array> {
  try {
    return await hpkeOpen(state.key, info, aad, sealed)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<KeyCode>('engine/key', 'the wrapped key was sealed to another engine, or for another release', {
      cause,
    })
  }
}

/** The DEK, for the caller to wipe, and the shares that were wrong. @throws engine/key, engine/share */
async function openKey(state: State, request: Load, manifest: SealedManifest): Promise<OpenedKey> {
  const { keys, aad } = request
  if (manifest.quorum !== undefined)
    return openShares(manifest, manifest.quorum, keys, (one) => openSealed(state, one, aad))
  const [only] = keys
  if (only?.index !== 0 || keys.length !== 1)
    throw new Failure<KeyCode>('engine/key', `expected one whole key, found ${keys.length} shares`)
  const dek = await openSealed(state, only, aad)
  if (dek.length !== dekSize) {
    wipe(dek)
    throw new Failure<KeyCode>('engine/key', `the wrapped key has ${dek.length} bytes, expected ${dekSize}`)
  }
  return { dek, wrongShares: [] }
}

async function load(state: State, request: Load): Promise<FromEngine> {
  if (state.model) throw new Failure<KeyCode>('engine/state', 'a model is loaded already')
  const manifest = parseManifest(request.manifest)
  const { dek, wrongShares } = await openKey(state, request, manifest)
  try {
    state.model = await loadModel({
      folder: request.folder,
      manifest,
      dek,
      threads: request.threads,
      prepacking: request.prepacking,
      verbose: state.verbose,
    })
  } finally {
    wipe(dek)
  }
  return { kind: 'loaded', id: request.id, metadata: { ...state.model.metadata, wrongShares } }
}

async function answer(state: State, request: ToEngine): Promise<FromEngine> {
  if (request.kind === 'load') return load(state, request)
  if (request.kind === 'unload') {
    await state.model?.release()
    return { kind: 'unloaded', id: request.id }
  }
  const model = state.model
  if (model === undefined) throw new Failure<EngineCode>('engine/not-loaded', 'no model is loaded')
  if (request.kind === 'infer') {
    return { kind: 'inferred', id: request.id, outputs: await model.infer(request.inputs, request.outputs) }
  }
  const { text, tokens } = await model.transcribe(request.samples, request.budgetMs)
  return { kind: 'transcribed', id: request.id, text, tokens }
}

async function failedOf(id: number, error: unknown): Promise<FromEngine> {
  if (isFailure(error)) return { kind: 'failed', id, code: error.code, message: error.message.slice(0, 1000) }
  throw error // a bug: the process ends, and the parent says so
}

/**
 * Answers the parent's requests until it is told to unload, or the parent goes away. Requests come one at a time: a second
 * one while the first is answered ends the process, as does everything that is not in the protocol.
 */
export async function serve(): Promise<void> {
  const state: State = {
    key: await generateRecipientKey(),
    verbose: process.argv.includes('--dangerous-allow-inspection'),
    model: undefined,
  }
  let busy = false
  const receive = async (message: unknown): Promise<void> => {
    const request = parseToEngine(message)
    if (busy) throw new Failure<EngineCode>('engine/protocol', 'a request while another one runs')
    busy = true
    const reply = await answer(state, request).catch((error) => failedOf(request.id, error))
    busy = false
    await send(reply)
    if (request.kind === 'unload') process.exit(0)
  }
  process.on('message', (message) => {
    receive(message).catch(() => process.exit(70))
  })
  process.on('disconnect', () => process.exit(0))
  await send({ kind: 'started', releaseKey: state.key.publicKey })
}
