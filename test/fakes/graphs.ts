import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import proto from 'onnx-proto'

const { onnx } = proto
type Model = proto.onnx.IModelProto
type Node = proto.onnx.INodeProto
type Weights = proto.onnx.ITensorProto

const float = 1
const int64 = 7
const bool = 9
const text = 8

/** What each kind of model folder holds. All are small and built here. */
export type ModelKind =
  /** y = x · w, one 256 x 256 matrix inside the graph */
  | 'matmul'
  /** the same, with the matrix in an external data file beside the graph */
  | 'external'
  /** an external location that the folder does not hold */
  | 'external-missing'
  /** x of any type that the protocol knows, handed back: names `FP32`, `INT64`, `BOOL`, `BYTES` */
  | 'identity'
  /** runs `n` rounds of a matrix product: with a large `n` it never ends */
  | 'slow'
  /** bytes that are no graph */
  | 'broken'

export interface ModelFolder {
  /** 64 bytes that stand in the weights and nowhere else */
  readonly canary: Uint8Array
  /** the matrix of `matmul` and `external`, row-major, `width` x `width` */
  readonly weights: Float32Array
  readonly width: number
}

const width = 256

/** Weights whose bytes are found again: pseudo-random, the same for one seed. */
export function randomWeights(count: number, seed = 1): Float32Array {
  const out = new Float32Array(count)
  let state = (seed * 2654435761) >>> 0 || 1
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    out[i] = (state / 2 ** 32 - 0.5) * 0.125
  }
  return out
}

function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function value(name: string, elemType: number, shape: readonly (number | string)[]) {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}

function inline(name: string, dims: number[], data: Float32Array): Weights {
  return { name, dims, dataType: float, rawData: bytesOf(data) }
}

/** A tensor whose bytes lie in another file. */
export function externalTensor(
  name: string,
  dims: number[],
  location: string,
  offset: number,
  length: number,
): Weights {
  return {
    name,
    dims,
    dataType: float,
    dataLocation: 1,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
  }
}

function model(graph: NonNullable<Model['graph']>): Uint8Array {
  const bytes = onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }).finish()
  return new Uint8Array(bytes)
}

/** A chain of square matrix products over the given weights: x [batch, size] to y. */
export function chainGraph(weights: readonly Weights[], size: number): Uint8Array {
  const node: Node[] = weights.map((one, i) => ({
    opType: 'MatMul',
    name: `n${i}`,
    input: [i === 0 ? 'x' : `h${i}`, one.name!],
    output: [i === weights.length - 1 ? 'y' : `h${i + 1}`],
  }))
  return model({
    name: 'chain',
    node,
    initializer: [...weights],
    input: [value('x', float, ['batch', size])],
    output: [value('y', float, ['batch', size])],
  })
}

function identityGraph(): Uint8Array {
  const types = { FP32: float, INT64: int64, BOOL: bool, BYTES: text }
  return model({
    name: 'identity',
    node: Object.keys(types).map((name) => ({ opType: 'Identity', input: [name], output: [`${name}_out`] })),
    input: Object.entries(types).map(([name, type]) => value(name, type, ['n'])),
    output: Object.entries(types).map(([name, type]) => value(`${name}_out`, type, ['n'])),
  })
}

function slowGraph(weights: Float32Array): Uint8Array {
  const body = {
    name: 'body',
    node: [
      { opType: 'MatMul', input: ['state_in', 'w'], output: ['state_out'] },
      { opType: 'Identity', input: ['go_in'], output: ['go_out'] },
    ],
    input: [value('i', int64, []), value('go_in', bool, []), value('state_in', float, [1, width])],
    output: [value('go_out', bool, []), value('state_out', float, [1, width])],
  }
  return model({
    name: 'slow',
    node: [
      {
        opType: 'Loop',
        input: ['n', '', 'x'],
        output: ['y'],
        attribute: [{ name: 'body', type: onnx.AttributeProto.AttributeType.GRAPH, g: body }],
      },
    ],
    initializer: [inline('w', [width, width], weights)],
    input: [value('n', int64, []), value('x', float, [1, width])],
    output: [value('y', float, [1, width])],
  })
}

/**
 * Writes a model folder, ready to seal: `model.onnx` and, for `external`, `weights.bin`.
 *
 * seed  other weights for another seed
 */
export function writeModelFolder(dir: string, kind: ModelKind, seed = 1): ModelFolder {
  const weights = randomWeights(width * width, seed)
  mkdirSync(dir, { recursive: true })
  const write = (name: string, bytes: Uint8Array) => writeFileSync(join(dir, name), bytes)
  switch (kind) {
    case 'matmul':
      write('model.onnx', chainGraph([inline('w', [width, width], weights)], width))
      break
    case 'external':
      write('weights.bin', bytesOf(weights))
      write(
        'model.onnx',
        chainGraph([externalTensor('w', [width, width], 'weights.bin', 0, weights.byteLength)], width),
      )
      break
    case 'external-missing':
      write('model.onnx', chainGraph([externalTensor('w', [width, width], 'absent.bin', 0, weights.byteLength)], width))
      break
    case 'identity':
      write('model.onnx', identityGraph())
      break
    case 'slow':
      write('model.onnx', slowGraph(weights))
      break
    case 'broken':
      write('model.onnx', new Uint8Array(1024).fill(0xff))
      break
  }
  return { canary: bytesOf(weights).slice(4096, 4160), weights, width }
}
