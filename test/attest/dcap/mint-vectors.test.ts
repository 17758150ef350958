import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runVectors } from '#cli/vectors.js'
import { mintDcapVectors } from '../../fakes/dcap-vectors.js'

// With CLAVIGER_MINT_DCAP_VECTORS set to a folder the vectors are written there; else to one that ends with the test.
const kept = process.env.CLAVIGER_MINT_DCAP_VECTORS
const folder = kept ?? mkdtempSync(join(tmpdir(), 'claviger-dcap-'))
afterAll(() => {
  if (kept === undefined) rmSync(folder, { recursive: true, force: true })
})

test.each(['tdx', 'sgx'] as const)('freshly minted vectors of %s agree, each by its own code', async (kind) => {
  for (const [path, bytes] of await mintDcapVectors(kind)) {
    mkdirSync(dirname(join(folder, kind, path)), { recursive: true })
    writeFileSync(join(folder, kind, path), bytes)
  }
  const lines: string[] = []
  const code = await runVectors(join(folder, kind), (line) => lines.push(line))
  expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
  expect(code).toBe(0)
})
