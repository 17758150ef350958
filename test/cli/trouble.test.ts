import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import * as demo from '#cli/demo.js'
import * as host from '#cli/host.js'
import { readInput } from '#cli/input.js'
import { exitCodes, reportError } from '#cli/output.js'
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
    expect(err).toMatch(/^error: .*file\/keys.*\(ENOTDIR\)\n$/)
  })

  test('is not said to have been made', async () => {
    const io = testIo()
    const out = join(work, 'nowhere', 'host.json')
    await expect(host.run({ name: 'n', out }, io)).rejects.toMatchObject({ code: 'ENOENT' })
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
