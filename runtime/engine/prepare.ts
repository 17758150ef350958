import * as ort from 'onnxruntime-node'
import { Failure } from '#core/failure.js'
import { runtimeVersion } from '#runtime/engine/ort.js'

/** Failures of preparing a form. */
export type PrepareCode = 'engine/prepare'

/** The name that the sealed manifest gives to the maker of a prepared form. */
export const preparedBy = `onnxruntime ${runtimeVersion}`

/**
 * The graph, with its external data, is written in ORT format: the form that an engine of this very version uses where it
 * lies in memory, without copying it. Done by the owner on plaintext, before sealing; a node never writes one.
 *
 * graphPath  `model.onnx`; the prepared form belongs beside it as `model.ort`
 * throws     engine/prepare
 */
export async function prepareForm(graphPath: string, outPath: string): Promise<void> {
  // Read when the first session of a process is made: without it ONNX Runtime records the model and reports to its maker.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  try {
    const session = await ort.InferenceSession.create(graphPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
      // `all` would bake in what suits this machine's processor; the node's own session adds that when it loads.
      graphOptimizationLevel: 'extended',
      optimizedModelFilePath: outPath,
      extra: { session: { save_model_format: 'ORT', disable_prepacking: '1' } },
    })
    await session.release()
  } catch (cause) {
    throw new Failure<PrepareCode>('engine/prepare', 'onnxruntime could not write the prepared form', { cause })
  }
}
