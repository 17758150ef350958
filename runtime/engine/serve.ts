import { wipe } from '#core/bytes/secret.js'
import { forgetRecipientKey, generateHybridKey, type RecipientKey } from '#core/crypto/hpke.js'
import type { XwingJwk } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import { parseManifest } from '#core/sealed/manifest.js'
import type { EngineCode } from '#runtime/api/engine.js'
import { type FromEngine, parseToEngine, type ToEngine } from '#runtime/engine/messages.js'
import { type LoadedModel, loadModel } from '#runtime/engine/model.js'
import { openKey } from '#runtime/engine/open-key.js'
import type { KeyCode } from '#runtime/engine/shares.js'

interface State {
  readonly key: RecipientKey<XwingJwk>
  readonly verbose: boolean
  model: LoadedModel | undefined
}

function send(message: FromEngine): Promise<void> {
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()))
}

type Load = Extract<ToEngine, { kind: 'load' }>

async function load(state: State, request: Load): Promise<FromEngine> {
  if (state.model) throw new Failure<KeyCode>('engine/state', 'a model is loaded already')
  const manifest = parseManifest(request.manifest)
  const { dek, wrongShares } = await openKey(state.key, request.keys, request.aad, manifest)
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
  forgetRecipientKey(state.key) // it opened what it was made for
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
    key: await generateHybridKey(),
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
