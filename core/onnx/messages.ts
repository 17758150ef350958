import { Failure } from '#core/failure.js'
import type { OnnxCode } from '#core/onnx/failures.js'
import { type ByteSource, type Field, readFields, type Span } from '#core/onnx/protobuf.js'

/**
 * The fields of each message by number: `one` or `many` of them. Fields that this table does not have are refused: an
 * engine that knows them would read another model than the one that was looked at.
 *
 * source  onnx/onnx, onnx/onnx.proto of 1.23 (IR version 13)
 */
type Message = Readonly<Record<number, 'one' | 'many'>>

function message(one: readonly number[], many: readonly number[]): Message {
  return Object.fromEntries([...one.map((n) => [n, 'one']), ...many.map((n) => [n, 'many'])])
}

export const messages = {
  model: message([1, 2, 3, 4, 5, 6, 7], [8, 14, 20, 25, 26]),
  graph: message([2, 10], [1, 5, 11, 12, 13, 14, 15, 16]),
  node: message([3, 4, 6, 7, 8], [1, 2, 5, 9, 10]),
  attribute: message([1, 2, 3, 4, 5, 6, 13, 14, 20, 21, 22], [7, 8, 9, 10, 11, 15, 23]),
  tensor: message([2, 3, 8, 9, 12, 14], [1, 4, 5, 6, 7, 10, 11, 13, 16]),
  sparseTensor: message([1, 2], [3]),
  valueInfo: message([1, 2, 3], [4]),
  type: message([1, 4, 5, 6, 7, 8, 9], []),
  tensorType: message([1, 2], []),
  shape: message([], [1]),
  dimension: message([1, 2, 3], []),
  operatorSet: message([1, 2], []),
  function: message([1, 8, 10, 13], [4, 5, 6, 7, 9, 11, 12, 14]),
  entry: message([1, 2], []),
} as const
export type MessageName = keyof typeof messages

/** Fields in one model. A graph of a hundred thousand nodes has about two million. */
const fieldsMax = 5_000_000

/** One reading of one model: its bytes, and how much of them was read. */
export class Walk {
  readonly source: ByteSource
  #fields = 0

  constructor(source: ByteSource) {
    this.source = source
  }

  /** The fields of a message of this kind. @throws onnx/protobuf, onnx/field, onnx/limit */
  *fields(name: MessageName, span: Span): Generator<Field> {
    const known = messages[name]
    const seen = new Set<number>()
    for (const field of readFields(this.source, span)) {
      if (++this.#fields > fieldsMax) {
        throw new Failure<OnnxCode>('onnx/limit', `more than ${fieldsMax} fields in one model`)
      }
      const rule = known[field.number]
      if (rule === undefined) throw new Failure<OnnxCode>('onnx/field', `${name}: unknown field ${field.number}`)
      if (rule === 'one') {
        // Invariant: protobuf merges or replaces a field that comes twice, and readers differ: neither is accepted.
        if (seen.has(field.number)) throw new Failure<OnnxCode>('onnx/field', `${name}: field ${field.number} twice`)
        seen.add(field.number)
      }
      yield field
    }
  }
}

/** The place of an embedded message or string. @throws onnx/protobuf for a number */
export function spanOf(field: Field): Span {
  if (field.kind === 'span') return field.span
  throw new Failure<OnnxCode>('onnx/protobuf', `field ${field.number} is a number, expected bytes`)
}

/** A whole number from 0 to 2^53 - 1. @throws onnx/protobuf */
export function numberOf(field: Field): number {
  if (field.kind === 'varint' && field.value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(field.value)
  throw new Failure<OnnxCode>('onnx/protobuf', `field ${field.number} is not a whole number up to 2^53`)
}
