import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runVectors } from '#cli/vectors.js'
import { mintCompositeVectors } from '../../fakes/composite-vectors.js'

// With CLAVIGER_MINT_COMPOSITE_VECTORS set to a folder the vectors are written there; else to one that ends with the test.
const kept = process.env.CLAVIGER_MINT_COMPOSITE_VECTORS
const folder = kept ?? mkdtempSync(join(tmpdir(), 'claviger-composite-'))
afterAll(() => {
  if (kept === undefined) rmSync(folder, { recursive: true, force: true })
})

test('freshly minted vectors agree, each by its own code', async () => {
  for (const [path, bytes] of await mintCompositeVectors()) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
  const lines: string[] = []
  const code = await runVectors(folder, (line) => lines.push(line))
  expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
  expect(code).toBe(0)
})
