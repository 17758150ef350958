import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startEngine } from '#runtime/engine/start.js'
import { sampleRate } from '#runtime/pipelines/moonshine.js'
import { resample } from '#runtime/pipelines/resample.js'
import { parseWav } from '#runtime/pipelines/wav.js'
import { outside } from '#test/fakes/outside.js'
import { sealFixture } from '#test/fakes/sealed-model.js'

const models = outside('model')
/** What test/tools/make-speech.sh has the recording say. */
const spoken = 'Ask not what your country can do for you. Ask what you can do for your country.'
const words = (text: string) => text.toLowerCase().match(/[a-z]+/g) ?? []

test.skipIf(models === undefined)(
  'a sealed speech model understands a recording, the same each time',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'speech-'))
    try {
      const { wrapFor, manifestBytes } = await sealFixture(join(models!, 'moonshine-tiny'), folder)
      const engine = await startEngine()
      try {
        const metadata = await engine.load({ folder, manifestBytes, threads: 1, ...(await wrapFor(engine.releaseKey)) })
        expect(metadata.pipeline).toBe('moonshine')
        const sound = resample(parseWav(new Uint8Array(readFileSync('cli/assets/ask-not.wav'))), sampleRate)
        const first = await engine.transcribe(sound.slice())
        const second = await engine.transcribe(sound.slice())
        expect(second).toEqual(first)
        expect(words(first.text)).toEqual(words(spoken))
        expect(first.tokens).toBeGreaterThan(10)
      } finally {
        await engine.unload()
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
  60_000,
)

test('what the recording says stands nowhere in what runs the model', () => {
  const sources = readdirSync('runtime', { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
  expect(sources.length).toBeGreaterThan(50)
  const some = spoken.toLowerCase().split('. ')[0]!.slice(4, 20)
  const texts = sources.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').toLowerCase())
  expect(texts.filter((text) => text.includes(some))).toEqual([])
  expect(some).toBe('not what your co')
})
