import { type Json, parseJson } from '#core/encoding/json.js'
import { integer, json, list, literal, object, oneOf, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import {
  dataTypes,
  isBounded,
  itemsOf,
  type Tensor,
  type TensorCode,
  tensorData,
  tensorNameLengthMax,
  tensorRankMax,
} from '#core/wire/tensor.js'

/** Where they lie in a model's folder: nowhere else, and once. */
export const knownAnswersPath = 'known-answers.json'
export const knownAnswersSizeMax = 8 * MiB
export const knownAnswersMax = 64
const tensorsPerAnswerMax = 64

/** Failures of known answers, beside those of JSON, shapes and tensors. */
export type KnownAnswersCode = 'known-answers/tolerance' | 'known-answers/twice'

const tensorShape = object({
  name: string({ max: tensorNameLengthMax }),
  datatype: oneOf(...dataTypes),
  shape: list(integer({ max: 2 ** 31 - 1 }), { max: tensorRankMax }),
  data: json,
})
const tensorsShape = list(tensorShape, { min: 1, max: tensorsPerAnswerMax })
const fileShape = object({
  format: literal('claviger/known-answers/v1'),
  answers: list(
    object({
      inputs: tensorsShape,
      outputs: tensorsShape,
      tolerance: object({ absolute: json, relative: json }),
    }),
    { min: 1, max: knownAnswersMax },
  ),
})

/** What a model answers to an input, as its owner found it. */
export interface KnownAnswer {
  readonly inputs: readonly Tensor[]
  /** these, and no other output of the model, are compared */
  readonly outputs: readonly Tensor[]
  /** A number `a` is the expected `e` when |a - e| <= absolute + relative * |e|. Whole numbers, booleans and text are compared exactly. */
  readonly tolerance: { readonly absolute: number; readonly relative: number }
}

function tensorOf({ name, datatype, shape, data }: Shaped<typeof tensorShape>): Tensor {
  if (!isBounded(shape)) throw new Failure<TensorCode>('tensor/data', `tensor ${name}: shape [${shape}] spans too much`)
  // JSON carries no number beyond 2^53 here, so none becomes infinite as FP32, to which everything would be near enough.
  return { name, datatype, shape, data: tensorData(name, datatype, shape, data) }
}

function tensorsOf(given: Shaped<typeof tensorsShape>): readonly Tensor[] {
  if (new Set(given.map(({ name }) => name)).size !== given.length)
    throw new Failure<KnownAnswersCode>('known-answers/twice', 'a tensor of this name is there already')
  return given.map(tensorOf)
}

/** Bounded, so that it stays one: a relative tolerance of 1 would be met by 0 in place of every number. */
function tolerance(value: Json, name: string, max: number): number {
  if (typeof value === 'number' && value >= 0 && value <= max) return value
  throw new Failure<KnownAnswersCode>('known-answers/tolerance', `${name}: expected a number from 0 to ${max}`)
}

/**
 * The known answers of a model, from the file that was sealed with it.
 *
 * throws  json/..., shape/..., tensor/data, known-answers/...
 */
export function parseKnownAnswers(bytes: Uint8Array): readonly KnownAnswer[] {
  const { answers } = fileShape(parseJson(bytes, knownAnswersSizeMax), 'known answers')
  return answers.map(({ inputs, outputs, tolerance: { absolute, relative } }) => ({
    inputs: tensorsOf(inputs),
    outputs: tensorsOf(outputs),
    tolerance: {
      absolute: tolerance(absolute, 'tolerance.absolute', 1_000_000),
      relative: tolerance(relative, 'tolerance.relative', 0.5),
    },
  }))
}

/**
 * Whether a model answered what was expected: same name, type and shape, and every value within the tolerance. What is no
 * number (NaN) is never within it.
 */
export function isKnownAnswer(
  actual: Tensor,
  expected: Tensor,
  { absolute, relative }: KnownAnswer['tolerance'],
): boolean {
  const { name, datatype, shape, data } = expected
  if (actual.name !== name || actual.datatype !== datatype || actual.shape.join() !== shape.join()) return false
  if (actual.data.length !== itemsOf(shape) || data.length !== actual.data.length) return false
  const isReal = datatype === 'FP32' || datatype === 'FP64'
  for (let i = 0; i < data.length; i++) {
    const [a, e] = [actual.data[i]!, data[i]!]
    if (!isReal) {
      if (a !== e) return false
    } else if (!(Math.abs((a as number) - (e as number)) <= absolute + relative * Math.abs(e as number))) return false
  }
  return true
}
