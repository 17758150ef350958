import { parseJson } from '#core/encoding/json.js'
import { literal, object, optional, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { PipelineCode } from '#runtime/pipelines/tokenizer.js'

const configSizeMax = 64 * KiB
const fileName = string({ max: 512, form: /^[^/\\].*$/ })

const moonshineConfig = object({
  pipeline: literal('moonshine'),
  encoder: optional(fileName),
  decoder: optional(fileName),
  tokenizer: optional(fileName),
})
const tensorsConfig = object({ pipeline: literal('tensors'), graph: optional(fileName) })

/** Which steps stand around the graphs of a model folder, and the files that they use. */
export type PipelineConfig =
  | { readonly pipeline: 'moonshine'; readonly encoder: string; readonly decoder: string; readonly tokenizer: string }
  | { readonly pipeline: 'tensors'; readonly graph: string }

function refuse(message: string, cause?: unknown): Failure<PipelineCode> {
  return new Failure<PipelineCode>('pipeline/config', message, { cause })
}

function soleGraph(files: ReadonlySet<string>): string {
  const graphs = [...files].filter((file) => file.endsWith('.onnx'))
  if (graphs.length !== 1 || graphs[0] === undefined) {
    throw refuse(`expected one .onnx file or a config.json that names the graph, found ${graphs.length}`)
  }
  return graphs[0]
}

function withFiles(config: PipelineConfig, files: ReadonlySet<string>): PipelineConfig {
  const named = config.pipeline === 'tensors' ? [config.graph] : [config.encoder, config.decoder, config.tokenizer]
  const absent = named.filter((name) => !files.has(name))
  if (absent.length > 0) throw refuse(`the model folder has no ${absent.join(', ')}`)
  return config
}

/**
 * The pipeline of a model folder. `config.json` names it with a member `pipeline`; without the file, or without that member
 * (a config.json of the model's own), the folder must hold exactly one `.onnx` file and is served as tensors.
 *
 * config  the bytes of config.json, undefined when the folder has none
 * files   the paths of all files in the folder
 * throws  pipeline/config
 */
export function parsePipelineConfig(config: Uint8Array | undefined, files: ReadonlySet<string>): PipelineConfig {
  if (config === undefined) return { pipeline: 'tensors', graph: soleGraph(files) }
  try {
    const json = parseJson(config, configSizeMax)
    const named = json !== null && typeof json === 'object' && !Array.isArray(json) && Object.hasOwn(json, 'pipeline')
    if (!named) return { pipeline: 'tensors', graph: soleGraph(files) }
    if ((json as { pipeline?: unknown }).pipeline === 'tensors') {
      const { graph } = tensorsConfig(json, '')
      return withFiles({ pipeline: 'tensors', graph: graph ?? soleGraph(files) }, files)
    }
    const moonshine = moonshineConfig(json, '')
    return withFiles(
      {
        pipeline: 'moonshine',
        encoder: moonshine.encoder ?? 'encoder_model.onnx',
        decoder: moonshine.decoder ?? 'decoder_model_merged.onnx',
        tokenizer: moonshine.tokenizer ?? 'tokenizer.json',
      },
      files,
    )
  } catch (error) {
    if (!isFailure(error) || error.code === 'pipeline/config') throw error
    throw refuse(`config.json: ${error.message}`, error)
  }
}
