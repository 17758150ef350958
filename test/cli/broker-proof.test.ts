import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as initCommand from '#cli/init.js'
import type { Io } from '#cli/output.js'
import * as registerCommand from '#cli/register.js'
import * as tenantCommand from '#cli/tenant.js'
import { createOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { parseJson } from '#core/encoding/json.js'
import { manifestName, signatureName } from '#core/sealed/signature.js'
import { type Trust, trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'
import { type Listening, listen } from '#host/listen.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { permitAll, sealTiny, startTime, type TestBroker, testBroker } from '#test/keybroker/fixtures.js'
import { adminToken, application } from '#test/keybroker/served.js'

const { open } = anyDatabase()

let made: TestBroker
let attested: Listening
let unattested: Listening
let folder: string
const at = (name: string) => join(folder, name)

async function type(command: { describe(program: Command, io: Io): void }, ...words: readonly string[]) {
  const said = { out: '', err: '', code: 0 }
  const io: Io = {
    stdout: (text) => void (said.out += text),
    stderr: (text) => void (said.err += text),
    isTerminal: false,
    now: () => made.clock.now,
    exit: (code) => void (said.code = code),
    ask: async () => null,
  }
  const program = new Command('claviger').exitOverride().configureOutput({ writeErr: (text) => io.stderr(text) })
  command.describe(program, io)
  await program.parseAsync(['node', 'claviger', ...words.join(' ').split(' ')])
  return said
}

async function trustNow(): Promise<Trust> {
  const file = trustFileShape(parseJson(await readFile(at('trust.json'))), '')
  return (await verifyTrustFile(file, null, made.clock.now)).trust
}

/** The same broker, its keys and its database, in its TEE and outside it. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-broker-proof-'))
  process.env.XDG_STATE_HOME = at('state')
  made = await testBroker(await open(), { now: Math.floor(Date.now() / 1000) })
  const { attest, rootDigest } = await testPlatform({ at: startTime })
  const attester: BrokerAttester = { platform: 'simulated', attest }
  const serve = async (by?: BrokerAttester) =>
    listen((await application(made, undefined, by)).app, { host: '127.0.0.1', port: 0 })
  attested = await serve(attester)
  unattested = await serve()
  await writeFile(at('token'), `${adminToken}\n`)
  await writeFile(at('policy.cedar'), permitAll)
  const file = { title: 'runtime', values: testReferenceValues(), simulatedRoots: [rootDigest] }
  await writeFile(at('runtime.json'), JSON.stringify(file))
  const other = testReferenceValues({ measurements: ['cd'.repeat(48)] })
  await writeFile(at('other.json'), JSON.stringify({ ...file, values: other }))
  const { signingKey } = await createOwnerKeys(at('keys'), 'acme')
  const owner = await sealTiny(signingKey, 'whisper', 1, new Map())
  await mkdir(at('sealed'))
  await writeFile(at(`sealed/${manifestName}`), owner.manifest)
  await writeFile(at(`sealed/${signatureName}`), owner.manifestSignature)
  await storeModelKey(at('keys'), owner.manifestDigest, owner.dek)
})
afterAll(async () => {
  await attested.close()
  await unattested.close()
  await made.close()
  await rm(folder, { recursive: true })
})

const init = (url: string, ...more: readonly string[]) => {
  const who = `--broker ${url} --broker-key ${made.broker.signer.id} --owner acme=${at('keys')}`
  return type(initCommand, `init ${who} --out ${at('trust.json')} --runtime ${at('runtime.json')}`, ...more)
}
const values = (name = 'runtime.json') => ['--broker-values', at(name)]
const register = (url: string, ...more: readonly string[]) => {
  const what = `register ${at('sealed')} --broker ${url} --policy ${at('policy.cedar')} --token ${at('token')}`
  return type(registerCommand, `${what} --trust ${at('trust.json')} --keys ${at('keys')}`, ...more)
}
const development = ['--class', 'development']

describe('an owner who verifies the broker first', () => {
  test('is told that a broker says more than was asked of it, and that it counts as unattested until then', async () => {
    const said = await init(attested.url)
    expect(said.err).toContain('broker: UNATTESTED BROKER until you say what you accept of it: --broker-values FILE')
    expect((await trustNow()).brokers[0]?.demand).toBe(undefined)
  })

  test('hands no production key to a broker of which nothing is demanded, without saying so', async () => {
    expect(await codeOfPromise(register(unattested.url))).toBe('register/unattested-broker')
    const unproven = ['--dangerous-allow-unattested-broker', '--dry-run']
    expect(await codeOfPromise(register(unattested.url, ...unproven))).toBe('policy-command/any-genuine-chip')
    const said = await register(unattested.url, ...unproven, '--accept', 'any-genuine-chip')
    expect(said.err).toContain('UNATTESTED BROKER, KEK HELD BY OPERATOR: BROKER OPERATOR CAN READ KEYS')
  })

  test('makes no trust file that demands what the broker does not prove', async () => {
    expect(await codeOfPromise(init(unattested.url, ...values()))).toBe('broker-proof/absent')
    expect(await codeOfPromise(init(attested.url, ...values('other.json')))).toBe('broker-proof/values')
    expect(await codeOfPromise(init(attested.url, ...values()))).toBe('broker-proof/kek')
    expect(await codeOfPromise(init(attested.url, '--broker-values', 'none,none'))).toBe('init/brokers')
    expect((await trustNow()).version).toBe(1)
  })

  test('pins what the broker has to prove, and registers with it', async () => {
    const said = await init(attested.url, ...values(), '--dangerous-allow-operator-kek')
    expect(said.err).toContain('broker: SIMULATED BROKER (NOT HARDWARE), KEK HELD BY OPERATOR, as its evidence shows')
    const done = await register(attested.url, ...development)
    expect(done.err).toContain('SIMULATED BROKER (NOT HARDWARE), KEK HELD BY OPERATOR: BROKER OPERATOR CAN READ KEYS')
    const { url } = attested
    const shown = `tenant show --broker ${url} --trust ${at('trust.json')} --keys ${at('keys')}`
    expect((await type(tenantCommand, shown)).out).toContain('SIMULATED BROKER (NOT HARDWARE)')
  })

  test('keeps the demand through the next versions of the trust file, until somebody says none', async () => {
    await init(attested.url)
    expect((await trustNow()).brokers[0]?.demand?.allowOperatorKek).toBe(true)
    expect(await codeOfPromise(init(unattested.url))).toBe('broker-proof/absent')
  })

  test('gives the same broker nothing once it runs outside its TEE, and can still take back', async () => {
    expect(await codeOfPromise(register(unattested.url, ...development))).toBe('broker-proof/absent')
    const shown = `tenant show --broker ${unattested.url} --trust ${at('trust.json')} --keys ${at('keys')}`
    const said = await type(tenantCommand, shown)
    expect(said.err).toContain('UNATTESTED BROKER: ')
    expect(said.out).toContain('UNATTESTED BROKER')
  })

  test('does not demand less than its last statement by a trust file that lost the demand', async () => {
    await init(attested.url, '--broker-values', 'none')
    expect(await codeOfPromise(register(unattested.url, ...development))).toBe('register/unattested-broker')
    const said = await register(unattested.url, ...development, '--dangerous-allow-unattested-broker')
    expect(said.out).toContain('trust statement 2')
  })
})
