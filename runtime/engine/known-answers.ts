import { Failure, isFailure } from '#core/failure.js'
import type { SealedManifest } from '#core/sealed/manifest.js'
import { isKnownAnswer, type KnownAnswer, knownAnswersPath, parseKnownAnswers } from '#core/wire/known-answers.js'
import type { Tensor } from '#core/wire/tensor.js'
import { type Transcript, wipeTensors } from '#runtime/api/engine.js'

/** A model that does not answer what its owner says it answers, or whose known answers are none: it is not served. */
export type KnownAnswersRunCode = 'engine/known-answers'

/** All of them together have this long. A run that is under way ends by itself, or with its process. */
export const knownAnswersBudgetMs = 120_000

/** What a model that was just loaded can be asked. */
export interface Answering {
  infer(inputs: readonly Tensor[], outputs: readonly string[]): Promise<readonly Tensor[]>
  transcribe(samples: Float32Array, budgetMs: number): Promise<Transcript>
}

// Invariant: no value, name or text of the file stands in a message. It is the owner's plaintext, and messages leave the process.
function refuse(message: string, cause?: unknown): Failure<KnownAnswersRunCode> {
  return new Failure<KnownAnswersRunCode>('engine/known-answers', message, {
    cause: isFailure(cause) ? cause.code : undefined,
  })
}

/** The file, where the manifest lists one: under its only name. @throws engine/known-answers */
export function readKnownAnswers(
  files: SealedManifest['files'],
  opened: ReadonlyMap<string, Uint8Array>,
): readonly KnownAnswer[] {
  const listed = files.filter(({ role }) => role === 'known-answers').map(({ path }) => path)
  if (listed.length === 0) return []
  const bytes = opened.get(knownAnswersPath)
  if (listed.length > 1 || listed[0] !== knownAnswersPath || bytes === undefined) {
    throw refuse(`expected one file of known answers, ${knownAnswersPath}`)
  }
  try {
    return parseKnownAnswers(bytes)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(`${knownAnswersPath} is not one of this format: ${error.code}`, error)
  }
}

/** A model of speech takes samples and gives text, as its metadata says. */
async function transcribed(
  answering: Answering,
  inputs: readonly Tensor[],
  budgetMs: number,
): Promise<readonly Tensor[]> {
  const [audio, ...more] = inputs
  const fits = audio?.name === 'audio' && audio.shape.length === 1 && audio.data instanceof Float32Array
  if (!fits || more.length > 0) throw refuse('a model of speech takes one FP32 input named audio of rank 1')
  const { text } = await answering.transcribe((audio.data as Float32Array).slice(), budgetMs)
  return [{ name: 'text', datatype: 'BYTES', shape: [1], data: [text] }]
}

/**
 * The model gave every answer that its owner says it gives.
 *
 * isSpeech  whether it transcribes instead of taking tensors
 * returns   how many there were
 * throws    engine/known-answers
 */
export async function verifyKnownAnswers(
  answers: readonly KnownAnswer[],
  answering: Answering,
  isSpeech: boolean,
  elapsedMs: () => number,
): Promise<number> {
  const end = elapsedMs() + knownAnswersBudgetMs
  for (const [i, { inputs, outputs, tolerance }] of answers.entries()) {
    const which = `known answer ${i + 1} of ${answers.length}`
    const left = end - elapsedMs()
    if (left <= 0) throw refuse(`${which}: not reached within ${knownAnswersBudgetMs} ms`)
    let found: readonly Tensor[]
    try {
      found = isSpeech
        ? await transcribed(answering, inputs, left)
        : await answering.infer(
            inputs,
            outputs.map(({ name }) => name),
          )
    } catch (error) {
      if (!isFailure(error)) throw error
      throw refuse(`${which}: the model refuses its input (${error.code})`, error)
    }
    const same = outputs.every((expected) => found.some((one) => isKnownAnswer(one, expected, tolerance)))
    wipeTensors([...inputs, ...outputs, ...found])
    if (!same) throw refuse(`${which} differs: this model is not the one that its owner tried, or not on this machine`)
  }
  return answers.length
}
