import { Failure } from '#core/failure.js'
import type { OnnxCode } from '#core/onnx/failures.js'
import { numberOf, spanOf, type Walk } from '#core/onnx/messages.js'
import { readText, type Span } from '#core/onnx/protobuf.js'

/** `TensorProto.DataType` by number; what is not here is refused. source: onnx.proto, "DataType" */
const elementTypes: Readonly<Record<number, string>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  21: 'uint4',
  22: 'int4',
  23: 'float4e2m1',
}

/** An input or output of a model. */
export interface OnnxValue {
  readonly name: string
  /** null for sequences, maps and optionals, which no route of ours carries */
  readonly tensor: {
    readonly elementType: string
    /** a number, the name of a free dimension, or null for an unnamed one; null as a whole when the rank is free */
    readonly dims: readonly (number | string | null)[] | null
  } | null
}

const rankMax = 32

function readDimension(walk: Walk, span: Span): number | string | null {
  let value: number | string | null = null
  for (const field of walk.fields('dimension', span)) {
    if (field.number === 3) continue
    if (value !== null) throw new Failure<OnnxCode>('onnx/field', 'dimension has a value and a name')
    value = field.number === 1 ? numberOf(field) : readText(walk.source, spanOf(field)) || null
  }
  return value
}

function readShape(walk: Walk, span: Span): (number | string | null)[] {
  const dims: (number | string | null)[] = []
  for (const field of walk.fields('shape', span)) {
    if (dims.length === rankMax) throw new Failure<OnnxCode>('onnx/limit', `more than ${rankMax} dimensions`)
    dims.push(readDimension(walk, spanOf(field)))
  }
  return dims
}

function readTensorType(walk: Walk, span: Span): NonNullable<OnnxValue['tensor']> {
  let elementType: string | undefined
  let dims: (number | string | null)[] | null = null
  for (const field of walk.fields('tensorType', span)) {
    if (field.number === 1) elementType = elementTypes[numberOf(field)]
    else dims = readShape(walk, spanOf(field))
  }
  if (elementType === undefined) throw new Failure<OnnxCode>('onnx/model', 'tensor of an unknown element type')
  return { elementType, dims }
}

/** Name, element type and dimensions of an input or output. @throws onnx/protobuf, onnx/field, onnx/limit, onnx/model */
export function readValue(walk: Walk, span: Span): OnnxValue {
  let name = ''
  let tensor: OnnxValue['tensor'] = null
  for (const field of walk.fields('valueInfo', span)) {
    if (field.number === 1) name = readText(walk.source, spanOf(field))
    if (field.number !== 2) continue
    for (const kind of walk.fields('type', spanOf(field))) {
      if (kind.number === 1) tensor = readTensorType(walk, spanOf(kind))
    }
  }
  return { name, tensor }
}
