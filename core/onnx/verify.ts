import { parsePath } from '#core/encoding/path.js'
import { Failure, isFailure } from '#core/failure.js'
import type { OnnxCode } from '#core/onnx/failures.js'
import type { OnnxGraph } from '#core/onnx/graph.js'

/** Domains whose operators the engine itself brings. Any other needs a library of somebody's. */
const domains = ['ai.onnx', 'ai.onnx.ml', 'com.microsoft'] as const
/** Operators of these domains that open files or load code: compiled contexts of accelerators, Python, vendor blobs. */
const refusedOperators: readonly string[] = [
  'com.microsoft/EPContext',
  'com.microsoft/Snpe',
  'com.microsoft/PythonOp',
  'com.microsoft/PythonOpGrad',
]

function isOfEngine(operator: string): boolean {
  return (domains as readonly string[]).includes(operator.slice(0, operator.lastIndexOf('/')))
}

/**
 * Every operator is of a domain that the engine brings, or a function of the model's own; none loads code or files.
 *
 * throws  onnx/operator
 */
function verifyOperators(graph: OnnxGraph): void {
  // Invariant: a model does not redefine what the engine brings: which of the two would run is the engine's secret.
  const redefined = graph.functions.find(isOfEngine)
  const refused =
    redefined ??
    graph.operators.find(
      (name) => refusedOperators.includes(name) || (!isOfEngine(name) && !graph.functions.includes(name)),
    )
  if (refused !== undefined) throw new Failure<OnnxCode>('onnx/operator', `operator ${refused} is not one that may run`)
}

/** The path below the model's folder that a location names, seen from the folder of the graph. */
function resolve(graphPath: string, claimedLocation: string): string {
  const folder = graphPath.slice(0, graphPath.lastIndexOf('/') + 1)
  try {
    return parsePath(folder + parsePath(claimedLocation))
  } catch (error) {
    if (!isFailure(error)) throw error
    // Engines read some locations as memory addresses or follow them out of the folder: only plain paths are accepted.
    throw new Failure<OnnxCode>('onnx/location', `external data at ${error.message}`, { cause: error })
  }
}

/**
 * The files of external data that the graph needs, each once, sorted: all are among `sizes`, and every tensor lies
 * inside its file. Its operators may run.
 *
 * graphPath  of the graph below the model's folder
 * sizes      bytes of each file of the folder, by path
 * throws     onnx/operator, onnx/location
 */
export function verifyGraph(
  graph: OnnxGraph,
  graphPath: string,
  sizes: ReadonlyMap<string, number>,
): readonly string[] {
  verifyOperators(graph)
  const needed = new Set<string>()
  for (const tensor of graph.external) {
    const path = resolve(graphPath, tensor.claimedLocation)
    const size = sizes.get(path)
    if (size === undefined) throw new Failure<OnnxCode>('onnx/location', `${graphPath}: ${path} is not in the model`)
    if ((tensor.offset ?? 0) + (tensor.length ?? 0) > size) {
      throw new Failure<OnnxCode>('onnx/location', `${graphPath}: a tensor ends past the ${size} bytes of ${path}`)
    }
    needed.add(path)
  }
  return [...needed].sort()
}
