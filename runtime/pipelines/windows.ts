const windowSecondsMax = 30
const searchSeconds = 10
const frameSeconds = 0.02

/**
 * Cuts a sound into windows of at most 30 s, each cut at the quietest 20 ms of the window's last 10 s, so that words stay whole.
 * The windows are views that lie end to end and cover every sample.
 */
export function windowsOf(samples: Float32Array, rate: number): readonly Float32Array[] {
  const windowMax = windowSecondsMax * rate
  const frame = Math.round(frameSeconds * rate)
  const windows: Float32Array[] = []
  let from = 0
  while (samples.length - from > windowMax) {
    const end = from + windowMax
    let quietest = Number.POSITIVE_INFINITY
    let cut = end
    for (let at = end - searchSeconds * rate; at + frame <= end; at += frame) {
      let energy = 0
      for (let i = at; i < at + frame; i++) energy += samples[i]! ** 2
      if (energy < quietest) {
        quietest = energy
        cut = at + Math.floor(frame / 2)
      }
    }
    windows.push(samples.subarray(from, cut))
    from = cut
  }
  windows.push(samples.subarray(from))
  return windows
}
