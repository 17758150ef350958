import type { Sound } from '#runtime/pipelines/wav.js'

/** Zero crossings of the windowed sinc on each side, at the lower of the two rates. */
const crossings = 24
/** Share of the lower rate's half that passes: the rest is the filter's slope. */
const passBand = 0.95
/** Kaiser window: about 80 dB below the signal outside the pass band. */
const beta = 8

/** Modified Bessel function of the first kind, order 0, by its series. */
function bessel(x: number): number {
  let sum = 1
  let term = 1
  for (let k = 1; k < 60; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
    if (term < sum * 1e-12) break
  }
  return sum
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b)
}

/** Filter taps of one phase: `first` is relative to floor(position), and the taps sum to 1. */
function phaseTaps(fraction: number, cutoff: number, half: number): Float64Array {
  const taps = new Float64Array(2 * half)
  const scale = bessel(beta)
  let sum = 0
  for (let i = 0; i < taps.length; i++) {
    const distance = i - half + 1 - fraction
    const x = Math.PI * distance * cutoff
    const sinc = x === 0 ? 1 : Math.sin(x) / x
    const at = distance / half
    const window = Math.abs(at) >= 1 ? 0 : bessel(beta * Math.sqrt(1 - at * at)) / scale
    taps[i] = sinc * window
    sum += taps[i]!
  }
  for (let i = 0; i < taps.length; i++) taps[i] = taps[i]! / sum
  return taps
}

/**
 * The same sound at another rate, band-limited below half of the lower one (windowed sinc, Kaiser), so that nothing folds back.
 *
 * source  J. O. Smith, "Digital Audio Resampling", "Theory of Ideal Bandlimited Interpolation"
 */
export function resample(sound: Sound, rate: number): Float32Array {
  if (sound.rate === rate) return sound.samples
  const divisor = gcd(sound.rate, rate)
  const up = rate / divisor
  const down = sound.rate / divisor
  const ratio = Math.min(1, rate / sound.rate)
  const half = Math.ceil(crossings / ratio)
  // Output i lies at input position i * down / up: there are only `up` different fractions.
  const phases: (Float64Array | undefined)[] = new Array(up)
  const input = sound.samples
  const out = new Float32Array(Math.floor((input.length * up) / down))
  for (let i = 0; i < out.length; i++) {
    const position = Math.floor((i * down) / up)
    const phase = (i * down) % up
    const taps = (phases[phase] ??= phaseTaps(phase / up, ratio * passBand, half))
    const first = position - half + 1
    const from = Math.max(0, -first)
    const to = Math.min(taps.length, input.length - first)
    let sum = 0
    for (let t = from; t < to; t++) sum += taps[t]! * input[first + t]!
    out[i] = sum
  }
  return out
}
