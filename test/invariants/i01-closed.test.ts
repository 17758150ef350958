/**
 * I1: the memory of a chain that runs as an ordinary user is closed to that user's other processes (SETTLED 4). Every chain
 * has a control beside it, a process of the same user that did not close itself: where not even that is readable, the test
 * is inconclusive and says so.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import { createSecretFile } from '#host/files.js'
import { packageRoot } from '#host/process.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'
import { familyOf, nowSeconds } from '#test/invariants/fixtures.js'

const uid = process.getuid?.() === 0 ? 65_534 : process.getuid!()
const folder = mkdtempSync(join(tmpdir(), 'claviger-closed-'))
const children: ChildProcess[] = []
afterAll(async () => {
  for (const child of children) {
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGTERM')
    await ended
  }
  rmSync(folder, { recursive: true, force: true })
})

const { PATH = '' } = process.env
const env = { PATH, HOME: folder, TMPDIR: folder, XDG_STATE_HOME: join(folder, 'state') }
const asUser = process.getuid?.() === 0 ? { uid, gid: uid } : {}

function giveAway(path: string): void {
  if (process.getuid?.() === 0) chownSync(path, uid, uid)
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) giveAway(join(path, name))
}

/** Whether another process of that user may read the memory of this one: `read`, or the error's code. */
function readable(pid: number): string {
  const script = `const fs=require('fs');try{const l=fs.readFileSync('/proc/${pid}/maps','utf8').split('\\n')[0];
    const fd=fs.openSync('/proc/${pid}/mem','r');
    console.log(fs.readSync(fd,Buffer.alloc(16),0,16,parseInt(l,16))===16?'read':'short')}catch(e){console.log(e.code)}`
  return spawnSync(process.execPath, ['-e', script], { ...asUser, encoding: 'utf8', env: {}, cwd: '/' }).stdout.trim()
}

const userOf = (pid: number) => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])

/** Resolves with what it printed once that holds `text`; null when it ended before. */
function printed(child: ChildProcess, text: string): Promise<string | null> {
  return new Promise((resolve) => {
    let out = ''
    child.stdout!.on('data', (piece) => {
      out += piece
      if (out.includes(text)) resolve(out)
    })
    child.once('close', () => resolve(null))
    child.once('error', () => resolve(null))
  })
}

let inconclusive: string | null = null
let chain: ChildProcess
let nodeUrl: string
beforeAll(async () => {
  const control = spawn(process.execPath, ['-e', 'console.log("up");setInterval(()=>{},1e6)'], {
    ...asUser,
    env,
    cwd: '/',
  })
  children.push(control)
  if ((await printed(control, 'up')) === null) inconclusive = 'no process of an ordinary user can be started here'
  else if (readable(control.pid!) !== 'read') inconclusive = 'not even a process that did not close itself is readable'
  const launcher = join(packageRoot(), 'claviger')
  const help = spawnSync(process.execPath, [launcher, 'keys', '--help'], { ...asUser, env, cwd: '/', encoding: 'utf8' })
  if (help.status !== 0) inconclusive = 'an ordinary user cannot run this checkout'
  if (inconclusive !== null) return

  writeModelFolder(join(folder, 'model'), 'external')
  const chainFolder = join(folder, 'chain')
  await mkdir(chainFolder, { mode: 0o700 })
  await createSecretFile(chainPlaces(chainFolder).platform, exportPlatform(await testPlatform({ at: nowSeconds() })))
  chmodSync(folder, 0o700)
  giveAway(folder)
  const ports = ['--broker-port', '0', '--node-port', '0']
  const args = [launcher, 'dev', '--folder', chainFolder, '--model', join(folder, 'model'), ...ports]
  chain = spawn(process.execPath, args, { ...asUser, env, cwd: folder })
  children.push(chain)
  let err = ''
  chain.stderr!.on('data', (piece) => {
    err += piece
  })
  const said = await printed(chain, 'Try:')
  if (said === null) throw new Error(`the chain does not open: ${err}`)
  nodeUrl = /^node +(\S+)/m.exec(said)![1]!
})

test('a chain as it starts by itself shows no weakening of its memory', async (context) => {
  if (inconclusive !== null) context.skip(`inconclusive: ${inconclusive}`)
  const document = (await (await fetch(new URL('/.well-known/claviger/node', nodeUrl))).json()) as {
    weakenings: string[]
    config: { dangerousAllowInspection: boolean }
  }
  expect(document.weakenings).not.toContain('engine memory can be inspected')
  expect(document.config.dangerousAllowInspection).toBe(false)
})

test('neither the process of broker and node nor the engine is readable by another process of its user', (context) => {
  if (inconclusive !== null) context.skip(`inconclusive: ${inconclusive}`)
  const family = familyOf(chain.pid!)
  const programOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ')
  const engine = family.find((pid) => programOf(pid).includes('runtime/engine/child.js'))!
  for (const pid of [chain.pid!, engine]) {
    expect([pid, userOf(pid)]).toEqual([pid, uid])
    expect(readable(pid)).toMatch(/^E(ACCES|PERM)$/)
    expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m)
  }
})
