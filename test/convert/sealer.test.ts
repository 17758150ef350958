import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOwnerKeys, ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { openSealedFolder, verifyContents } from '#convert/unseal/sealed-folder.js'
import { packageRoot } from '#host/process.js'
import { onnxModel } from '../fakes/onnx-models.js'

const MiB = 1024 * 1024
let work: string

interface Said {
  readonly done?: number
  readonly before?: number
  readonly most?: number
}

/** Runs a sealer as a process of its own; `onSaid` returns true to have it killed. */
async function runSealer(model: string, out: string, onSaid: (said: Said) => boolean): Promise<number | null> {
  const script = join(packageRoot(), 'dist/test/processes/sealer.js')
  const child = spawn(process.execPath, [script, model, out, join(work, 'keys')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  for await (const line of createInterface({ input: child.stdout })) {
    if (onSaid(JSON.parse(line) as Said)) child.kill('SIGKILL')
  }
  return ended
}

/** A graph, and `size` bytes of external data that take no room on disk. */
function writeModel(name: string, size: number): string {
  const folder = join(work, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'model.onnx'), onnxModel({ external: { location: 'weights.bin' } }))
  writeFileSync(join(folder, 'weights.bin'), '')
  truncateSync(join(folder, 'weights.bin'), size)
  return folder
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'claviger-sealer-'))
  await createOwnerKeys(join(work, 'keys'), 'acme')
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

describe('sealModel as a process', () => {
  test('takes no more memory for 300 MiB than for a few', async () => {
    const grown = async (name: string, size: number): Promise<number> => {
      const figures: Said[] = []
      const code = await runSealer(writeModel(name, size), join(work, `${name}-sealed`), (said) => {
        if (said.most !== undefined) figures.push(said)
        return false
      })
      expect(code).toBe(0)
      return (figures[0]!.most! - figures[0]!.before!) / 1024
    }
    const small = await grown('small', 8 * MiB)
    const large = await grown('large', 300 * MiB)
    process.stderr.write(`sealing grew by ${small.toFixed(0)} MiB for 8 MiB, by ${large.toFixed(0)} MiB for 300 MiB\n`)
    expect(large).toBeLessThan(100)
    rmSync(join(work, 'large-sealed'), { recursive: true })
  })

  test('killed at any moment, leaves no sealed folder, and the next one succeeds', async () => {
    const model = writeModel('killed', 24 * MiB)
    const out = join(work, 'killed-sealed')
    for (const part of [1, 0.5, 0.1]) {
      const code = await runSealer(model, out, ({ done }) => done !== undefined && done >= part * 24 * MiB)
      // At the very end the process may be done before the signal comes: then the folder must be whole.
      if (code === 0) rmSync(out, { recursive: true })
      else expect(readdirSync(work).includes('killed-sealed') ? await isWhole(out) : 'absent').not.toBe('half')
      rmSync(out, { recursive: true, force: true })
    }
    const leftovers = () => readdirSync(work).filter((name) => name.startsWith('killed-sealed.sealing-'))
    const [left] = leftovers()
    expect(leftovers()).toHaveLength(1) // that of the last, or it was not killed in time: each takes away those before it
    // What a killed sealer leaves is no plaintext: sealed zeros have no run of zeros.
    const weights = readFileSync(join(work, left!, 'files/weights.bin.floe'))
    expect(weights.includes(Buffer.alloc(32))).toBe(false)
    expect(await runSealer(model, out, () => false)).toBe(0)
    expect(await isWhole(out)).toBe('whole')
    expect(leftovers()).toEqual([])
    expect(readdirSync(join(work, 'keys', ownerKeyFiles.deks)).length).toBeGreaterThan(0)
  })
})

async function isWhole(folder: string): Promise<'whole' | 'half'> {
  try {
    const { manifest, signature } = await openSealedFolder(folder, null)
    await verifyContents(folder, manifest, signature)
    return 'whole'
  } catch {
    return 'half'
  }
}
