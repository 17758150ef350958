import type { Tensor } from '#core/wire/tensor.js'
import type { InferenceEngine } from '#runtime/api/engine.js'
import { sizeOf } from '#runtime/api/engine.js'
import { sampleRate } from '#runtime/pipelines/moonshine.js'

/** What went through the model for one request, as it goes into the receipt. */
export interface Spent {
  readonly inputUnits: number
  readonly outputUnits: number
  /** what one unit is: `tensor-bytes`; `audio-ms-and-tokens` counts milliseconds in and tokens out; `none` for no work */
  readonly unit: 'none' | 'tensor-bytes' | 'audio-ms-and-tokens'
}

/** Where the meter's units are taken from. */
export interface Payer {
  /** before work: throws when fewer units are left */
  pay(units: number): void
  /** after it, for what nobody can know before: takes what is left of them */
  owe(units: number): void
}

export interface Meter extends InferenceEngine {
  readonly spent: Spent
}

const bytesOf = (tensors: readonly Tensor[]) => tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0)

/**
 * The engine as one request sees it: what goes in is paid for before it goes, what comes out as soon as it is there, also
 * when nobody waits for the answer any more (TRUST 16).
 */
export function createMeter(engine: InferenceEngine, payer: Payer): Meter {
  let spent: Spent = { inputUnits: 0, outputUnits: 0, unit: 'none' }
  const enter = (units: number, unit: Spent['unit']) => {
    payer.pay(units)
    spent = { ...spent, inputUnits: spent.inputUnits + units, unit }
  }
  const leave = (units: number) => {
    payer.owe(units)
    spent = { ...spent, outputUnits: spent.outputUnits + units }
  }
  return {
    get spent() {
      return spent
    },
    ready: () => engine.ready(),
    async infer(inputs, outputs) {
      enter(bytesOf(inputs), 'tensor-bytes')
      const tensors = await engine.infer(inputs, outputs)
      leave(bytesOf(tensors))
      return tensors
    },
    async transcribe(samples) {
      enter(Math.round((samples.length * 1000) / sampleRate), 'audio-ms-and-tokens')
      const transcript = await engine.transcribe(samples)
      leave(transcript.tokens)
      return transcript
    },
  }
}
