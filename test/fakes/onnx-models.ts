/** Small ONNX models for tests: real protobuf, a few hundred bytes. */
import proto from 'onnx-proto'

const { onnx } = proto
type Attribute = ConstructorParameters<typeof onnx.AttributeProto>[0]

export interface NodeSketch {
  readonly type: string
  readonly domain?: string
  readonly attribute?: readonly Attribute[]
}
export interface ModelSketch {
  /** size of the weight matrix, square */
  readonly size?: number
  /** entries of external data of the weights, or none: then they stand in the graph */
  readonly external?: Readonly<Record<string, string>>
  readonly nodes?: readonly NodeSketch[]
  readonly functions?: readonly { readonly name: string; readonly domain: string; readonly body: string }[]
}

const float32 = 1
const externalLocation = 1

/** `y = x · w` with `w` filled with `fill`, and whatever else the sketch asks for. */
export function onnxModel(sketch: ModelSketch = {}, fill = 0.5): Uint8Array {
  const size = sketch.size ?? 4
  const shape = { dim: [{ dimParam: 'batch' }, { dimValue: size }] }
  const value = (name: string) => ({ name, type: { tensorType: { elemType: float32, shape } } })
  const entries = Object.entries(sketch.external ?? {}).map(([key, text]) => ({ key, value: text }))
  const weights =
    sketch.external === undefined
      ? { rawData: new Uint8Array(new Float32Array(size * size).fill(fill).buffer) }
      : { dataLocation: externalLocation, externalData: entries }
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'g',
      node: [
        { opType: 'MatMul', input: ['x', 'w'], output: ['y'], name: 'm' },
        ...(sketch.nodes ?? []).map(({ type, domain, attribute }) => ({
          opType: type,
          domain: domain ?? '',
          attribute: [...(attribute ?? [])] as never,
        })),
      ],
      input: [value('x')],
      output: [value('y')],
      initializer: [{ name: 'w', dataType: float32, dims: [size, size], ...weights }],
    },
    functions: (sketch.functions ?? []).map(({ name, domain, body }) => ({ name, domain, node: [{ opType: body }] })),
  })
  return new Uint8Array(onnx.ModelProto.encode(model).finish())
}
