/**
 * `decrypt`: the segments of a sealed file of 256 MiB, from memory to memory, against `openssl speed` on the same machine in
 * the same round. Lines: the cipher alone; cipher and digest, as the engine opens a file, against openssl's two; two threads
 * against one of ours.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Floe, segmentOverhead } from '#core/sealed/floe.js'
import { ciphertextLength, segmentCount, segmentLength, segmentPlace } from '#core/sealed/layout.js'
import { comparisonLine } from './compare.js'
import type { DecryptTask } from './decrypt-worker.js'

const size = 256 * 1024 * 1024
type Whole = Omit<DecryptTask, 'first' | 'step' | 'withDigest'>

function shared(bytes: Uint8Array | number): Uint8Array {
  const out = new Uint8Array(new SharedArrayBuffer(typeof bytes === 'number' ? bytes : bytes.length))
  if (typeof bytes !== 'number') out.set(bytes)
  return out
}

function seal(): Whole {
  const [key, aad, iv] = [shared(randomBytes(32)), shared(utf8('bench')), new Uint8Array(randomBytes(32))]
  const floe = Floe.seal({ segmentLength }, key, aad, iv)
  const sealed = shared(ciphertextLength(size))
  const plaintext = shared(size)
  const part = new Uint8Array(randomBytes(segmentLength))
  const digests = Array.from({ length: segmentCount(size) }, (_, index) => {
    const place = segmentPlace(size, index)
    const to = sealed.subarray(place.at, place.at + place.plaintextLength + segmentOverhead)
    floe.sealSegmentInto(index, place.last, randomBytes(12), part.subarray(0, place.plaintextLength), to)
    return toHex(sha256(to))
  })
  return { key, aad, header: floe.header, segmentLength, sealed, plaintext, digests }
}

/** Threads that wait: `round` sets all of them to work and gives the GB/s that they reach together. */
interface Pool {
  round(): Promise<number>
  end(): Promise<void>
}

async function startPool(whole: Whole, threads: number, withDigest: boolean): Promise<Pool> {
  const path = fileURLToPath(new URL('./decrypt-worker.js', import.meta.url))
  const workers = Array.from({ length: threads }, (_, first) => {
    const workerData: DecryptTask = { ...whole, first, step: threads, withDigest }
    return new Worker(path, { workerData, execArgv: [] })
  })
  const answers = () =>
    Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            worker.once('message', () => {
              worker.off('error', reject)
              resolve()
            })
            worker.once('error', reject)
          }),
      ),
    )
  await answers()
  return {
    async round() {
      whole.plaintext.fill(0)
      const start = performance.now()
      const done = answers()
      for (const worker of workers) worker.postMessage('go')
      await done
      const seconds = (performance.now() - start) / 1000
      if (whole.plaintext[size - 1] === 0 && whole.plaintext[size - 2] === 0 && whole.plaintext[size - 3] === 0) {
        throw new Error('nothing was decrypted')
      }
      return size / seconds / 1e9
    },
    end: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  }
}

/** GB/s of the peer for pieces of 1 MiB that stay in its cache; by the clock, as ours: it would count its own CPU time only. */
function opensslSpeed(name: string): number {
  const args = ['speed', '-elapsed', '-evp', name, '-bytes', '1048576', '-seconds', '1']
  const out = execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const last = out.trim().split('\n').at(-1) ?? ''
  const thousands = Number(/ ([0-9.]+)k$/.exec(last)?.[1])
  if (!(thousands > 0)) throw new Error(`openssl speed printed: ${last}`)
  return thousands / 1e6
}

/** Prints GB/s, higher is better. */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string', default: '7' } } })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new Error('--rounds: expected 1 to 100')
  const whole = seal()
  const pools = {
    cipher: await startPool(whole, 1, false),
    one: await startPool(whole, 1, true),
    two: await startPool(whole, 2, true),
  }
  const found: Record<keyof typeof pools | 'aes' | 'aesAndSha', number[]> = {
    cipher: [],
    one: [],
    two: [],
    aes: [],
    aesAndSha: [],
  }
  for (const pool of Object.values(pools)) await pool.round() // warms memory and compiler
  for (let round = 0; round < rounds; round++) {
    const aes = opensslSpeed('aes-256-gcm')
    for (const name of ['cipher', 'one', 'two'] as const) found[name].push(await pools[name].round())
    const sha = opensslSpeed('sha256')
    found.aes.push(aes)
    found.aesAndSha.push(1 / (1 / aes + 1 / sha))
  }
  for (const pool of Object.values(pools)) await pool.end()
  process.stdout.write(comparisonLine({ name: 'decrypt/1t', ours: found.cipher, peer: found.aes, goal: 0.75 }))
  process.stdout.write(
    comparisonLine({ name: 'decrypt/1t+digest', ours: found.one, peer: found.aesAndSha, goal: 0.75 }),
  )
  process.stdout.write(comparisonLine({ name: 'decrypt/2t', ours: found.two, peer: found.one, goal: 1.7 }))
  process.stderr.write(
    'GB/s. Ours: 256 MiB in segments of 1 MiB, memory to memory. Peer: openssl speed, one 1 MiB buffer in its cache;\n' +
      '1t+digest: AES-256-GCM and SHA-256 one after the other. 2t: two threads against one of ours; wants two free cores.\n',
  )
}
