import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OwnerClient } from '#cli/owner-client.js'
import { compose } from '#cli/owner-statements.js'
import * as serve from '#cli/serve.js'
import * as create from '#cli/serve-create.js'
import * as keys from '#cli/serve-keys.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { parseEntry } from '#core/wire/entries.js'
import { packageRoot } from '#host/process.js'
import { launch, testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const postgres = databasesUnderTest()[1]
const anyPort = '127.0.0.1:0'
const never = new Promise<void>(() => undefined)

let folder: string
const at = (name: string) => join(folder, name)
const cleanups: (() => unknown)[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-serve-'))
})
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
  await rm(folder, { recursive: true, force: true })
})

interface Created {
  readonly broker: string
  readonly log: string
  readonly witness: string
  readonly adminToken: string
}

async function createAt(state: string, databaseUrl?: string): Promise<Created> {
  const io = testIo()
  expect(await create.runCreate({ state, origin: 'log.example/test', json: true, databaseUrl }, io)).toBe(0)
  return JSON.parse(io.out()) as Created
}

/** A service in this process: what its ready line says, and what stops it. */
async function started(run: (io: ReturnType<typeof testIo>, stopped: Promise<void>) => Promise<number>) {
  let stop: () => void = () => undefined
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  let tell: (line: string) => void = () => undefined
  const ready = new Promise<string>((resolve) => {
    tell = resolve
  })
  const io = { ...testIo(), stdout: (line: string) => tell(line) }
  const code = run(io, stopped)
  const line = await Promise.race([ready, code.then((one) => Promise.reject(new Error(`ended with ${one}`)))])
  return {
    ready: JSON.parse(line) as Record<string, string>,
    close: async () => {
      stop()
      expect(await code).toBe(0)
    },
  }
}

describe('the services of an operator', () => {
  test('are made by one explicit act, and are never made on the way of a start', async () => {
    const state = at('never')
    for (const run of [serve.runAll, serve.runLog, serve.runKeybroker, serve.runAttest, serve.runWitness] as const) {
      const args = { state, listen: anyPort, witness: 'http://127.0.0.1:1', simulatedRoot: [], log: [] }
      expect(await codeOfPromise(run(args, testIo(), never))).toBe(
        run === serve.runWitness ? 'serve/witness' : 'serve/absent',
      )
    }
    expect(await codeOfPromise(keys.runRoll({ state }, testIo()))).toBe('serve/absent')
    expect(await stat(state).catch(() => null)).toBeNull()

    const made = await createAt(at('made'))
    expect((await readFile(made.adminToken, 'utf8')).trim()).toMatch(/^[A-Za-z0-9_-]{43}$/)
    for (const name of await readdir(at('made'))) {
      const { mode } = await stat(join(at('made'), name))
      expect(mode & 0o077, name).toBe(0)
    }
    expect(await codeOfPromise(createAt(at('made')))).toBe('serve/exists')
    await writeFile(at('made/services.json'), '{}')
    expect(await codeOfPromise(serve.runAll({ state: at('made'), listen: anyPort }, testIo(), never))).toBe(
      'shape/missing',
    )
  })

  test('refuse another kind of database than the one that they were made with', async () => {
    await createAt(at('other'))
    const args = { state: at('other'), listen: anyPort, databaseUrl: 'postgres://nobody@127.0.0.1:1/none' }
    expect(await codeOfPromise(serve.runAll(args, testIo(), never))).toBe('serve/database')
    expect(await codeOfPromise(serve.runLog(args, testIo(), never))).toBe('serve/database')
  })

  test('a broker without a witness, or with two ways to one, is told so', async () => {
    const args = { state: at('other'), listen: anyPort }
    expect(await codeOfPromise(serve.runKeybroker(args, testIo(), never))).toBe('serve/witness')
    const policy = at('policy')
    await writeFile(policy, 'quorum none\n')
    expect(await codeOfPromise(serve.runKeybroker({ ...args, witnessPolicy: policy }, testIo(), never))).toBe(
      'serve/witness',
    )
    const both = { ...args, witnessPolicy: policy, witness: 'http://127.0.0.1:1' }
    expect(await codeOfPromise(serve.runKeybroker(both, testIo(), never))).toBe('serve/witness')
    expect(await codeOfPromise(serve.runKeybroker({ ...args, witnessPolicy: at('none') }, testIo(), never))).toBe(
      'input/unreadable',
    )
  })

  test('roll the keys of the verifier over in three steps', async () => {
    const args = { state: at('other'), json: true }
    const states = async (run: (io: ReturnType<typeof testIo>) => Promise<number>) => {
      const io = testIo()
      expect(await run(io)).toBe(0)
      return (JSON.parse(io.out()) as { keys: { key: string; state: string }[] }).keys
    }
    const [first] = await states((io) => keys.runList(args, io))
    expect(await codeOfPromise(keys.runRoll(args, testIo()))).toBe('serve/unannounced')
    const announced = await states((io) => keys.runAnnounce(args, io))
    expect(announced.map((one) => one.state)).toEqual(['announced', 'signs'])
    const rolled = await states((io) => keys.runRoll(args, io))
    expect(rolled.map((one) => one.state)).toEqual(['signs', 'counts'])
    expect(rolled[0]!.key).toBe(announced[0]!.key)
    const retired = await states((io) => keys.runRetire(first!.key, args, io))
    expect(retired).toEqual([{ key: announced[0]!.key, state: 'signs' }])
    const atOnce = await states((io) => keys.runRoll({ ...args, unannounced: true }, io))
    expect(atOnce.map((one) => one.state)).toEqual(['signs', 'counts'])
  })
})

describe('serve all, as a process', () => {
  const start = (args: readonly string[]) => {
    const { PATH = '', HOME = '' } = process.env
    const env = { PATH, HOME, XDG_STATE_HOME: at('xdg') }
    const child = spawn(process.execPath, [join(packageRoot(), 'claviger'), ...args], { env })
    cleanups.push(() => child.kill('SIGKILL'))
    return child
  }
  const firstLine = (child: ChildProcess) =>
    new Promise<string>((resolve, reject) => {
      let out = ''
      child.stdout!.on('data', (piece) => {
        out += piece
        if (out.includes('\n')) resolve(out)
      })
      child.once('exit', (code) => reject(new Error(`ended with ${code}`)))
    })

  test('says in one line that it is ready, keeps a second one off its folder, and ends when it is asked to', async () => {
    const { broker, log, witness, adminToken } = await createAt(at('all'))
    const child = start(['serve', 'all', '--state', at('all'), '--listen', anyPort])
    const line = await firstLine(child)
    const ready = JSON.parse(line)
    expect(ready).toMatchObject({ service: 'all', broker, log, witness })
    expect((await fetch(new URL('/readyz', ready.url))).status).toBe(200)
    expect((await fetch(new URL('/checkpoint', ready.url))).status).toBe(200)
    expect(thumbprint((await new OwnerClient(ready.url).document(broker)).key)).toBe(broker)

    // PGlite may lose what it acknowledged in a power failure: production tenants are not taken in.
    const { key: owner } = await generateSigningKey('ES256')
    const body = { name: 'acme', class: 'production' as const, keys: [owner.publicKey] }
    const { envelope } = await compose('tenant', body, owner, [], Math.floor(Date.now() / 1000))
    const token = (await readFile(adminToken, 'utf8')).trim()
    const refused = await new OwnerClient(ready.url).createTenant(envelope, token).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'owner/refused', detail: { code: 'database/not-durable', status: 409 } })

    const second = await launch(['serve', 'all', '--state', at('all'), '--listen', anyPort])
    expect([second.code, second.out]).toEqual([1, ''])
    expect(second.err).toContain('database/locked')
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  })
})

describe('each service by itself', () => {
  test.skipIf(postgres === undefined)('broker, witness, verifier and log over one Postgres', async () => {
    const { url: databaseUrl } = await postgres!.openWithUrl!()
    const state = at('apart')
    const made = await createAt(state, databaseUrl)
    const listen = anyPort
    const witness = await started((io, stopped) => serve.runWitness({ state, listen, log: [] }, io, stopped))
    expect(witness.ready).toMatchObject({ service: 'witness', vkey: made.witness })
    const policy = at('witness-policy')
    await writeFile(policy, `log ${made.log}\nwitness own ${made.witness} ${witness.ready.url}\nquorum own\n`)
    const args = { state, listen, databaseUrl }
    const broker = await started((io, stopped) => serve.runKeybroker({ ...args, witnessPolicy: policy }, io, stopped))
    const log = await started((io, stopped) => serve.runLog(args, io, stopped))
    const attest = await started((io, stopped) => serve.runAttest({ state, listen, simulatedRoot: [] }, io, stopped))
    try {
      const client = new OwnerClient(broker.ready.url!)
      const document = await client.document(made.broker)
      const jwks = (await (await fetch(new URL('/.well-known/jwks.json', attest.ready.url))).json()) as {
        keys: { kid: string }[]
      }
      expect(jwks.keys.map((key) => key.kid)).toEqual(document.verifiers.map(thumbprint))
      expect(attest.ready.key).toBe(jwks.keys[0]!.kid)
      // The broker's address has neither the verifier nor the log.
      for (const path of ['/.well-known/jwks.json', '/checkpoint'])
        expect((await fetch(new URL(path, broker.ready.url))).status, path).toBe(404)

      const { key: owner } = await generateSigningKey('ES256')
      const body = { name: 'acme', class: 'production' as const, keys: [owner.publicKey] }
      const tenant = await compose('tenant', body, owner, [], Math.floor(Date.now() / 1000))
      const token = (await readFile(made.adminToken, 'utf8')).trim()
      const { accepted } = await client.createTenant(tenant.envelope, token)
      const { entry } = accepted[0]!
      const bundle = await client.bundleAsOperator(entry, token)
      const leaf = fromBase64(bundle.leaf)
      expect(parseEntry(leaf).kind).toBe('state')
      const proof = await (await fetch(new URL(`/v1/log/proofs/${entry}`, log.ready.url))).text()
      const accepts = { logVkeys: [made.log], policy: document.witnessPolicy }
      const found = await verifyTlogProof(proof, leaf, accepts, Math.floor(Date.now() / 1000))
      expect(found.cosigners.map((one) => one.vkeyName)).toEqual(['log.example/test/witness'])
    } finally {
      for (const one of [attest, log, broker, witness]) await one.close()
    }
  })

  test('a witness of its own cosigns the log that it was made for', async () => {
    const { log } = await createAt(at('watched'))
    const state = at('independent')
    const io = testIo()
    expect(await create.runCreateWitness({ state, name: 'witness.example/one', log: [log] }, io)).toBe(0)
    const { vkey } = JSON.parse(io.out())
    const run = (logs: readonly string[]) => (out: ReturnType<typeof testIo>, stopped: Promise<void>) =>
      serve.runWitness({ state, listen: anyPort, log: logs }, out, stopped)
    const one = await started(run([log]))
    expect(one.ready).toMatchObject({ service: 'witness', vkey })
    await one.close()
    const other = (await createAt(at('unknown'))).log.replace('log.example/test', 'log.example/other')
    expect(await codeOfPromise(serve.runWitness({ state, listen: anyPort, log: [other] }, testIo(), never))).toMatch(
      /^(witness\/absent|tlog\/vkey)$/,
    )
  })
})
