import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runVectors } from '#cli/vectors.js'
import { backend } from '#crypto-backend'
import { outside } from '../../fakes/outside.js'

// The tests of core run on both backends: so do the vectors, since console and client verify in the browser too.
const published = outside('vectors')
const folders = [join(import.meta.dirname, '../../vectors/snp'), ...(published ? [join(published, 'sev-snp')] : [])]

test.each(folders)(`the vectors in %s agree on the ${backend.name} backend`, async (folder) => {
  const lines: string[] = []
  const code = await runVectors(folder, (line) => lines.push(line))
  expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
  expect(code).toBe(0)
})
