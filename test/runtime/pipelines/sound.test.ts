import { describe, expect, test } from 'vitest'
import { resample } from '#runtime/pipelines/resample.js'
import { windowsOf } from '#runtime/pipelines/windows.js'

function tone(hertz: number, rate: number, seconds = 0.5): Float32Array {
  return Float32Array.from({ length: Math.floor(rate * seconds) }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate))
}
/** Root mean square of the middle, away from the filter's edges. */
function level(samples: Float32Array): number {
  const middle = samples.subarray(samples.length >> 2, (samples.length * 3) >> 2)
  return Math.sqrt(middle.reduce((sum, one) => sum + one * one, 0) / middle.length)
}

describe('resampling to 16 kHz', () => {
  test.each([8000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000])(
    'a 1 kHz tone from %i Hz is the same tone',
    (rate) => {
      const out = resample({ rate, samples: tone(1000, rate) }, 16_000)
      const wanted = tone(1000, 16_000)
      expect(Math.abs(out.length - wanted.length)).toBeLessThanOrEqual(1)
      const difference = out.map((one, i) => one - (wanted[i] ?? 0))
      expect(level(difference)).toBeLessThan(1e-3)
    },
  )
  test.each([22_050, 44_100, 48_000])('a tone above 8 kHz from %i Hz does not fold back', (rate) => {
    expect(level(resample({ rate, samples: tone(9500, rate) }, 16_000))).toBeLessThan(1e-3)
  })
  test('a constant stays itself', () => {
    const out = resample({ rate: 44_100, samples: new Float32Array(44_100).fill(0.5) }, 16_000)
    expect(level(out)).toBeCloseTo(0.5, 5)
  })
  test('the same rate is the same sound', () => {
    const samples = tone(440, 16_000)
    expect(resample({ rate: 16_000, samples }, 16_000)).toBe(samples)
  })
})

describe('windows', () => {
  test('short sound is one window', () => {
    expect(windowsOf(new Float32Array(100), 16_000)).toHaveLength(1)
  })
  test('long sound is cut where it is quiet, and nothing is lost', () => {
    const samples = new Float32Array(16_000 * 70).fill(0.5)
    samples.fill(0, 16_000 * 25, 16_000 * 26)
    const windows = windowsOf(samples, 16_000)
    expect(windows.reduce((sum, window) => sum + window.length, 0)).toBe(samples.length)
    const cut = windows[0]!.length / 16_000
    expect(cut).toBeGreaterThan(25)
    expect(cut).toBeLessThan(26)
    for (const window of windows) expect(window.length).toBeLessThanOrEqual(16_000 * 30)
  })
})
