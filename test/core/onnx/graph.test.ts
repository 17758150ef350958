import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { parseGraph } from '#core/onnx/graph.js'
import { bytesSource } from '#core/onnx/protobuf.js'
import { verifyGraph } from '#core/onnx/verify.js'
import { onnxModel } from '#test/fakes/onnx-models.js'

const parse = (bytes: Uint8Array) => parseGraph(bytesSource(bytes))
const code = (name: string) => expect.objectContaining({ name: 'Failure', code: name })
const verify = (bytes: Uint8Array, path = 'model.onnx', files: [string, number][] = []) =>
  verifyGraph(parse(bytes), path, new Map(files))
const length = (size: number) => new Uint8Array([size])
/** A field of bytes: number up to 15, at most 127 of them. */
const field = (number: number, bytes: Uint8Array) =>
  concat(new Uint8Array([(number << 3) | 2]), length(bytes.length), bytes)
const varint = (number: number, value: number) => new Uint8Array([number << 3, value])

describe('parseGraph', () => {
  test('says operators, inputs, outputs and operator sets', () => {
    expect(parse(onnxModel())).toEqual({
      irVersion: 8,
      opsets: [{ domain: '', version: 17 }],
      operators: ['ai.onnx/MatMul'],
      functions: [],
      external: [],
      inputs: [{ name: 'x', tensor: { elementType: 'float32', dims: ['batch', 4] } }],
      outputs: [{ name: 'y', tensor: { elementType: 'float32', dims: ['batch', 4] } }],
    })
  })

  test('finds external data in weights, attributes, subgraphs and functions alike', () => {
    const tensor = (name: string) => ({
      name,
      dataLocation: 1,
      externalData: [{ key: 'location', value: `${name}.bin` }],
    })
    const subgraph = { name: 's', initializer: [tensor('in-subgraph')], node: [{ opType: 'Add' }] }
    const bytes = onnxModel({
      external: { location: 'w.bin', offset: '16', length: '64' },
      nodes: [
        { type: 'Constant', attribute: [{ name: 'value', t: tensor('in-attribute') }] },
        { type: 'If', attribute: [{ name: 'then_branch', g: subgraph }] },
        { type: 'Many', attribute: [{ name: 'l', tensors: [tensor('in-list')], graphs: [subgraph] }] },
        { type: 'Sparse', attribute: [{ name: 's', sparseTensor: { values: tensor('in-sparse') } }] },
      ],
    })
    expect([...new Set(parse(bytes).external.map((one) => one.claimedLocation))].sort()).toEqual(
      ['in-attribute.bin', 'in-list.bin', 'in-sparse.bin', 'in-subgraph.bin', 'w.bin'].sort(),
    )
    expect(parse(bytes).external.find((one) => one.tensor === 'w')).toEqual({
      tensor: 'w',
      claimedLocation: 'w.bin',
      offset: 16,
      length: 64,
    })
    expect(parse(bytes).operators).toContain('ai.onnx/Add')
  })

  test.each([
    ['nothing', new Uint8Array(), 'onnx/model'],
    ['no graph', concat(varint(1, 8), field(8, varint(2, 17))), 'onnx/model'],
    ['text', utf8('this is no model at all, but it is long enough'), 'onnx/protobuf'],
    ['a length past the end', concat(varint(1, 8), new Uint8Array([0x3a, 0x7f])), 'onnx/protobuf'],
    ['a group', new Uint8Array([0x0b, 0x0c]), 'onnx/protobuf'],
    ['field number zero', new Uint8Array([0x00, 0x00]), 'onnx/protobuf'],
    ['a varint without an end', new Uint8Array([0x08, ...new Array(12).fill(0xff)]), 'onnx/protobuf'],
    ['an unknown field', concat(onnxModel(), field(9, utf8('?'))), 'onnx/field'],
    ['a second graph', concat(onnxModel(), field(7, field(2, utf8('g2')))), 'onnx/field'],
    ['training graphs', concat(onnxModel(), new Uint8Array([0xa2, 0x01, 0x00])), 'onnx/field'],
    ['a graph that is a number', concat(varint(1, 8), varint(7, 1)), 'onnx/protobuf'],
    [
      'an element type that is none',
      concat(varint(1, 8), field(7, field(11, field(2, field(1, varint(1, 99)))))),
      'onnx/model',
    ],
  ])('refuses %s', (_, bytes, expected) => {
    expect(() => parse(bytes)).toThrow(code(expected))
  })

  test('refuses graphs nested deeper than 16, without deep recursion', () => {
    const nest = (depth: number): object => ({
      name: 'n',
      node: depth === 0 ? [] : [{ opType: 'If', attribute: [{ name: 'b', g: nest(depth - 1) }] }],
    })
    const nested = (depth: number) => onnxModel({ nodes: [{ type: 'If', attribute: [{ name: 'b', g: nest(depth) }] }] })
    expect(parse(nested(15)).operators).toContain('ai.onnx/If')
    expect(() => parse(nested(16))).toThrow(code('onnx/limit'))
  })

  test.each([
    ['a location without external data location', { external: { offset: '0' } }],
    ['an offset that is not plain', { external: { location: 'w.bin', offset: '0x10' } }],
    ['an offset beyond 2^53', { external: { location: 'w.bin', offset: '9999999999999999' } }],
  ])('refuses %s', (_, sketch) => {
    expect(() => parse(onnxModel(sketch as never))).toThrow(code('onnx/location'))
  })

  test('throws Failure and nothing else on any bytes, and on any change of a model', () => {
    const models = [onnxModel(), onnxModel({ external: { location: 'w.bin' } })]
    const only = (bytes: Uint8Array) => {
      try {
        verify(bytes)
      } catch (error) {
        if (!isFailure(error)) throw error
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), only))
    fc.assert(
      fc.property(fc.constantFrom(...models), fc.nat(), fc.integer({ min: 1, max: 255 }), (model, at, flip) => {
        const changed = model.slice()
        changed[at % changed.length]! ^= flip
        only(changed)
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(fc.constantFrom(...models), fc.nat(), (model, at) => only(model.subarray(0, at % model.length))),
    )
  })
})

describe('verifyGraph', () => {
  test('names the files that the graph needs, seen from its folder', () => {
    const bytes = onnxModel({ external: { location: 'w.bin', length: '64' } })
    expect(verify(bytes, 'a/model.onnx', [['a/w.bin', 64]])).toEqual(['a/w.bin'])
  })

  test.each([
    ['an absolute location', '/etc/passwd'],
    ['a climbing location', '../w.bin'],
    ['a climbing location in the middle', 'x/../../w.bin'],
    ['a backslash', '..\\w.bin'],
    ["ONNX Runtime's tag for memory addresses", '*/_ORT_MEM_ADDR_/*'],
    ['a hidden file', '.w.bin'],
    ['an empty location', ''],
    ['a URL', 'https://host/w.bin'],
    ['a location that is not in the folder', 'other.bin'],
  ])('refuses %s', (_, location) => {
    const bytes = onnxModel({ external: { location } })
    expect(() => verify(bytes, 'model.onnx', [['w.bin', 64]])).toThrow(code('onnx/location'))
  })

  test('refuses a tensor that ends past its file', () => {
    const bytes = onnxModel({ external: { location: 'w.bin', offset: '1', length: '64' } })
    expect(() => verify(bytes, 'model.onnx', [['w.bin', 64]])).toThrow(code('onnx/location'))
  })

  test.each([
    ['of a custom domain', { nodes: [{ type: 'Op', domain: 'com.example' }] }],
    ['that loads a compiled context', { nodes: [{ type: 'EPContext', domain: 'com.microsoft' }] }],
    [
      'inside a subgraph',
      { nodes: [{ type: 'If', attribute: [{ name: 'b', g: { node: [{ opType: 'Op', domain: 'evil' }] } }] }] },
    ],
    [
      "of the engine's that the model redefines",
      { functions: [{ name: 'EPContext', domain: 'com.microsoft', body: 'Add' }] },
    ],
  ])('refuses an operator %s', (_, sketch) => {
    expect(() => verify(onnxModel(sketch))).toThrow(code('onnx/operator'))
  })

  test("lets the model's own functions be called", () => {
    const functions = [{ name: 'Norm', domain: 'own', body: 'Add' }]
    expect(verify(onnxModel({ functions, nodes: [{ type: 'Norm', domain: 'own' }] }))).toEqual([])
  })
})
