import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { createSecretFile } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { inferRequest } from '#test/e2e/fixtures.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'

/** What belongs in test/scripts: commands as documents print them, typed in a shell. */

const readme = readFileSync(join(packageRoot(), 'README.md'), 'utf8')
const block = /## Commands[\s\S]*?```\n([\s\S]*?)```/.exec(readme)![1]!
const printed = block.split('\n').filter((line) => line.trim() !== '')

let folder: string
let env: Record<string, string>
let ports: ReadonlyMap<string, number>
let width: number
const running: ChildProcess[] = []

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'claviger-readme-'))
  symlinkSync(join(packageRoot(), 'claviger'), join(folder, 'claviger'))
  const state = join(folder, 'state')
  env = { PATH: process.env.PATH ?? '', HOME: folder, XDG_STATE_HOME: state }
  // A simulated machine that stands there already: making its keys takes seconds.
  mkdirSync(join(state, 'claviger'), { recursive: true, mode: 0o700 })
  const platform = await testPlatform({ at: Math.floor(Date.now() / 1000) })
  await createSecretFile(join(state, 'claviger/simulated-platform.json'), exportPlatform(platform))
  width = writeModelFolder(join(folder, 'model'), 'external').width
  ports = new Map([
    ['8780', await freePort()],
    ['8790', await freePort()],
    ['8787', await freePort()],
  ])
})
afterAll(() => {
  for (const child of running) child.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

/** The line with ports that are free here. The proxy listens at the port that the next line of the README names. */
function asTyped(line: string): string {
  const own = [...ports].reduce((text, [from, to]) => text.replaceAll(`127.0.0.1:${from}`, `127.0.0.1:${to}`), line)
  return own.startsWith('./claviger proxy') ? own.replace(' &', ` --listen 127.0.0.1:${ports.get('8787')} &`) : own
}

function shell(line: string): ChildProcess {
  return spawn('bash', ['-c', line], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** A line that keeps running: returns its first line, which says that it is ready. */
function keepRunning(line: string): Promise<string> {
  const child = shell(`exec ${line.replace(/ &\s*(#.*)?$/, '')}`)
  running.push(child)
  return new Promise((resolve, reject) => {
    let out = ''
    let err = ''
    child.stderr!.on('data', (piece) => {
      err += piece
    })
    child.stdout!.on('data', (piece) => {
      out += piece
      if (out.includes('\n')) resolve(out)
    })
    child.once('close', (code) => reject(new Error(`${line} ended with ${code}: ${err}`)))
  })
}

/** A line that ends: what it printed, once it ended with 0. */
async function type(line: string): Promise<string> {
  const child = shell(line)
  let out = ''
  let err = ''
  child.stdout!.on('data', (piece) => {
    out += piece
  })
  child.stderr!.on('data', (piece) => {
    err += piece
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(code, `${line}\n${out}${err}`).toBe(0)
  return out
}

describe('the commands of the README, typed in order', () => {
  test('seal, serve, register, run, verify, ask, and judge the receipt and the decision again', async () => {
    const said = new Map<string, string>()
    for (const line of printed) {
      // The speech model and its request need a network and minutes: here a small graph stands in their place.
      if (line.startsWith('cp ')) continue
      if (line.startsWith('curl ')) {
        const { method, body } = inferRequest(width)
        const url = `http://127.0.0.1:${ports.get('8787')}/v2/models/moonshine/infer`
        const headers = { 'content-type': 'application/json' }
        const answer = await fetch(url, { method, headers, body: fromUtf8(body) })
        expect(answer.status, await answer.clone().text()).toBe(200)
        continue
      }
      expect(line, 'a line of the README').toMatch(/^\.\/claviger /)
      const typed = asTyped(line)
      const [, command, verb] = typed.split(' ')
      const name = ['keys', 'serve', 'runtime', 'host', 'receipt'].includes(command!) ? `${command} ${verb}` : command!
      const out = / &\s*(#.*)?$/.test(typed) ? await keepRunning(typed) : await type(typed)
      said.set(verb === 'verify' && command === 'bundle' ? 'bundle verify' : name, out)
    }
    expect([...said.keys()]).toEqual([
      'keys new',
      'seal',
      'serve create',
      'serve all',
      'runtime values',
      'init',
      'register',
      'host statement',
      'run',
      'verify',
      'proxy',
      'receipt verify',
      'bundle',
      'bundle verify',
      'audit',
    ])
    expect(said.get('audit')).toContain('NOTHING CONVICTS')
    expect(said.get('verify')).toContain('NOT HARDWARE')
    expect(said.get('receipt verify')).toContain('released as log entry #5')
    expect(said.get('bundle verify')).toContain('RELEASED as log entry #5')
  }, 120_000)
})
