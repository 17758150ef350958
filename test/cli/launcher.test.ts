import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { packageRoot } from '#host/process.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-launcher-'))
afterAll(() => {
  rmSync(work, { recursive: true, force: true })
})
const launcher = join(packageRoot(), 'claviger')
const { PATH = '' } = process.env
const env = { PATH, HOME: work, XDG_STATE_HOME: join(work, 'state') }

describe('the launcher', () => {
  test('starts no code that the environment names, and says so', () => {
    const mark = join(work, 'loaded')
    const code = join(work, 'code.cjs')
    writeFileSync(code, `require('fs').appendFileSync(${JSON.stringify(mark)}, 'x')`)
    const NODE_OPTIONS = `--require ${code}`
    // The control: Node by itself loads it.
    spawnSync(process.execPath, ['-e', '0'], { env: { ...env, NODE_OPTIONS } })
    expect(existsSync(mark)).toBe(true)
    rmSync(mark)
    const run = spawnSync(launcher, ['keys', '--help'], { env: { ...env, NODE_OPTIONS }, encoding: 'utf8' })
    expect([run.status, run.stderr]).toEqual([0, 'claviger: NODE_OPTIONS is not heeded\n'])
    expect(run.stdout).toContain('claviger keys')
    expect(existsSync(mark)).toBe(false)
  })

  test('passes words on as they are, and the exit code back', () => {
    const out = join(work, `keys with 'quotes' and "$HOME"`)
    const run = spawnSync(launcher, ['keys', 'new', '--out', out, '--name', 'a', '--json'], { env, encoding: 'utf8' })
    expect([run.status, run.stderr.startsWith('claviger')]).toEqual([0, false])
    expect(existsSync(join(out, 'owner.pub.pem'))).toBe(true)
    expect(spawnSync(launcher, ['no-such-command'], { env }).status).toBe(2)
  })
})

test('nothing in the repository starts the commands past the launcher', () => {
  const past = /\bnode\s+(?:\.\/)?claviger\b|\bnpx\s+claviger\b/
  const files = [
    '.ci/run',
    'package.json',
    'README.md',
    ...readdirSync(join(packageRoot(), 'docs')).map((name) => `docs/${name}`),
  ]
  const texts = files.filter((file) => statSync(join(packageRoot(), file)).isFile())
  expect(texts.filter((file) => past.test(readFileSync(join(packageRoot(), file), 'utf8')))).toEqual([])
  // The control: this is what it looks for.
  expect(['node ./claviger demo', 'npx claviger demo', './claviger demo'].map((line) => past.test(line))).toEqual([
    true,
    true,
    false,
  ])
})
