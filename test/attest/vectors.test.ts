import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runVectors } from '#cli/vectors.js'
import { outside } from '../fakes/outside.js'

async function run(folder: string): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const lines: string[] = []
  const code = await runVectors(folder, (line) => lines.push(line))
  return { code, lines }
}

const published = outside('vectors')

describe.skipIf(published === undefined)('published vectors', () => {
  test('every SEV-SNP case and variant agrees, and says what was skipped', async () => {
    const { code, lines } = await run(join(published!, 'sev-snp'))
    expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
    expect(code).toBe(0)
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed$/)
    const base = lines.filter((line) => line.startsWith('ok') && !line.includes('['))
    expect(base.length).toBeGreaterThanOrEqual(10)
    for (const line of base) expect(line).toContain('skipped: reference-values, crl')
  })

  test('kinds that are not built are listed as skipped and counted in neither', async () => {
    const { code, lines } = await run(join(published!, 'nitro'))
    expect(lines.filter((line) => !line.startsWith('skipped nitro') && !line.startsWith('skipped '))).toEqual([
      '0 passed, 0 failed',
    ])
    expect(code).toBe(1)
  })
})
