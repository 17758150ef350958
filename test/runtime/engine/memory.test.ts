import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import type { XwingJwk } from '#core/crypto/jwk.js'
import { splitSecret } from '#core/crypto/shamir.js'
import { encodeManifest, parseManifest } from '#core/sealed/manifest.js'
import { shareCommitment } from '#core/sealed/quorum.js'
import type { EngineOptions } from '#runtime/engine/start.js'
import { type ModelFolder, type ModelKind, writeModelFolder } from '#test/fakes/graphs.js'
import { type Needles, namelessFilesOf, scanFiles, scanMemory } from '#test/fakes/scan.js'
import { type SealedFixture, sealFixture } from '#test/fakes/sealed-model.js'
import type { ParentRequest } from '#test/processes/engine-parent.js'

const work = mkdtempSync(join(tmpdir(), 'memory-'))
const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(work, { recursive: true })
})

type Asked<R> = R extends { readonly id: number } ? Omit<R, 'id'> : never

/** A parent with its engine, in processes apart from this one, which knows the key and the weights. */
class Chain {
  readonly parent: ChildProcess
  engine = 0
  #id = 0

  /** inherited: a descriptor that the parent finds open when it starts. */
  constructor(folder: string, inherited?: number) {
    this.parent = fork('dist/test/processes/engine-parent.js', [], {
      execArgv: [],
      env: { TMPDIR: folder },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc', ...(inherited === undefined ? [] : [inherited])],
    })
    children.push(this.parent)
  }
  async ask(request: Asked<ParentRequest>): Promise<unknown> {
    const id = ++this.#id
    const answer = new Promise<unknown>((resolve, reject) => {
      const receive = (message: unknown) => {
        const { id: of, value, error } = message as { id: number; value?: unknown; error?: string }
        if (of !== id) return
        this.parent.off('message', receive)
        if (error === undefined) resolve(value)
        else reject(new Error(error))
      }
      this.parent.on('message', receive)
      this.parent.once('exit', () => reject(new Error('the parent ended')))
    })
    this.parent.send({ ...request, id })
    return answer
  }
  async start(options: EngineOptions): Promise<XwingJwk> {
    const { pid, releaseKey } = (await this.ask({ do: 'start', options })) as { pid: number; releaseKey: XwingJwk }
    this.engine = pid
    return releaseKey
  }
  async load(fixture: SealedFixture, key: XwingJwk): Promise<void> {
    const { folder, manifestBytes } = fixture
    await this.ask({ do: 'load', request: { folder, manifestBytes, threads: 1, ...(await fixture.wrapFor(key)) } })
  }
  /** The same with its key in three shares, two of which are enough. Returns what none may be found of. */
  async loadShares(fixture: SealedFixture, key: XwingJwk): Promise<Needles> {
    const { folder, dek } = fixture
    const { model, ...rest } = parseManifest(fixture.manifestBytes)
    const shares = splitSecret(dek, { threshold: 2, count: 3 }, randomBytes(32))
    const records = shares.map(({ value }) => concat(randomBytes(32), value))
    const quorum = {
      threshold: 2,
      shares: records.map((record, at) => {
        const commitment = shareCommitment({ model, threshold: 2, index: at + 1 }, record)
        return { broker: `${'B'.repeat(41)}${at}A`, name: `b${at}`, controller: null, commitment }
      }),
    }
    const manifestBytes = encodeManifest({ ...rest, model, quorum })
    const aad = utf8('aad')
    const sealed = records.map(async (record, at) => {
      const info = utf8(`entry ${at}`)
      return { index: at + 1, info, sealed: await hpkeSeal(key, info, aad, record) }
    })
    const request = { folder, manifestBytes, threads: 1, aad, shares: await Promise.all(sealed) }
    await this.ask({ do: 'load', request })
    return { dek, one: shares[0]!.value, two: shares[1]!.value, three: shares[2]!.value }
  }
}

/** 64 bytes of what a caller sends, found again as they are in any float32 buffer. */
function promptRow(): { row: Float32Array; prompt: Uint8Array } {
  const row = Float32Array.from({ length: 256 }, (_, i) => Math.fround(Math.sin(i * 1.7) * 0.37))
  return { row, prompt: new Uint8Array(row.buffer.slice(256, 320)) }
}

async function sealed(kind: ModelKind): Promise<{ written: ModelFolder; fixture: SealedFixture }> {
  const plain = mkdtempSync(join(work, 'plain-'))
  const written = writeModelFolder(plain, kind, Math.floor(Math.random() * 2 ** 31))
  const fixture = await sealFixture(plain, mkdtempSync(join(work, 'sealed-')))
  rmSync(plain, { recursive: true })
  return { written, fixture }
}

describe('memory of an engine that may be inspected', () => {
  // In the graph's own bytes, in external data.
  test.each(['matmul', 'external'] as const)('%s: weights while loaded, nothing after unload', async (kind) => {
    const { written, fixture } = await sealed(kind)
    // Database clusters of other tests come and go here.
    const shared = () => readdirSync('/dev/shm').filter((name) => !name.startsWith('PostgreSQL.'))
    const shmBefore = new Set(shared())
    const chainFolder = mkdtempSync(join(work, 'chain-'))
    const chain = new Chain(chainFolder)
    const key = await chain.start({ dangerousAllowInspection: true })
    await chain.load(fixture, key)
    const { row, prompt } = promptRow()
    await chain.ask({ do: 'infer', row })

    const weights: Needles = { weights: written.canary }
    const dek: Needles = { dek: fixture.dek }
    // The control: a scan that does not find what must be there proves nothing later.
    expect(scanMemory([chain.engine], weights)).not.toEqual([])
    // Already now the key is gone from both, and no plaintext ever was in the parent.
    expect(scanMemory([chain.engine, chain.parent.pid!], dek)).toEqual([])
    expect(scanMemory([chain.parent.pid!], weights)).toEqual([])
    expect(namelessFilesOf(chain.engine)).toEqual([])
    // ONNX Runtime, left to itself, records models and runs in files of its own and reports to its maker.
    const open = readdirSync(`/proc/${chain.engine}/fd`).map((fd) => linkOf(`/proc/${chain.engine}/fd/${fd}`))
    expect(open.filter((target) => target.startsWith('/') && target !== '/dev/null')).toEqual([])

    const engine = chain.engine
    await chain.ask({ do: 'unload' })
    expect(() => scanMemory([engine], weights)).toThrow() // the process itself is gone
    const all = { ...weights, ...dek }
    expect(chain.parent.exitCode).toBe(null)
    expect(scanMemory([chain.parent.pid!], all)).toEqual([])
    expect(scanFiles([fixture.folder, chainFolder], { ...all, prompt })).toEqual([])
    expect(shared().filter((name) => !shmBefore.has(name))).toEqual([])
    expect(namelessFilesOf(chain.parent.pid!)).toEqual([])
  })
})

describe('memory of an engine that put a key together', () => {
  test('holds no share and no key once the model is loaded, nor does its parent', async () => {
    const { written, fixture } = await sealed('matmul')
    const chain = new Chain(mkdtempSync(join(work, 'chain-')))
    const key = await chain.start({ dangerousAllowInspection: true })
    const needles = await chain.loadShares(fixture, key)
    expect(scanMemory([chain.engine], { weights: written.canary })).not.toEqual([])
    expect(scanMemory([chain.engine, chain.parent.pid!], needles)).toEqual([])
    await chain.ask({ do: 'unload' })
    expect(scanMemory([chain.parent.pid!], needles)).toEqual([])
  })
})

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
/** Inodes of the TCP sockets that listen, of both families: state 0A. */
function listeners(): readonly string[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .flatMap((fields) => (fields[3] === '0A' && fields[9] !== undefined ? [fields[9]] : [])),
  )
}
/** A zombie that nobody has waited for yet holds no memory: it counts as gone. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Whether a process of this user may read the memory of another: `read`, or the error's code. */
function readAs(uid: number, pid: number): string {
  const script = `const fs=require('fs');try{const l=fs.readFileSync('/proc/${pid}/maps','utf8').split('\\n')[0];
    const at=parseInt(l,16);const fd=fs.openSync('/proc/${pid}/mem','r');
    console.log(fs.readSync(fd,Buffer.alloc(16),0,16,at)===16?'read':'short')}catch(e){console.log(e.code)}`
  const { stdout } = spawnSync(process.execPath, ['-e', script], { uid, gid: uid, encoding: 'utf8', env: {} })
  return stdout.trim()
}

describe('memory of an engine as it runs', () => {
  const root = process.getuid?.() === 0
  const uid = root ? 65_534 : (process.getuid?.() ?? 0)
  const user = root ? { uid, gid: uid } : {}
  let chain: Chain
  beforeAll(async () => {
    chain = new Chain(work)
    await chain.start({})
  })

  test('another process of the same user cannot read it', async (context) => {
    const control = new Chain(work)
    const refused = await control.start({ ...user, dangerousAllowInspection: true }).catch(String)
    if (typeof refused === 'string') context.skip(`inconclusive: another user cannot run this checkout: ${refused}`)
    const closed = new Chain(work)
    await closed.start(user)
    const readable = readAs(uid, control.engine)
    // Where not even an open process is readable (ptrace scope, no second user), a refusal says nothing about us.
    if (readable !== 'read') context.skip(`inconclusive: the control process answered ${readable}`)
    expect(readAs(uid, closed.engine)).toMatch(/^E(ACCES|PERM)$/)
  })

  test('the memory of an owner’s command is closed as well, with any settings of Node', async (context) => {
    const running = async (code: string) => {
      const script = `import('${pathToFileURL('dist/runtime/engine/closed.js').href}').then((m)=>{${code};console.log(1)});setInterval(()=>{},1e6)`
      const child = spawn(process.execPath, ['--max-old-space-size=200', '-e', script], {
        ...user,
        env: { NODE_OPTIONS: '--no-warnings' },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      await new Promise((resolve) => child.stdout!.once('data', resolve).once('close', resolve))
      return child.pid!
    }
    const readable = readAs(uid, await running(''))
    if (readable !== 'read') context.skip(`inconclusive: the control process answered ${readable}`)
    const closed = await running('m.closeMemory()')
    expect(readAs(uid, closed)).toMatch(/^E(ACCES|PERM)$/)
    expect(readFileSync(`/proc/${closed}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m)
  })

  test('SIGUSR1 opens no inspector', async (context) => {
    const listening = (pid: number) => {
      const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
      return listeners().filter((inode) => sockets.includes(`socket:[${inode}]`))
    }
    const control = spawn(process.execPath, ['--inspect-port=0', '-e', 'console.log(1);setInterval(()=>{},1e6)'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    children.push(control)
    await new Promise((resolve) => control.stdout!.once('data', resolve))
    process.kill(control.pid!, 'SIGUSR1')
    process.kill(chain.engine, 'SIGUSR1')
    for (let i = 0; i < 100 && listening(control.pid!).length === 0; i++) await new Promise((r) => setTimeout(r, 20))
    if (listening(control.pid!).length === 0) context.skip('inconclusive: the control process opened no inspector')
    expect(listening(chain.engine)).toEqual([])
    expect(process.kill(chain.engine, 0)).toBe(true)
  })

  test.each([
    ['NODE_OPTIONS', { NODE_OPTIONS: '--no-warnings' }, []],
    ['a flag', {}, ['--expose-gc']],
    ['an inspector', {}, ['--inspect=0']],
  ] as const)('the process refuses to run with %s', async (_, env, execArgv) => {
    const child = fork('dist/runtime/engine/child.js', [], {
      env,
      execArgv: [...execArgv],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    children.push(child)
    const started = new Promise((resolve) => child.once('message', () => resolve('started')))
    const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    expect(await Promise.race([started, ended])).toBe(1)
  })

  test('it has no descriptor of its parent but the channel', async () => {
    const path = join(work, 'secret-of-the-parent')
    writeFileSync(path, 'x')
    const fd = openSync(path, 'r')
    const own = new Chain(work, fd)
    await own.start({})
    const open = (pid: number) => readdirSync(`/proc/${pid}/fd`).map((one) => linkOf(`/proc/${pid}/fd/${one}`))
    expect(open(own.parent.pid!)).toContain(path)
    const files = open(own.engine).filter((target) => target.startsWith('/') && target !== '/dev/null')
    expect(files).toEqual([])
    closeSync(fd)
  })

  test('the process ends with its parent', async () => {
    const own = new Chain(work)
    await own.start({})
    own.parent.kill('SIGKILL')
    for (let i = 0; i < 250 && alive(own.engine); i++) await new Promise((r) => setTimeout(r, 20))
    expect(alive(own.engine)).toBe(false)
  })
})
