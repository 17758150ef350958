/**
 * What belongs in runtime/pipelines: pure steps around a graph: sound to samples, ids to text, the decode loop.
 * What does not: ONNX Runtime itself (runtime/engine) and routes (runtime/api).
 */
import { Reader } from '#core/bytes/reader.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of reading sound. */
export type AudioCode = 'audio/format' | 'audio/unsupported' | 'audio/truncated' | 'audio/too-long' | 'audio/too-short'

/** Mono sound, -1 to 1. */
export interface Sound {
  readonly rate: number
  readonly samples: Float32Array
}

export const wavSizeMax = 32 * MiB
const chunksMax = 64
const rateMin = 8000
const rateMax = 192_000
const pcm = 1
const extensible = 0xfffe
// The tail that every WAVE sub-format GUID shares: 0000-0010-8000-00aa00389b71.
const guidTail = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]

interface Format {
  readonly channels: number
  readonly rate: number
}

function parseFormat(chunk: Uint8Array): Format {
  if (chunk.length < 16)
    throw new Failure<AudioCode>('audio/format', `fmt chunk has ${chunk.length} bytes, expected 16`)
  const reader = new Reader(chunk)
  let tag = reader.u16le()
  const channels = reader.u16le()
  const rate = reader.u32le()
  const byteRate = reader.u32le()
  const blockAlign = reader.u16le()
  const bits = reader.u16le()
  if (tag === extensible && chunk.length >= 40) {
    reader.bytes(8)
    tag = reader.u16le()
    const tail = reader.bytes(14)
    if (guidTail.some((byte, i) => tail[i] !== byte)) tag = extensible
  }
  if (tag !== pcm || bits !== 16) {
    throw new Failure<AudioCode>('audio/unsupported', `expected 16-bit PCM, format tag is ${tag} with ${bits} bits`)
  }
  if (channels !== 1 && channels !== 2) {
    throw new Failure<AudioCode>('audio/unsupported', `expected 1 or 2 channels, found ${channels}`)
  }
  if (rate < rateMin || rate > rateMax) {
    throw new Failure<AudioCode>('audio/unsupported', `sample rate ${rate}, expected ${rateMin} to ${rateMax}`)
  }
  if (blockAlign !== channels * 2 || byteRate !== rate * blockAlign) {
    throw new Failure<AudioCode>('audio/format', 'block size or byte rate disagree with channels, bits and rate')
  }
  return { channels, rate }
}

function samplesOf(chunk: Uint8Array, channels: number): Float32Array {
  const frame = channels * 2
  if (chunk.length % frame !== 0) throw new Failure<AudioCode>('audio/format', 'data chunk ends inside a frame')
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  const out = new Float32Array(chunk.length / frame)
  for (let i = 0; i < out.length; i++) {
    let sum = 0
    for (let c = 0; c < channels; c++) sum += view.getInt16(i * frame + c * 2, true)
    out[i] = sum / (channels * 32768)
  }
  return out
}

/**
 * The sound of a RIFF WAVE file: 16-bit PCM, mono or stereo (mixed down), 8 to 192 kHz.
 *
 * bytes   at most 32 MiB; chunks other than `fmt ` and `data` are passed over, each of these must occur once, in order
 * throws  audio/format, audio/unsupported, audio/truncated, audio/too-long
 * source  Multimedia Programming Interface and Data Specifications 1.0, "Waveform Audio File Format (WAVE)"
 */
export function parseWav(bytes: Uint8Array): Sound {
  if (bytes.length > wavSizeMax) {
    throw new Failure<AudioCode>('audio/too-long', `${bytes.length} bytes, at most ${wavSizeMax}`)
  }
  if (bytes.length < 12) throw new Failure<AudioCode>('audio/format', 'shorter than a RIFF header')
  const reader = new Reader(bytes)
  const riff = reader.u32be()
  const size = reader.u32le()
  const wave = reader.u32be()
  if (riff !== 0x52494646 || wave !== 0x57415645) throw new Failure<AudioCode>('audio/format', 'not a RIFF WAVE file')
  if (size !== bytes.length - 8) {
    throw new Failure<AudioCode>('audio/truncated', `header says ${size} bytes follow, ${bytes.length - 8} do`)
  }
  let format: Format | undefined
  let samples: Float32Array | undefined
  for (let chunks = 0; reader.left > 0; chunks++) {
    if (chunks >= chunksMax) throw new Failure<AudioCode>('audio/format', `more than ${chunksMax} chunks`)
    if (reader.left < 8) throw new Failure<AudioCode>('audio/format', 'bytes after the last chunk')
    const id = reader.u32be()
    const length = reader.u32le()
    if (length + (length % 2) > reader.left) {
      throw new Failure<AudioCode>('audio/truncated', `chunk of ${length} bytes, ${reader.left} left`)
    }
    const chunk = reader.bytes(length)
    if (length % 2 === 1) reader.u8()
    if (id === 0x666d7420) {
      if (format !== undefined) throw new Failure<AudioCode>('audio/format', 'two fmt chunks')
      format = parseFormat(chunk)
    } else if (id === 0x64617461) {
      if (format === undefined || samples !== undefined) {
        throw new Failure<AudioCode>('audio/format', 'data chunk before fmt chunk, or twice')
      }
      samples = samplesOf(chunk, format.channels)
    }
  }
  if (format === undefined || samples === undefined) {
    throw new Failure<AudioCode>('audio/format', 'no fmt or no data chunk')
  }
  return { rate: format.rate, samples }
}
