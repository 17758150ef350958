import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Writer } from '#core/bytes/writer.js'
import { isFailure } from '#core/failure.js'
import { parseWav } from '#runtime/pipelines/wav.js'
import { codeOf } from '#test/fakes/code-of.js'

interface Parts {
  readonly riff?: string
  readonly size?: number
  readonly tag?: number
  readonly channels?: number
  readonly rate?: number
  readonly byteRate?: number
  readonly bits?: number
  readonly samples?: readonly number[]
  readonly dataLength?: number
  readonly order?: readonly ('fmt' | 'data' | 'LIST')[]
}

const ascii = (text: string) => new TextEncoder().encode(text)

function wav(parts: Parts = {}): Uint8Array {
  const { tag = 1, channels = 1, rate = 16_000, bits = 16, samples = [0, 16_384, -32_768, 32_767] } = parts
  const body = new Writer()
  for (const chunk of parts.order ?? ['fmt', 'data']) {
    if (chunk === 'fmt') {
      const block = (channels * bits) / 8
      body.bytes(ascii('fmt ')).u32le(16).u16le(tag).u16le(channels).u32le(rate)
      body
        .u32le(parts.byteRate ?? rate * block)
        .u16le(block)
        .u16le(bits)
    } else if (chunk === 'LIST') {
      body.bytes(ascii('LIST')).u32le(3).bytes(new Uint8Array(4))
    } else {
      body.bytes(ascii('data')).u32le(parts.dataLength ?? samples.length * 2)
      for (const sample of samples) body.u16le(sample & 0xffff)
    }
  }
  const bytes = body.done()
  const head = new Writer()
    .bytes(ascii(parts.riff ?? 'RIFF'))
    .u32le(parts.size ?? bytes.length + 4)
    .bytes(ascii('WAVE'))
  return head.bytes(bytes).done()
}

describe('wav', () => {
  test('reads mono samples as -1 to 1', () => {
    const sound = parseWav(wav())
    expect(sound.rate).toBe(16_000)
    expect([...sound.samples]).toEqual([0, 0.5, -1, 32_767 / 32_768])
  })
  test('mixes stereo down', () => {
    expect([...parseWav(wav({ channels: 2, samples: [16_384, 0, -32_768, -32_768] })).samples]).toEqual([0.25, -1])
  })
  test('passes over other chunks, with their padding', () => {
    expect(parseWav(wav({ order: ['LIST', 'fmt', 'LIST', 'data', 'LIST'] })).samples).toHaveLength(4)
  })
  test('reads the sample that the demo sends', () => {
    const sound = parseWav(new Uint8Array(readFileSync('cli/assets/ask-not.wav')))
    expect(sound.rate).toBe(22_050)
    expect(sound.samples.length / sound.rate).toBeCloseTo(5.5, 1)
  })

  const refused: readonly [string, Parts, string][] = [
    ['another container', { riff: 'RIFX' }, 'audio/format'],
    ['a size that is too small', { size: 10 }, 'audio/truncated'],
    ['a size past the end', { size: 4000 }, 'audio/truncated'],
    ['float samples', { tag: 3 }, 'audio/unsupported'],
    ['24-bit samples', { bits: 24, samples: [] }, 'audio/unsupported'],
    ['six channels', { channels: 6, samples: [] }, 'audio/unsupported'],
    ['a rate of 1 Hz', { rate: 1 }, 'audio/unsupported'],
    ['a byte rate that contradicts', { byteRate: 7 }, 'audio/format'],
    ['a data chunk past the end', { dataLength: 100 }, 'audio/truncated'],
    ['half a frame', { channels: 2, samples: [1, 2, 3] }, 'audio/format'],
    ['data before its format', { order: ['data', 'fmt'] }, 'audio/format'],
    ['two formats', { order: ['fmt', 'fmt', 'data'] }, 'audio/format'],
    ['two data chunks', { order: ['fmt', 'data', 'data'] }, 'audio/format'],
    ['no data', { order: ['fmt'] }, 'audio/format'],
  ]
  test.each(refused)('refuses %s', (_, parts, code) => {
    expect(codeOf(() => parseWav(wav(parts)))).toBe(code)
  })

  test('any bytes: a sound or a Failure', () => {
    const valid = wav()
    const mutated = fc.tuple(fc.nat(valid.length - 1), fc.nat(255)).map(([at, byte]) => {
      const bytes = valid.slice()
      bytes[at] = byte
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
        try {
          parseWav(bytes)
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }),
    )
  })
})
