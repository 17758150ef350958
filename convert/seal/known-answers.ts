import type { SealCode } from '#convert/seal/failures.js'
import { Failure, isFailure } from '#core/failure.js'
import type { OnnxGraph } from '#core/onnx/graph.js'
import type { ByteSource } from '#core/onnx/protobuf.js'
import { type KnownAnswer, knownAnswersPath, knownAnswersSizeMax, parseKnownAnswers } from '#core/wire/known-answers.js'

function refuse(message: string, cause?: unknown): Failure<SealCode> {
  return new Failure<SealCode>('seal/known-answers', `${knownAnswersPath}: ${message}`, {
    cause,
    detail: { hint: 'docs/spec/known-answers.md says what belongs in it; every node that loads the model tries them' },
  })
}

function parsed(source: ByteSource): readonly KnownAnswer[] {
  if (source.size > knownAnswersSizeMax) throw refuse(`${source.size} bytes, at most ${knownAnswersSizeMax}`)
  try {
    return parseKnownAnswers(source.bytes(0, source.size))
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(`${error.message} (${error.code})`, error)
  }
}

/**
 * The file is one that a node would read, and where the model is one graph, its tensors are that graph's. Whether the answers
 * are right is tried when the model is loaded, not here.
 *
 * graphs  of the model's folder
 * throws  seal/known-answers
 */
export function verifyKnownAnswersFile(source: ByteSource, graphs: readonly OnnxGraph[]): void {
  const answers = parsed(source)
  const [graph, ...more] = graphs
  if (graph === undefined || more.length > 0) return
  const names = (values: OnnxGraph['inputs']) => new Set(values.map(({ name }) => name))
  const [inputs, outputs] = [names(graph.inputs), names(graph.outputs)]
  for (const answer of answers) {
    const input = answer.inputs.find(({ name }) => !inputs.has(name))
    const output = answer.outputs.find(({ name }) => !outputs.has(name))
    if (input !== undefined) throw refuse(`the graph has no input ${input.name}`)
    if (output !== undefined) throw refuse(`the graph has no output ${output.name}`)
  }
}
