import { Failure } from '#core/failure.js'
import type { OnnxCode } from '#core/onnx/failures.js'
import { numberOf, spanOf, Walk } from '#core/onnx/messages.js'
import { type ByteSource, readText, type Span } from '#core/onnx/protobuf.js'
import { type OnnxValue, readValue } from '#core/onnx/value.js'

/** Bytes of a tensor that lie in another file. */
export interface ExternalTensor {
  readonly tensor: string
  /** as the graph spells it: whoever opens it must verify it first */
  readonly claimedLocation: string
  /** first byte, and how many; null where the graph does not say */
  readonly offset: number | null
  readonly length: number | null
}

/** What a model would make an engine do. */
export interface OnnxGraph {
  readonly irVersion: number
  readonly opsets: readonly { readonly domain: string; readonly version: number }[]
  /** each pair of domain and type that some node names, as `domain/type` with `ai.onnx` spelled out, sorted */
  readonly operators: readonly string[]
  /** the model's own functions, spelled likewise: nodes may name them too */
  readonly functions: readonly string[]
  readonly external: readonly ExternalTensor[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
}

const depthMax = 16
const nodesMax = 1_000_000
const tensorsMax = 1_000_000
const valuesMax = 10_000
const opsetsMax = 100

interface Found {
  readonly walk: Walk
  readonly operators: Set<string>
  readonly functions: Set<string>
  readonly external: ExternalTensor[]
  readonly inputs: OnnxValue[]
  readonly outputs: OnnxValue[]
  nodes: number
  tensors: number
}

function limit(what: string, max: number): Failure<OnnxCode> {
  return new Failure<OnnxCode>('onnx/limit', `more than ${max} ${what}`)
}

/** `ai.onnx` is the default domain's other name. */
function operatorName(domain: string, type: string): string {
  return `${domain === '' ? 'ai.onnx' : domain}/${type}`
}

function text(found: Found, span: Span): string {
  return readText(found.walk.source, span)
}

function readEntry(found: Found, span: Span): readonly [string, string] {
  let key = ''
  let value = ''
  for (const field of found.walk.fields('entry', span)) {
    if (field.number === 1) key = text(found, spanOf(field))
    else value = text(found, spanOf(field))
  }
  return [key, value]
}

function decimal(value: string | undefined, what: string): number | null {
  if (value === undefined) return null
  const number = Number(value)
  if (!/^(0|[1-9][0-9]{0,15})$/.test(value) || !Number.isSafeInteger(number)) {
    throw new Failure<OnnxCode>('onnx/location', `${what} of external data is not a plain number`)
  }
  return number
}

function readTensor(found: Found, span: Span): void {
  if (++found.tensors > tensorsMax) throw limit('tensors', tensorsMax)
  let tensor = ''
  let isExternal = false
  const entries = new Map<string, string>()
  for (const field of found.walk.fields('tensor', span)) {
    if (field.number === 8) tensor = text(found, spanOf(field))
    else if (field.number === 14) isExternal = numberOf(field) !== 0
    else if (field.number === 13) {
      const [key, value] = readEntry(found, spanOf(field))
      if (entries.has(key)) throw new Failure<OnnxCode>('onnx/field', `external data of ${tensor}: ${key} twice`)
      if (entries.size === 16) throw limit('entries of external data', 16)
      entries.set(key, value)
    }
  }
  if (!isExternal && entries.size === 0) return
  // Invariant: one without the other is how two readers come to disagree about where the bytes are.
  const claimedLocation = entries.get('location')
  if (!isExternal || claimedLocation === undefined) {
    throw new Failure<OnnxCode>('onnx/location', `tensor ${JSON.stringify(tensor)} is only half external`)
  }
  found.external.push({
    tensor,
    claimedLocation,
    offset: decimal(entries.get('offset'), 'offset'),
    length: decimal(entries.get('length'), 'length'),
  })
}

function readSparseTensor(found: Found, span: Span): void {
  for (const field of found.walk.fields('sparseTensor', span)) {
    if (field.number !== 3) readTensor(found, spanOf(field))
  }
}

function readAttribute(found: Found, span: Span, depth: number): void {
  for (const field of found.walk.fields('attribute', span)) {
    if (field.number === 5 || field.number === 10) readTensor(found, spanOf(field))
    else if (field.number === 6 || field.number === 11) readGraph(found, spanOf(field), depth + 1)
    else if (field.number === 22 || field.number === 23) readSparseTensor(found, spanOf(field))
  }
}

function readNode(found: Found, span: Span, depth: number): void {
  if (++found.nodes > nodesMax) throw limit('nodes', nodesMax)
  let domain = ''
  let type = ''
  for (const field of found.walk.fields('node', span)) {
    if (field.number === 4) type = text(found, spanOf(field))
    else if (field.number === 7) domain = text(found, spanOf(field))
    else if (field.number === 5) readAttribute(found, spanOf(field), depth)
  }
  found.operators.add(operatorName(domain, type))
}

function readGraph(found: Found, span: Span, depth: number): void {
  if (depth > depthMax) throw limit('graphs inside each other', depthMax)
  for (const field of found.walk.fields('graph', span)) {
    if (field.number === 1) readNode(found, spanOf(field), depth)
    else if (field.number === 5) readTensor(found, spanOf(field))
    else if (field.number === 15) readSparseTensor(found, spanOf(field))
    else if (depth === 0 && (field.number === 11 || field.number === 12)) {
      const values = field.number === 11 ? found.inputs : found.outputs
      if (values.length === valuesMax) throw limit('inputs or outputs', valuesMax)
      values.push(readValue(found.walk, spanOf(field)))
    }
  }
}

/** A function of the model's own: its body is read like any graph, and its name is no operator of the engine. */
function readFunction(found: Found, span: Span): void {
  let name = ''
  let domain = ''
  for (const field of found.walk.fields('function', span)) {
    if (field.number === 1) name = text(found, spanOf(field))
    else if (field.number === 10) domain = text(found, spanOf(field))
    else if (field.number === 7) readNode(found, spanOf(field), 1)
    else if (field.number === 11) readAttribute(found, spanOf(field), 1)
  }
  found.functions.add(operatorName(domain, name))
}

function readOperatorSet(found: Found, span: Span): { domain: string; version: number } {
  let domain = ''
  let version = 0
  for (const field of found.walk.fields('operatorSet', span)) {
    if (field.number === 1) domain = text(found, spanOf(field))
    else version = numberOf(field)
  }
  return { domain, version }
}

/**
 * What the model says that it does. Every tensor, attribute, subgraph and function was looked at; unknown fields,
 * fields that come twice, training graphs and nesting beyond 16 were refused. Tensor contents are skipped, not read.
 *
 * source  the bytes of an .onnx file; time is linear in its fields, memory does not grow with its weights
 * throws  onnx/protobuf, onnx/field, onnx/limit, onnx/model, onnx/location, bytes/utf8
 */
export function parseGraph(source: ByteSource): OnnxGraph {
  const found: Found = {
    walk: new Walk(source),
    operators: new Set(),
    functions: new Set(),
    external: [],
    inputs: [],
    outputs: [],
    nodes: 0,
    tensors: 0,
  }
  let irVersion = 0
  let graphs = 0
  const opsets: { domain: string; version: number }[] = []
  for (const field of found.walk.fields('model', { at: 0, end: source.size })) {
    if (field.number === 1) irVersion = numberOf(field)
    else if (field.number === 7) {
      graphs++
      readGraph(found, spanOf(field), 0)
    } else if (field.number === 8) {
      if (opsets.length === opsetsMax) throw limit('operator sets', opsetsMax)
      opsets.push(readOperatorSet(found, spanOf(field)))
    } else if (field.number === 20) throw new Failure<OnnxCode>('onnx/field', 'model carries training graphs')
    else if (field.number === 25) readFunction(found, spanOf(field))
  }
  if (graphs === 0 || irVersion === 0 || opsets.length === 0) {
    throw new Failure<OnnxCode>('onnx/model', 'not an ONNX model: no graph, IR version or operator set')
  }
  const { external, inputs, outputs } = found
  const operators = [...found.operators].sort()
  return { irVersion, opsets, operators, functions: [...found.functions].sort(), external, inputs, outputs }
}
