import type { SealCode } from '#convert/seal/failures.js'
import { verifyKnownAnswersFile } from '#convert/seal/known-answers.js'
import { verifyOrtFormat } from '#convert/seal/ort-format.js'
import { equal } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { parseGraph } from '#core/onnx/graph.js'
import type { ByteSource } from '#core/onnx/protobuf.js'
import { verifyGraph } from '#core/onnx/verify.js'
import { kekFile, kekFileName } from '#core/sealed/kek.js'
import type { FileRole } from '#core/sealed/manifest.js'
import { knownAnswersPath } from '#core/wire/known-answers.js'

/** What a file of the model's folder is, and by which engine a prepared form was made. */
export interface Classified {
  readonly path: string
  readonly size: number
  readonly role: FileRole
  readonly engine?: string
}

/** Names that say what a file is. The rest is known by its ending, or because a graph names it. */
const byName: Readonly<Record<string, FileRole>> = {
  'tokenizer.json': 'tokenizer',
  'tokenizer.model': 'tokenizer',
  'tokenizer_config.json': 'tokenizer',
  'special_tokens_map.json': 'tokenizer',
  'added_tokens.json': 'tokenizer',
  'vocab.json': 'tokenizer',
  'vocab.txt': 'tokenizer',
  'merges.txt': 'tokenizer',
  'spiece.model': 'tokenizer',
  'chat_template.jinja': 'tokenizer',
  'config.json': 'config',
  'generation_config.json': 'config',
  'preprocessor_config.json': 'config',
  'quantize_config.json': 'config',
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/**
 * Every file with its role. Each graph was read: its operators may run and its external data is here.
 *
 * sizes       of all files of the folder, by path
 * open        the bytes of one of them
 * preparedBy  the engine that made the prepared forms, `onnxruntime 1.30.0`; null refuses them
 * throws      seal/file for a file of no known kind, seal/known-answers, seal/folder without a graph, onnx/*
 */
export function classify(
  sizes: ReadonlyMap<string, number>,
  open: (path: string) => ByteSource,
  preparedBy: string | null,
): readonly Classified[] {
  const external = new Set<string>()
  const graphs = [...sizes.keys()].filter((path) => path.endsWith('.onnx'))
  const read = graphs.map((path) => {
    const graph = parseGraph(open(path))
    for (const one of verifyGraph(graph, path, sizes)) external.add(one)
    return graph
  })
  const files = [...sizes].map(([path, size]): Classified => {
    if (path.endsWith('.onnx')) return { path, size, role: 'graph' }
    if (external.has(path)) return { path, size, role: 'external-data' }
    if (path.endsWith('.ort')) {
      verifyOrtFormat(open(path), path)
      if (preparedBy !== null) return { path, size, role: 'prepared-form', engine: preparedBy }
      throw new Failure<SealCode>('seal/file', `${path} is a prepared form, and nobody said which engine made it`, {
        detail: { hint: 'name it with --prepared-by, such as "onnxruntime 1.30.0", or take it out and use --prepare' },
      })
    }
    if (path === knownAnswersPath) {
      verifyKnownAnswersFile(open(path), read)
      return { path, size, role: 'known-answers' }
    }
    const role = Object.hasOwn(byName, nameOf(path)) ? byName[nameOf(path)] : undefined
    if (role !== undefined) return { path, size, role }
    throw new Failure<SealCode>('seal/file', `${path} is nothing that a model is made of, and no graph names it`, {
      detail: { hint: 'take it out of the folder: what is sealed is what runs' },
    })
  })
  if (!files.some((file) => file.role === 'graph' || file.role === 'prepared-form')) {
    throw new Failure<SealCode>('seal/folder', 'the folder holds no graph')
  }
  return files
}

/** The one file of a folder that stands for a key-encryption key, and nothing beside it. @throws seal/folder */
export function classifyKek(
  sizes: ReadonlyMap<string, number>,
  open: (path: string) => ByteSource,
): readonly Classified[] {
  const size = sizes.get(kekFileName)
  if (sizes.size !== 1 || size !== kekFile.length || !equal(open(kekFileName).bytes(0, size), kekFile))
    throw new Failure<SealCode>('seal/folder', `the folder holds something other than ${kekFileName} of this build`)
  return [{ path: kekFileName, size, role: 'config' }]
}
