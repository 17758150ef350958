import { spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { afterAll, describe, expect, test } from 'vitest'
import * as demo from '#cli/demo.js'
import * as host from '#cli/host.js'
import { readInput } from '#cli/input.js'
import { exitCodes, reportError, shellWord } from '#cli/output.js'
import { openOwnKey } from '#cli/own-key.js'
import { progressLines } from '#cli/progress.js'
import { trustMemoryPath } from '#cli/trust-store.js'
import { Failure } from '#core/failure.js'
import { packageRoot } from '#host/process.js'
import { launch, testIo } from '#test/e2e/fixtures.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-trouble-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

describe('what the machine refuses', () => {
  test('is an error with its path and no bug', async () => {
    const file = join(work, 'file')
    writeFileSync(file, '')
    const { code, out, err } = await launch(['keys', 'new', '--name', 'a', '--out', join(file, 'keys')])
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(/^error: .*file\/keys.*, ENOTDIR \(system\/no-folder\)\nhint: .*\n$/)
  })

  test('is not said to have been made', async () => {
    const io = testIo()
    const out = join(work, 'nowhere', 'host.json')
    await expect(host.run({ name: 'n', out }, io)).rejects.toMatchObject({ code: 'file/folder' })
    expect(io.err()).toBe('')
  })

  test('neither is a key: it is told of when it is there', async () => {
    const io = testIo()
    await expect(openOwnKey(join(work, 'nowhere', 'key'), 'your key', io)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(io.err()).toBe('')
    const path = join(work, 'own.key')
    const key = await openOwnKey(path, `your key at ${path}`, io)
    expect(io.err()).toBe(`made your key at ${path}\n`)
    expect((await openOwnKey(path, 'another key', io)).id).toBe(key.id)
    expect(io.err()).toBe(`made your key at ${path}\n`)
  })

  test('a bug keeps its stack', () => {
    const io = testIo()
    expect(reportError(io, new TypeError('x'))).toBe(exitCodes.failure)
    expect(io.err()).toContain('bug: TypeError: x\n    at ')
  })

  test.each(['usage/listen', 'verify/trust-needed', 'usage/number'])('%s ends with the code of usage', (code) => {
    expect(reportError(testIo(), new Failure(code, 'typed wrongly'))).toBe(exitCodes.usage)
  })
})

describe('an error', () => {
  const refused = (code: string, more: object) =>
    Object.assign(new Error(`${code}: as the system says it`), { code, syscall: 'rename', ...more })
  test.each([
    [
      refused('EISDIR', { path: '/a/.0123456789abcdef.tmp', dest: '/a/b' }),
      '/a/b: a folder stands there, EISDIR',
      'system/is-folder',
    ],
    [
      refused('EACCES', { path: '/a/.0123456789abcdef.tmp' }),
      '/a: this user may not do that there, EACCES',
      'system/not-allowed',
    ],
    [refused('ENOSPC', {}), 'no space is left there, ENOSPC', 'system/full'],
    [refused('EMEDIUMTYPE', {}), 'EMEDIUMTYPE: as the system says it', 'system/other'],
    [
      new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'"),
      "unknown option '--x'",
      'usage/option-unknown',
    ],
    [new CommanderError(2, 'commander.error', 'error: a and b'), 'a and b', 'usage/words'],
    [new Failure('some/code', 'why', { detail: { hint: 'how' } }), 'why', 'some/code'],
  ])('%s is one line with a code, and JSON for machines', (error, message, code) => {
    const [plain, machine] = [testIo(), { ...testIo(), json: true }]
    const exit = code.startsWith('usage/') ? 2 : 1
    expect([reportError(plain, error), reportError(machine, error)]).toEqual([exit, exit])
    expect(plain.out()).toBe('')
    expect(plain.err().split('\n')[0]).toBe(`error: ${message} (${code})`)
    expect(JSON.parse(machine.out())).toMatchObject({ error: { code, message } })
    expect(machine.err()).toBe(plain.err())
  })

  test('that a peer words cannot act on a terminal, and shows nobody’s password', () => {
    const io = { ...testIo(), json: true }
    reportError(io, new Failure('a/b', 'broker\x1b[2J\nerror: all is well \u202e from https://me:secret@host/x'))
    const text = 'broker?[2J?error: all is well ? from https://…@host/x'
    expect(io.err()).toBe(`error: ${text} (a/b)\n`)
    expect(JSON.parse(io.out())).toEqual({ error: { code: 'a/b', message: text } })
  })

  test('of a command that ran on the way is told in its own lines', () => {
    const io = testIo()
    reportError(io, new Failure('chain/step', 'seal ended with 1', { detail: { said: 'error: x (y/z)\nhint: w\n' } }))
    expect(io.err()).toBe('error: seal ended with 1 (chain/step)\n  error: x (y/z)\n  hint: w\n')
  })
})

describe.skipIf(!existsSync('/dev/full'))('an output that is full', () => {
  const main = join(packageRoot(), 'dist/cli/main.js')
  const run = (where: 'stdout' | 'stderr', ...words: readonly string[]) => {
    const full = openSync('/dev/full', 'w')
    try {
      const stdio = where === 'stdout' ? (['ignore', full, 'pipe'] as const) : (['ignore', 'pipe', full] as const)
      return spawnSync(process.execPath, [main, ...words], { stdio: [...stdio], encoding: 'utf8' })
    } finally {
      closeSync(full)
    }
  }

  test('is one line with a code, and no trace of ours', () => {
    const { status, stderr } = run('stdout', 'attest', 'explain', '--help')
    expect(status).toBe(1)
    expect(stderr).toBe(
      'error: standard output: no space is left there, ENOSPC (system/full)\nhint: make room, then do it again\n',
    )
  })

  test('of errors is a failure, though nobody can be told', () => {
    expect(run('stderr', 'attest', 'explain', join(work, 'nowhere')).status).toBe(1)
  })
})

test('a printed word is one word to a shell', () => {
  const words = ['/tmp/a-b_c.json', "it's $HOME", '']
  expect(words.map(shellWord)).toEqual(['/tmp/a-b_c.json', "'it'\\''s $HOME'", "''"])
})

test('a file without an end is refused before memory is', async () => {
  await expect(readInput('/dev/zero', 'receipt')).rejects.toMatchObject({ code: 'input/size' })
})

test.each(['', 'relative'])('a state folder of %j counts as unset', (named) => {
  const before = process.env.XDG_STATE_HOME
  process.env.XDG_STATE_HOME = named
  try {
    expect(trustMemoryPath()).toBe(join(homedir(), '.local/state/claviger/trust-memory.json'))
  } finally {
    if (before === undefined) delete process.env.XDG_STATE_HOME
    else process.env.XDG_STATE_HOME = before
  }
})

describe('something that people wait for', () => {
  const MiB = 1024 * 1024
  const told = (isTerminal: boolean, isWhole: boolean) => {
    const io = { ...testIo(), isTerminal }
    let now = 0
    const shown = progressLines(io, 'fetching', () => now)
    for (const [at, done] of [0, 1, 2, 3, 4].map((i) => [i * 6000, i * MiB] as const)) {
      now = at
      shown.onProgress({ what: 'x', done, total: 4 * MiB })
    }
    shown.end(isWhole)
    return io.err()
  }
  test('is told of where it is no terminal: when it begins, every ten seconds or so, and when it is done', () => {
    const lines = [
      'fetching: 4.0 MiB',
      'fetching: 2.0 MiB of 4.0 MiB, 170.7 KiB/s',
      'fetching: 4.0 MiB of 4.0 MiB, 170.7 KiB/s',
    ]
    expect(told(false, false)).toBe(`${lines.join('\n')}\n`)
    expect(told(false, true)).toBe(`${[...lines, 'fetching: done, 4.0 MiB in 24.0 s, 170.7 KiB/s'].join('\n')}\n`)
  })
  test('has a bar on a terminal, which goes when it ends', () => {
    expect(told(true, true)).toMatch(/1\.0 MiB of 4\.0 MiB|0 B of 4\.0 MiB/)
    expect(told(true, false)).toMatch(/\r\x1b\[2K$/)
  })
  test('is not told of when it never began', () => {
    const io = testIo()
    progressLines(io, 'fetching').end()
    expect(io.err()).toBe('')
  })
})

describe('a folder of somebody', () => {
  test('is not emptied by a demo', async () => {
    const folder = join(work, 'mine')
    mkdirSync(folder)
    writeFileSync(join(folder, 'letter'), 'dear')
    await expect(demo.run({ folder }, testIo())).rejects.toMatchObject({ code: 'demo/folder' })
    expect(await readFile(join(folder, 'letter'), 'utf8')).toBe('dear')
    expect(existsSync(join(folder, 'keys'))).toBe(false)
  })
})

test('a process whose child ended early ends too, at once', async () => {
  const program = `
    const { spawnService } = await import(${JSON.stringify(join(packageRoot(), 'dist/host/process.js'))})
    await spawnService('test/processes/service.js', { args: ['exit'], readyMs: 600_000 }).catch(() => undefined)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' })
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(code).toBe(0)
})
