import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { openChain } from '#cli/chain.js'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { speechPath } from '#cli/demo.js'
import type { Io } from '#cli/output.js'
import * as proxy from '#cli/proxy.js'
import { loadTrust } from '#cli/trust-store.js'
import { createFetch } from '#client/create-fetch.js'
import { fetchModel } from '#convert/model/fetch.js'
import { outside } from '#test/fakes/outside.js'

const cache = outside('model')

/** What a command prints, and the address that a server prints first. */
class TestIo implements Io {
  out = ''
  err = ''
  readonly isTerminal = false
  readonly ready: Promise<string>
  #resolve: (url: string) => void = () => {}
  constructor() {
    this.ready = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }
  stdout(text: string) {
    this.out += text
    this.#resolve(this.out.trim())
  }
  stderr(text: string) {
    this.err += text
  }
  now = () => Math.floor(Date.now() / 1000)
  exit() {}
  async ask() {
    return null
  }
}

describe.skipIf(cache === undefined)('the official OpenAI client and a sealed speech model', () => {
  test('transcribes through createFetch and through the proxy, unchanged', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-model-'))
    const state = process.env.XDG_STATE_HOME
    process.env.XDG_STATE_HOME = join(folder, 'state')
    const io = new TestIo()
    const { folder: modelFolder } = await fetchModel({ cacheFolder: cache!, onProgress: () => undefined })
    const chain = await openChain({
      folder,
      modelFolder,
      modelName: 'moonshine',
      databaseUrl: null,
      brokerPort: 0,
      nodePort: 0,
      leaseSeconds: 300,
      // This test's own process is not closed to inspection: a closed one cannot be opened again.
      dangerousAllowInspection: true,
      io,
    })
    try {
      const typed = { model: chain.model, countries: 'DE', dangerousAllowSimulated: true }
      const { trust } = await loadTrust(chain.trustPath, io.now())
      const options = nodeClientOptions(chain.node.url, trust, clientPolicy(typed, trust), null, io)
      const speech = () => ({ model: 'moonshine', file: createReadStream(speechPath()) })
      const sealed = new OpenAI({ apiKey: 'unused', baseURL: 'https://node.invalid/v1', fetch: createFetch(options) })
      const { text } = await sealed.audio.transcriptions.create(speech())
      expect(text.toLowerCase()).toContain('ask not what your country can do for you')

      let stop: () => void = () => {}
      const stopped = new Promise<void>((resolve) => {
        stop = resolve
      })
      const proxyIo = new TestIo()
      const args = { ...typed, node: chain.node.url, trust: chain.trustPath, listen: '127.0.0.1:0' }
      const ended = proxy.run(args, proxyIo, stopped)
      const local = new OpenAI({ apiKey: 'unused', baseURL: `${await proxyIo.ready}/v1` })
      expect((await local.audio.transcriptions.create(speech())).text).toBe(text)
      expect((await local.models.list()).data.map((model) => model.id)).toEqual(['moonshine'])
      stop()
      expect(await ended).toBe(0)
    } finally {
      await chain.close()
      rmSync(folder, { recursive: true, force: true })
      if (state === undefined) delete process.env.XDG_STATE_HOME
      else process.env.XDG_STATE_HOME = state
    }
  }, 180_000)
})
