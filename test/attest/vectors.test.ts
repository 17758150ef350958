import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fixes } from '#attest/fixes.js'
import { parseCase } from '#attest/vectors/case.js'
import { applyVariant, inputOf } from '#attest/vectors/run.js'
import { runVectors } from '#cli/vectors.js'
import { utf8 } from '#core/bytes/bytes.js'
import { packageRoot } from '#host/process.js'
import { codeOf } from '../fakes/code-of.js'
import { outside } from '../fakes/outside.js'

async function run(folder: string): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const lines: string[] = []
  const code = await runVectors(folder, (line) => lines.push(line))
  return { code, lines }
}

const published = outside('vectors')

describe.skipIf(published === undefined)('published vectors', () => {
  test.each([
    ['sev-snp', 10],
    ['tdx', 10],
    ['sgx', 3],
    ['nitro', 9],
    ['nvidia-gpu', 17],
    ['azure-vtpm', 4],
    ['arm-cca', 4],
  ])('every %s case and variant agrees, and says what was skipped', async (kind, count) => {
    const { code, lines } = await run(join(published!, kind))
    expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
    expect(code).toBe(0)
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed$/)
    expect(lines.some((line) => line.startsWith('1 disputed'))).toBe(kind === 'nitro')
    const base = lines.filter((line) => line.startsWith('ok') && !line.includes('['))
    expect(base.length).toBeGreaterThanOrEqual(count)
    for (const line of base) expect(line).toContain('skipped: reference-values, crl')
  })

  test('a case that is known to be wrong is disputed by its bytes, and its neighbours are not', async () => {
    const { lines } = await run(join(published!, 'nitro/bad-signature-2022-veracruz'))
    expect(lines.filter((line) => line.startsWith('DISPUTED'))).toHaveLength(1)
    expect(lines.slice(-2)).toEqual([expect.stringMatching(/^1 disputed/), '3 passed, 0 failed'])
  })
})

describe('a folder without cases', () => {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-vectors-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const nested = (count: number) => Array.from({ length: count }, () => 'a').join('/')

  test.each([
    ['missing', 'missing', undefined],
    ['empty', 'empty', 'empty'],
    ['a file', 'file/case.json', 'file'],
    ['nested without end', 'deep', join('deep', nested(8))],
  ])('%s: no case ran, the last line says so, exit 1', async (_, name, made) => {
    if (made !== undefined) mkdirSync(join(folder, made), { recursive: true })
    if (made === 'file') writeFileSync(join(folder, name), '{}')
    expect(await run(join(folder, name))).toEqual({ code: 1, lines: ['0 passed, 0 failed'] })
  })

  test('the command itself ends the same way', () => {
    const args = ['run', '-s', 'vectors', '--', join(folder, 'missing')]
    const { status, stdout, stderr } = spawnSync('npm', args, { cwd: packageRoot(), encoding: 'utf8' })
    expect([status, stdout]).toEqual([1, '0 passed, 0 failed\n'])
    expect(stderr).toContain('error: ENOENT')
  })
})

const minted = join(import.meta.dirname, '../vectors/snp')
const readCase = (name: string, folder = minted) => JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8'))
const mintedKinds = ['snp', 'tdx', 'sgx', 'nitro', 'cca', 'gpu', 'azure', 'composite'].map((kind) => {
  const folder = join(import.meta.dirname, '../vectors', kind)
  return { kind, folder, names: readdirSync(folder).filter((name) => existsSync(join(folder, name, 'case.json'))) }
})

describe('minted vectors', () => {
  test.each(mintedKinds)('every case of $kind agrees, by the code that it names', async ({ folder, names }) => {
    const { code, lines } = await run(folder)
    expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
    expect(code).toBe(0)
    expect(lines.at(-1)).toBe(`${names.length} passed, 0 failed`)
  })

  test('every failure of a verification has a case, but for those that the envelope refuses first', () => {
    const covered = new Set(
      mintedKinds.flatMap(({ folder, names }) => names.map((name) => readCase(name, folder).code)),
    )
    // Sizes are bounded by the envelope's shape, and a chain always has three certificates: core tests raise these.
    const elsewhere = ['snp/size', 'azure/size', 'x509/size', 'chain/length', 'crl/size', 'ocsp/size']
    const missing = Object.keys(fixes).filter((code) => !covered.has(code))
    expect(missing.sort()).toEqual(elsewhere.sort())
  })

  test('all say that they are not hardware', () => {
    const cases = mintedKinds.flatMap(({ folder, names }) => names.map((name) => readCase(name, folder)))
    for (const one of cases) expect(one).toMatchObject({ realHardware: false, note: 'NOT HARDWARE' })
  })
})

describe('a case that does not agree', () => {
  async function runAltered(change: (one: Record<string, unknown>) => void): Promise<readonly string[]> {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-case-'))
    try {
      const one = readCase('genoa-good')
      for (const [role, file] of Object.entries(one.files as Record<string, string>)) {
        writeFileSync(join(folder, `${role}.x`), readFileSync(join(minted, 'genoa-good', file)))
        one.files[role] = `${role}.x`
      }
      change(one)
      mkdirSync(join(folder, 'case'))
      for (const file of readdirSync(folder).filter((name) => name.endsWith('.x')))
        writeFileSync(join(folder, 'case', file), readFileSync(join(folder, file)))
      writeFileSync(join(folder, 'case', 'case.json'), JSON.stringify(one))
      const { code, lines } = await run(folder)
      expect(code).toBe(1)
      return lines
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  test.each([
    ['expects a failure', { expect: 'fail' }, /expected fail, is pass/],
    ['expects bad cryptography', { expectCrypto: 'fail' }, /cryptography: expected fail, is pass/],
    ['expects another code', { code: 'snp/signature' }, /expected code snp\/signature, is null/],
    ['decodes a field otherwise', { expected: { guestSvn: 9 } }, /guestSvn is 0, expected 9/],
    [
      'names a file that is not there',
      { files: { report: 'absent.bin' } },
      /file absent.bin of role report is missing/,
    ],
    ['reaches out of its folder', { files: { report: '../../case.json' } }, /does not match/],
    ['has a variant that changes nothing', { variants: [{ name: 'v', expect: 'fail' }] }, /variant changes nothing/],
    [
      'has a variant beyond the end of a file',
      { variants: [{ name: 'v', expect: 'fail', mutate: { file: 'report', offset: 1184, xor: '01' } }] },
      /cannot change byte 1184/,
    ],
    [
      'has a variant that passes where it should fail',
      { variants: [{ name: 'v', expect: 'fail', validAt: '2026-05-28T20:26:41Z' }] },
      /\[v\]: expected fail, is pass/,
    ],
  ])('is counted as failed when it %s', async (_, change, message) => {
    const lines = await runAltered((one) => Object.assign(one, change))
    expect(lines.some((line) => line.startsWith('FAILED') && message.test(line))).toBe(true)
  })

  test('is refused by code where it says what it cannot be about', () => {
    const good = readCase('genoa-good')
    const bytes = (value: unknown) => utf8(JSON.stringify(value))
    const one = parseCase(bytes(good))
    const files = (name: string) => new Uint8Array(readFileSync(join(minted, 'genoa-good', name)))
    const variant = { name: 'v', expect: 'fail' } as never
    expect(codeOf(() => parseCase(bytes({ ...good, validAt: '2026-13-01T00:00:00Z' })))).toBe('case/form')
    expect(codeOf(() => inputOf(one, () => undefined))).toBe('case/file')
    const input = inputOf(one, files)
    expect(codeOf(() => applyVariant(one, input, variant, files, new Map()))).toBe('case/variant')
  })

  test('of a kind that is not built is listed as skipped and counted in neither', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-kind-'))
    mkdirSync(join(folder, 'one'))
    writeFileSync(join(folder, 'one', 'case.json'), JSON.stringify({ tee: 'another-tee' }))
    const { code, lines } = await run(folder)
    rmSync(folder, { recursive: true })
    expect(lines).toEqual(['skipped one: no verifier for another-tee yet', '0 passed, 0 failed'])
    expect(code).toBe(1)
  })

  test('a folder without cases is a failure', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-none-'))
    const { code, lines } = await run(folder)
    rmSync(folder, { recursive: true })
    expect({ code, lines }).toEqual({ code: 1, lines: ['0 passed, 0 failed'] })
  })
})
