import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import * as demo from '#cli/demo.js'
import { createSecretFile } from '#host/files.js'
import { lockFile } from '#host/folder-lock.js'
import { packageRoot } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { testIo } from '#test/e2e/fixtures.js'
import { testPlatform } from '#test/fakes/platform.js'
import { familyOf, isAlive, nowSeconds, prepareChain, until } from '#test/invariants/fixtures.js'

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

let prepared: Awaited<ReturnType<typeof prepareChain>>
beforeAll(async () => {
  prepared = await prepareChain()
  cleanups.push(() => rmSync(prepared.folder, { recursive: true, force: true }))
})

interface Launched {
  readonly child: ChildProcess
  out(): string
  readonly ended: Promise<number | string | null>
}

/** A program of ours by the launcher, as its user starts it. */
function launch(args: readonly string[]): Launched {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, XDG_STATE_HOME: join(prepared.folder, 'state') }
  const child = spawn(join(packageRoot(), 'claviger'), args, { cwd: packageRoot(), env })
  cleanups.push(() => child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      out += piece
    })
  }
  const ended = new Promise<number | string | null>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal)),
  )
  return { child, out: () => out, ended }
}

/** A folder for a chain, with or without a simulated machine. */
async function newFolder(name: string, withMachine: boolean): Promise<string> {
  const folder = join(prepared.folder, name)
  mkdirSync(folder, { mode: 0o700 })
  const { platform } = chainPlaces(folder)
  if (withMachine) await createSecretFile(platform, exportPlatform(await testPlatform({ at: nowSeconds() })))
  return folder
}

/** It has printed this, or has ended. */
const shows = (run: Launched, text: string) =>
  expect
    .poll(() => run.out().includes(text) || run.child.exitCode !== null, { timeout: 60_000, interval: 20 })
    .toBe(true)

const devArgs = (folder: string) => {
  const ports = ['--broker-port', '0', '--node-port', '0']
  return ['dev', '--folder', folder, '--model', prepared.options.modelFolder, ...ports]
}

/** Names below the folder that say that something was left half made. */
const halfMade = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(making|sealing|new)-|\.tmp$/.test(name),
  )

describe('npm start, told to stop while it starts for the first time', () => {
  test('ends at once with what shells expect, takes its children along, and the next start goes on', async () => {
    const moments = [
      ['NOT HARDWARE', 'SIGINT', 130],
      ['owner makes keys', 'SIGTERM', 143],
      ['owner seals the model', 'SIGINT', 130],
      ['broker, verifier, log and witness start', 'SIGTERM', 143],
      ['owner registers', 'SIGINT', 130],
    ] as const
    for (const [i, [line, signal, code]] of moments.entries()) {
      // The first machine is made here, which takes seconds; for the others one lies ready.
      const folder = await newFolder(`stopped-${i}`, i >= 1)
      const run = launch(devArgs(folder))
      await shows(run, line)
      const family = familyOf(run.child.pid!)
      run.child.kill(signal)
      expect([line, await run.ended, run.out()]).toEqual([line, code, expect.not.stringContaining('Try:')])
      for (const pid of family) {
        await until(() => !isAlive(pid))
        expect(isAlive(pid)).toBe(false)
      }
      expect(halfMade(folder)).toEqual([])
    }
    for (const i of [2, 4]) {
      const run = launch(devArgs(join(prepared.folder, `stopped-${i}`)))
      await shows(run, 'Try:')
      expect(run.out()).toContain('Try:')
      run.child.kill('SIGTERM')
      expect(await run.ended).toBe(0)
    }
  }, 240_000)

  test('a program whose parent was killed while it sealed ends too, and leaves no lock that counts', async () => {
    const folder = await newFolder('orphan', true)
    const run = launch(devArgs(folder))
    await shows(run, 'owner makes keys')
    const family = familyOf(run.child.pid!)
    run.child.kill('SIGKILL')
    for (const pid of family) {
      await until(() => !isAlive(pid))
      expect(isAlive(pid)).toBe(false)
    }
    const next = launch(devArgs(folder))
    await shows(next, 'Try:')
    expect(next.out()).toContain('Try:')
    expect(halfMade(folder)).toEqual([])
    next.child.kill('SIGINT')
    expect(await next.ended).toBe(0)
  }, 120_000)
})

describe('two at once on one folder', () => {
  test('one has it, the other is told so at once, and takes nothing away', async () => {
    const folder = await newFolder('shared', true)
    const both = [launch(devArgs(folder)), launch(devArgs(folder))]
    const refused = await Promise.race(both.map(async (run) => run.ended.then(() => run)))
    const winner = both.find((run) => run !== refused)!
    expect([await refused.ended, refused.out()]).toEqual([
      1,
      expect.stringMatching(/another claviger process uses this folder \(process \d+\).*\(chain\/in-use\)\nhint: /),
    ])
    await shows(winner, 'Try:')
    expect(winner.out()).toContain('Try:')
    winner.child.kill('SIGTERM')
    expect(await winner.ended).toBe(0)
    expect(existsSync(join(folder, 'lock'))).toBe(false)
  }, 120_000)

  test('a demo empties no folder that another one uses', async () => {
    const folder = join(prepared.folder, 'demo')
    mkdirSync(folder)
    writeFileSync(join(folder, '.demo'), '')
    writeFileSync(chainPlaces(folder).host, '{}')
    const held = lockFile(join(folder, 'lock'))
    await expect(demo.run({ folder }, testIo())).rejects.toMatchObject({ code: 'chain/in-use' })
    expect(readdirSync(folder).toSorted()).toEqual(['.demo', 'host.json', 'lock'])
    held.release()
  })

  test('commands that make the same key or machine on first use have the same one', async () => {
    const at = (name: string) => join(prepared.folder, name)
    const runs = [1, 2, 3].map((i) =>
      launch(['runtime', 'values', '--simulated', '--platform-state', at('machine'), '--out', at(`values-${i}`)]),
    )
    expect(await Promise.all(runs.map((run) => run.ended))).toEqual([0, 0, 0])
    const values = [1, 2, 3].map((i) => readFileSync(at(`values-${i}`), 'utf8'))
    expect(new Set(values).size).toBe(1)
    const hosts = [1, 2, 3].map((i) =>
      launch(['host', 'statement', '--name', 'n', '--key', at('host.key'), '--out', at(`host-${i}.json`)]),
    )
    expect(await Promise.all(hosts.map((run) => run.ended))).toEqual([0, 0, 0])
    const keys = [1, 2, 3].map((i) => JSON.parse(readFileSync(at(`host-${i}.json`), 'utf8')).key.x)
    expect(new Set(keys).size).toBe(1)
  }, 60_000)
})
