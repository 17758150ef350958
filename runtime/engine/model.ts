import { Failure } from '#core/failure.js'
import { parseGraph } from '#core/onnx/graph.js'
import { bytesSource } from '#core/onnx/protobuf.js'
import { verifyGraph } from '#core/onnx/verify.js'
import type { SealedFile, SealedManifest } from '#core/sealed/manifest.js'
import type { EngineCode, ModelMetadata } from '#runtime/api/engine.js'
import { type Answering, readKnownAnswers, verifyKnownAnswers } from '#runtime/engine/known-answers.js'
import { createSession, type ExternalData, type Session } from '#runtime/engine/ort.js'
import { preparedBy } from '#runtime/engine/prepare.js'
import { unsealModel } from '#runtime/engine/unseal.js'
import { type PipelineConfig, parsePipelineConfig } from '#runtime/pipelines/config.js'
import { type Graph, type MoonshineModel, moonshineGeometry, transcribe } from '#runtime/pipelines/moonshine.js'
import { type PipelineCode, parseTokenizer } from '#runtime/pipelines/tokenizer.js'

export interface LoadInput {
  readonly folder: string
  readonly manifest: SealedManifest
  /** 32 bytes; the caller wipes it */
  readonly dek: Uint8Array
  readonly threads: number
  readonly prepacking: boolean
  readonly verbose: boolean
}

/** Sessions, ready to answer. */
export interface LoadedModel extends Answering {
  readonly metadata: ModelMetadata
  /** Sessions are released, and what they read in place is overwritten. */
  release(): Promise<void>
}

interface Source {
  readonly model: Uint8Array
  readonly external: readonly ExternalData[]
  readonly inPlace: boolean
}

function preparedPath(graph: string): string {
  return graph.replace(/\.onnx$/, '.ort')
}

/**
 * The files to open: prepared forms of another version are left sealed, and so are graphs and their external data when every
 * graph has a form of this version.
 */
function neededFiles(manifest: SealedManifest): SealedManifest['files'] {
  const isUsable = (file: SealedFile) => file.role === 'prepared-form' && file.engine === preparedBy
  const forms = new Set(manifest.files.filter(isUsable).map((file) => file.path))
  const graphs = manifest.files.filter((file) => file.role === 'graph')
  const covered = forms.size > 0 && graphs.every((file) => forms.has(preparedPath(file.path)))
  return manifest.files.filter((file) => {
    if (file.role === 'prepared-form') return isUsable(file)
    return !(covered && (file.role === 'graph' || file.role === 'external-data'))
  })
}

/** The paths that a config may name: a prepared form goes by the name of the graph that it was made from. */
function namesOf(files: SealedManifest['files']): ReadonlySet<string> {
  return new Set(files.flatMap(({ path }) => [path, path.replace(/\.ort$/, '.onnx')]))
}

/**
 * What a graph is read from. A prepared form made by this very version of ONNX Runtime is used where it lies; every other graph
 * is copied by ONNX Runtime, with its external data.
 *
 * throws  pipeline/config; onnx/... for a graph that asks for more than the sealed folder holds, or for foreign operators
 */
function sourceOf(graph: string, files: ReadonlyMap<string, Uint8Array>): Source {
  // Only a usable one was opened.
  const inPlace = files.get(preparedPath(graph))
  if (inPlace !== undefined) return { model: inPlace, external: [], inPlace: true }
  const model = files.get(graph)
  if (model === undefined) throw new Failure<PipelineCode>('pipeline/config', `the model has no ${graph}`)
  // ONNX Runtime would look on the node's own disk for a location that it is not given.
  const sizes = new Map([...files].map(([path, bytes]) => [path, bytes.length]))
  const needed = verifyGraph(parseGraph(bytesSource(model)), graph, sizes)
  const folder = graph.slice(0, graph.lastIndexOf('/') + 1)
  const external = needed.map((path) => ({ path: path.slice(folder.length), data: files.get(path)! }))
  return { model, external, inPlace: false }
}

function graphOf(session: Session): Graph {
  return {
    inputs: new Map(session.inputs.map((slot) => [slot.name, slot.shape])),
    outputs: new Set(session.outputs.map((slot) => slot.name)),
    run: (inputs, outputs) => session.runNamed(inputs, outputs),
  }
}

/** Throws when the time that a request has is over; called between steps, never during one. */
function stepsWithin(budgetMs: number): () => void {
  const end = performance.now() + budgetMs
  return () => {
    if (performance.now() > end) throw new Failure<EngineCode>('engine/deadline', `not done within ${budgetMs} ms`)
  }
}

const audioSlots = {
  inputs: [{ name: 'audio', datatype: 'FP32', shape: [-1] }],
  outputs: [{ name: 'text', datatype: 'BYTES', shape: [1] }],
} as const

/** The sessions of a pipeline, from opened files. */
async function open(config: PipelineConfig, files: ReadonlyMap<string, Uint8Array>, input: LoadInput) {
  const inPlace = new Set<Uint8Array>()
  const session = async (graph: string): Promise<Session> => {
    const source = sourceOf(graph, files)
    if (source.inPlace) inPlace.add(source.model)
    const { threads, prepacking, verbose } = input
    return createSession(source.model, source.external, { threads, prepacking, inPlace: source.inPlace }, verbose)
  }
  if (config.pipeline === 'tensors') return { sessions: [await session(config.graph)], moonshine: undefined, inPlace }
  const encoder = await session(config.encoder)
  const decoder = await session(config.decoder)
  const tokenizerBytes = files.get(config.tokenizer)
  if (tokenizerBytes === undefined) throw new Failure<PipelineCode>('pipeline/config', `no ${config.tokenizer}`)
  const graphs = { encoder: graphOf(encoder), decoder: graphOf(decoder) }
  const moonshine: MoonshineModel = {
    ...graphs,
    tokenizer: parseTokenizer(tokenizerBytes),
    geometry: moonshineGeometry(graphs.encoder, graphs.decoder),
  }
  return { sessions: [encoder, decoder], moonshine, inPlace }
}

function answeringOf(first: Session, moonshine: MoonshineModel | undefined): Answering {
  const notServed = (what: string) => new Failure<EngineCode>('engine/pipeline', `this model does not ${what}`)
  return {
    async infer(inputs, outputs) {
      if (moonshine) throw notServed('take tensors: it transcribes speech')
      return first.run(inputs, outputs)
    },
    async transcribe(samples, budgetMs) {
      if (!moonshine) throw notServed('transcribe speech')
      try {
        return await transcribe(moonshine, samples, stepsWithin(budgetMs))
      } finally {
        samples.fill(0)
      }
    },
  }
}

/**
 * The model's sessions stand, they gave the known answers that were sealed with it, and plaintext that they do not read in place
 * has been overwritten.
 *
 * throws  engine/graph, engine/known-answers, onnx/..., pipeline/config, pipeline/graph, pipeline/tokenizer, and those of unsealModel
 */
export async function loadModel(input: LoadInput): Promise<LoadedModel> {
  const { folder, manifest, dek, threads } = input
  const needed = neededFiles(manifest)
  const size = needed.reduce((sum, file) => sum + file.plaintextLength, 0)
  const unsealed = await unsealModel({
    folder,
    manifest: { ...manifest, files: needed, size },
    dek,
    workers: Math.min(threads, 4),
  })
  const opened = await (async () => {
    const config = parsePipelineConfig(unsealed.files.get('config.json'), namesOf(needed))
    const answers = readKnownAnswers(needed, unsealed.files)
    return { config, answers, ...(await open(config, unsealed.files, input)) }
  })().catch((error) => {
    unsealed.zero()
    throw error
  })
  const { sessions, moonshine, inPlace } = opened
  for (const bytes of unsealed.files.values()) if (!inPlace.has(bytes)) bytes.fill(0)
  const [first] = sessions
  const release = async () => {
    for (const session of sessions) await session.release()
    // Invariant: only now. A session reads its in-place bytes for as long as it lives.
    unsealed.zero()
  }
  const answering = answeringOf(first!, moonshine)
  // Invariant: before anybody learns that a model is loaded. One that answers otherwise is gone by then.
  const knownAnswers = await verifyKnownAnswers(opened.answers, answering, moonshine !== undefined, () =>
    performance.now(),
  ).catch(async (error) => {
    await release()
    throw error
  })
  const metadata: ModelMetadata = {
    pipeline: opened.config.pipeline,
    inputs: moonshine ? audioSlots.inputs : first!.inputs,
    outputs: moonshine ? audioSlots.outputs : first!.outputs,
    runtime: preparedBy,
    provider: 'cpu',
    threads,
    knownAnswers,
    wrongShares: [],
  }
  return { metadata, ...answering, release }
}
