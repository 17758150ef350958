import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createProgram, runCommandLine } from '#cli/program.js'
import { build } from '#cli/version.js'
import { isFailure } from '#core/failure.js'
import { makeFolder } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { testIo } from '#test/e2e/fixtures.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-results-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
const at = (name: string) => join(work, name)
const away = 'http://127.0.0.1:9'

async function typed(...words: string[]) {
  const io = { ...testIo(), json: words.includes('--json') }
  await runCommandLine(words, io)
  return { code: io.code(), out: io.out(), err: io.err() }
}

await makeFolder(at('keys'), 0o700)
await typed('keys', 'new', '--out', at('keys'), '--name', 'acme')

describe('a result', () => {
  const kept = at('kept')
  writeFileSync(kept, 'the only copy')
  symlinkSync(at('nowhere'), at('link'))
  const owner = ['--broker', away, '--trust', at('trust.json'), '--keys', at('keys')]
  const commands: Readonly<Record<string, readonly string[]>> = {
    'host statement': ['--name', 'n'],
    'runtime values': ['--simulated', '--platform-state', at('platform')],
    'reference sign': ['--keys', at('keys'), '--values', at('v'), '--name', 'n', '--set-version', '1', '--title', 't'],
    'bundle 5': ['--broker', away, '--keys', at('keys')],
    'caller add n': [...owner, '--model', 'm'],
    'token create n': [...owner, '--role', 'host'],
  }
  test.each(Object.entries(commands))('of %s is never written over what stands there', async (name, words) => {
    for (const out of [kept, at('keys'), at('link'), '/dev/null']) {
      const { code, err } = await typed(...name.split(' '), ...words, '--out', out)
      expect([code, err.split('\n')[0]]).toEqual([
        1,
        expect.stringMatching(/^error: .* exists.* and is not written over \(file\/exists\)$/),
      ])
    }
    expect(readFileSync(kept, 'utf8')).toBe('the only copy')
  })
  test.each(Object.entries(commands))('of %s needs a folder, before anything is done', async (name, words) => {
    const { code, err } = await typed(...name.split(' '), ...words, '--out', at('none/result'))
    expect([code, err.includes('(file/folder)')]).toEqual([1, true])
  })

  test('takes the place of an earlier one of its kind, which goes on with the same key', async () => {
    const words = ['host', 'statement', '--name', 'n', '--out', at('host.json'), '--json']
    const [first, second] = [await typed(...words), await typed(...words, '--country', 'DE')]
    expect([first.code, second.code]).toEqual([0, 0])
    const keyOf = ({ out }: { readonly out: string }) => (JSON.parse(out) as { key: string }).key
    expect(keyOf(second)).toBe(keyOf(first))
    expect(readFileSync(at('host.json'), 'utf8')).not.toContain('the only copy')
  })

  test('of init is written over an earlier one alone, and nobody is asked and no key made before that is known', async () => {
    for (const out of [kept, at('keys'), at('none/trust.json')]) {
      const { code, err } = await typed('init', '--broker', away, '--out', out)
      expect([code, err]).toEqual([1, expect.not.stringContaining('owner/unreachable')])
      expect(err).toMatch(/^error: .*\n(hint: .*\n)?$/)
    }
    expect(readFileSync(kept, 'utf8')).toBe('the only copy')
  })
})

describe('whatever the command', () => {
  const files = ['owner.key.pem', 'owner.pub.pem']
  test.each([
    [['keys', 'new', '--out', '', '--name', 'a'], '--out is empty', 'usage/empty'],
    [['inspect', ' '], 'sealed-dir is empty', 'usage/empty'],
    [['init', '--broker', away, '--out', 'x', '--runtime', ''], '--runtime is empty', 'usage/empty'],
    [['keys', 'new', '--out', 'https://x/', '--name', 'a'], '--out is a path, found the address', 'usage/address'],
    [['inspect', 'http://127.0.0.1:1'], 'sealed-dir is a path, found the address', 'usage/address'],
    [['policy', 'check'], "missing required argument 'file'", 'usage/argument-missing'],
    [['no-such'], "unknown command 'no-such'", 'usage/command-unknown'],
    [['keys'], 'a command is missing', 'usage/command-missing'],
    [['model', 'fetch', 'more'], 'too many arguments', 'usage/argument-unknown'],
    [
      ['verify', 'http://127.0.0.1:9/x', '--trust', 'x'],
      'http://127.0.0.1:9/x is no address of a node',
      'usage/address',
    ],
    [['bundle', 'x'], 'expected the index of an entry', 'usage/words'],
  ])('%j is refused as typed, in JSON too', async (words, message, code) => {
    const plain = await typed(...words)
    expect([plain.code, plain.out]).toEqual([2, ''])
    expect(plain.err).toContain(`error: ${message}`)
    expect(plain.err).toContain(`(${code})\nhint: `)
    if (code === 'usage/command-missing') return // a command that is none has no options
    const machine = await typed(...words, '--json')
    expect([machine.code, (JSON.parse(machine.out) as { error: { code: string } }).error.code]).toEqual([2, code])
  })

  test.each([
    ['--owner-key', files[1]],
    ['--owner-key', ''],
  ])('%s with a folder or another file names both', async (option, hint) => {
    const path = hint === '' ? join(packageRoot(), 'LICENSE') : at('keys')
    await makeFolder(at('sealed'))
    await writeFile(at('sealed/manifest.json'), '{}')
    const { code, err } = await typed('inspect', at('sealed'), option!, path)
    expect(code).toBe(1)
    expect(err).toContain(path)
    expect(err).toContain(hint === '' ? 'holds no public key' : `name ${hint} in it`)
  })

  test('a file that is no token is neither shown nor sent', async () => {
    const key = join(at('keys'), files[0]!)
    const secret = readFileSync(key, 'utf8').split('\n')[1]!
    const lines = [
      ['collateral', 'status', '--url', away, '--token', key],
      ['bundle', '5', '--broker', away, '--token', key],
    ]
    for (const words of lines) {
      const { code, out, err } = await typed(...words)
      expect([code, err.includes('(token/form)')]).toEqual([1, true])
      expect(out + err).not.toContain(secret.slice(0, 16))
    }
  })

  test('a document that is none is named', async () => {
    const none = at('none.json')
    await writeFile(none, '[1,')
    const lines = [
      ['reference', 'diff', none, none],
      [
        'reference',
        'sign',
        '--keys',
        at('keys'),
        '--values',
        none,
        '--name',
        'n',
        '--set-version',
        '1',
        '--title',
        't',
        '--out',
        at('set'),
      ],
      ['init', '--broker', away, '--out', at('t.json'), '--runtime', none],
    ]
    for (const words of lines) {
      const { code, err } = await typed(...words)
      expect([code, err]).toEqual([1, expect.stringMatching(/^error: .*none\.json holds no /)])
    }
  })

  test('a file without an end is refused', async () => {
    const init = ['init', '--broker', away, '--out', at('t.json'), '--runtime', '/dev/zero']
    const show = ['tenant', 'show', '--broker', away, '--keys', at('keys'), '--trust', '/dev/zero']
    for (const words of [init, show, ['policy', 'check', '/dev/zero'], ['inspect', 'x', '--owner-key', '/dev/zero']]) {
      const { code, err } = await typed(...words)
      expect([code, err]).toEqual([1, expect.stringMatching(/^error: .* has more than [0-9]+ bytes/)])
    }
  })
})

test('the version is that of the package, and an option of seal all the same', async () => {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
  expect(build).toBe(version)
  expect(await typed('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' })
  expect(
    (await typed('seal', at('none'), '--out', at('s'), '--keys', at('keys'), '--name', 'n', '--version', '0')).err,
  ).toContain("option '--version")
  expect((await createProgram(testIo(), 'seal')).commands.map((one) => one.name())).toEqual(['seal'])
})

describe('a folder with those above it', () => {
  test('is made, and one that is there stays', async () => {
    await makeFolder(at('a/b/c'), 0o700)
    await writeFile(at('a/b/c/file'), '')
    await makeFolder(at('a/b/c'), 0o700)
    expect(readFileSync(at('a/b/c/file'), 'utf8')).toBe('')
  })
  test.each([
    ['in the place of a file', () => at('a/b/c/file')],
    ['below a file', () => at('a/b/c/file/d')],
    ['where the file system makes none', () => '/proc/none/d'],
  ])('is refused %s', async (_, folder) => {
    await mkdir(at('a/b/c'), { recursive: true })
    await writeFile(at('a/b/c/file'), '')
    const error: unknown = await makeFolder(folder()).catch((one: unknown) => one)
    expect(isFailure(error) ? error.code : (error as NodeJS.ErrnoException).code).toMatch(
      /^(file\/kind|ENOTDIR|ENOENT|EACCES)$/,
    )
  })
})
