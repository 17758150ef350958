/**
 * I1, with each part of the chain as a process of its own, started by the commands that people type: which process may hold
 * what. docs/THREAT_MODEL.md, "Memory", says the same in words.
 *
 * As root only: the broker closes its memory to everybody else, and a scan that could not look proves nothing.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { utf8 } from '#core/bytes/bytes.js'
import { inferRequest, testIo } from '#test/e2e/fixtures.js'
import { type Needles, scanFiles, scanMemory } from '#test/fakes/scan.js'
import { type Apart, openApart } from '#test/invariants/apart.js'
import { nowSeconds, until } from '#test/invariants/fixtures.js'
import { brokerSecrets, namesOf, ownerSecrets, talkOf } from '#test/invariants/needles.js'

const isRoot = process.getuid?.() === 0

const noOutputs = JSON.stringify({ outputs: [{ data: Array.from({ length: 32 }, () => 0) }] })

/** Runs while another process stands still. */
async function stopped<T>(pid: number, run: () => Promise<T>): Promise<T> {
  process.kill(pid, 'SIGSTOP')
  try {
    return await run()
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

/**
 * The secrets of this process's HPKE contexts by name, as they are handed to WebCrypto: shared secrets, and the keys of
 * requests. The other side of each context has the same ones.
 */
function namedKeys() {
  const found: Record<string, Uint8Array> = {}
  const { subtle } = globalThis.crypto
  const spy = vi.spyOn(subtle, 'importKey').mockImplementation((...args: unknown[]) => {
    const [format, data, algorithm] = args
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data
    const name = `${Object.keys(found).length} ${JSON.stringify(algorithm)}`
    // A raw X25519 key is a public one.
    const isPublic = (algorithm as { name?: string }).name === 'X25519'
    const isSecret = format === 'raw' && !isPublic && bytes instanceof Uint8Array && bytes.length >= 16
    if (isSecret && new Set(bytes).size > 8) found[name] = bytes.slice()
    return importKey.apply(subtle, args as never)
  })
  return { found, end: () => spy.mockRestore() }
}
const importKey = globalThis.crypto.subtle.importKey

describe.skipIf(!isRoot)('each part in its own process (inconclusive for any user but root)', () => {
  let apart: Apart
  let secrets: Needles
  beforeAll(async () => {
    apart = await openApart()
    const owner = await ownerSecrets(apart.keys, apart.sealed)
    const broker = await brokerSecrets(join(apart.folder, 'services'))
    secrets = { weights: apart.canary, ...owner.model, ...owner.owner, ...broker }
  })
  afterAll(async () => {
    await apart?.close()
    await rm(apart.folder, { recursive: true, force: true })
  })

  /** What of these stands in the memory of each process. */
  const scan = (needles: Needles) => ({
    broker: namesOf(scanMemory([apart.broker.pid], needles)),
    witness: namesOf(scanMemory([apart.witness.pid], needles)),
    parent: namesOf(scanMemory([apart.node.pid], needles)),
    engine: namesOf(scanMemory([apart.enginePid], needles)),
  })

  async function client(): Promise<NodeClient> {
    const { trust } = await loadTrust(apart.trust, nowSeconds(), join(apart.folder, 'memory.json'))
    const policy = clientPolicy({ model: apart.model, dangerousAllowSimulated: true }, trust)
    return new NodeClient(nodeClientOptions(apart.node.ready.url!, trust, policy, null, testIo()))
  }

  test('keys: those of the broker in the broker, weights in the engine, of the model nothing but weights', async () => {
    // The control: every needle is found where this process, which is the owner here, holds it.
    const here = namesOf(scanMemory([process.pid], secrets))
    expect(here).toEqual(expect.arrayContaining(Object.keys(secrets).map((name) => `${name} raw`)))
    expect(scan(secrets)).toEqual({
      // Raw and once each: no copy was left when they were read, or used to wrap a model's key and to open it again.
      broker: ['caller secret raw', 'hybrid wrapping key raw', 'kek raw', 'wrapping key raw'],
      witness: [],
      parent: [],
      engine: ['weights raw'],
    })
    expect(scanMemory([apart.broker.pid], secrets).map(({ count }) => count)).toEqual([1, 1, 1, 1])
  })

  test('prompt and answer in no process of broker or witness, and in no file', async () => {
    const row = Float32Array.from({ length: apart.width }, (_, i) => Math.fround(Math.sin(i * 1.7) * 0.37))
    const request = inferRequest(apart.width, row)
    const answer = await (await client()).request(request)
    expect(answer.status).toBe(200)
    const talk = talkOf(row, request.body, answer.body)
    const here = namesOf(scanMemory([process.pid], talk))
    expect(here).toEqual(expect.arrayContaining(Object.keys(talk).map((name) => `${name} raw`)))
    const found = scan(talk)
    expect(found.broker).toEqual([])
    expect(found.witness).toEqual([])
    // Where they were readable, and how: never spelled in hex or base64.
    const allowed = Object.keys(talk).map((name) => `${name} raw`)
    expect(allowed).toEqual(expect.arrayContaining([...found.parent, ...found.engine]))
    expect(scanFiles([apart.folder], talk)).toEqual([])
  })

  test('while a request is in flight: readable in the parent alone, with the keys that it was sealed by; no file has it', async () => {
    // The engine stands still, so the request cannot be answered; it waits where a host would look for it.
    const one = await client()
    await one.node()
    const row = Float32Array.from({ length: apart.width }, (_, i) => Math.fround(Math.cos(i * 2.3) * 0.61))
    const request = inferRequest(apart.width, row)
    const { keys, answered } = await stopped(apart.enginePid, async () => {
      const keys = namedKeys()
      const answered = one.request(request)
      const { 'prompt numbers': numbers, 'prompt text': text } = talkOf(row, request.body, utf8(noOutputs))
      const prompt = { 'prompt numbers': numbers!, 'prompt text': text! }
      // The control: in flight it is really there. Nothing to be found would mean that it had not come yet.
      await until(() => namesOf(scanMemory([apart.node.pid], prompt)).includes('prompt numbers raw'))
      keys.end()
      expect(Object.keys(keys.found).length).toBeGreaterThan(2)
      const inFlight = scan({ ...prompt, ...keys.found })
      expect(inFlight.parent).toEqual(expect.arrayContaining(['prompt numbers raw']))
      const raw = Object.keys({ ...prompt, ...keys.found }).map((name) => `${name} raw`)
      expect(raw).toEqual(expect.arrayContaining([...inFlight.parent])) // never spelled otherwise
      // Neither broker nor witness learns of it, and the model's process is out of reach of the keys.
      expect([inFlight.broker, inFlight.witness]).toEqual([[], []])
      expect(inFlight.engine.filter((name) => !name.startsWith('prompt'))).toEqual([])
      expect(scanFiles([apart.folder], { ...prompt, ...keys.found })).toEqual([])
      // The model's key is nowhere while it is used, and the broker's are where they were.
      expect(scan(secrets)).toEqual({
        broker: ['caller secret raw', 'hybrid wrapping key raw', 'kek raw', 'wrapping key raw'],
        witness: [],
        parent: [],
        engine: ['weights raw'],
      })
      return { keys, answered }
    })
    expect((await answered).status).toBe(200)
    // The keys of the request are in no process that had no part in it, afterwards either.
    const later = scan(keys.found)
    expect([later.broker, later.witness, later.engine]).toEqual([[], [], []])
  })

  test('a node that has ended leaves nothing: the rest is as it was', async () => {
    await apart.node.stop()
    const names = namesOf(scanMemory([apart.broker.pid, apart.witness.pid], secrets))
    expect(names).toEqual(['caller secret raw', 'hybrid wrapping key raw', 'kek raw', 'wrapping key raw'])
    // TMPDIR of all of them is in this folder. The plain model is the owner's own.
    const places = [...Object.values(apart.services), apart.sealed, join(apart.folder, 'state')]
    expect(namesOf(scanFiles(places, secrets))).toEqual([
      'caller secret raw',
      'hybrid wrapping key raw',
      'kek raw',
      'wrapping key raw',
    ])
  })
})
