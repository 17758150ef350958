import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as bundleCommand from '#cli/bundle.js'
import * as initCommand from '#cli/init.js'
import type { Io } from '#cli/output.js'
import * as registerCommand from '#cli/register.js'
import type { RegisterArguments } from '#cli/register-statements.js'
import { loadTrust } from '#cli/trust-store.js'
import { createOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parseJson } from '#core/encoding/json.js'
import { manifestName, signatureName } from '#core/sealed/signature.js'
import { trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'
import { createApp } from '#host/http.js'
import { type Listening, listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { openBroker } from '#keybroker/service/open.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  ask,
  granted,
  openKey,
  permitAll,
  sealTiny,
  startTime,
  type TestBroker,
  testBroker,
  testNode,
} from '#test/keybroker/fixtures.js'
import { logStatuses } from '#transparency/service/routes.js'

const [{ open }] = databasesUnderTest() as [ReturnType<typeof databasesUnderTest>[number]]
const adminToken = 'A'.repeat(43)

let made: TestBroker
let listening: Listening
let folder: string
const at = (name: string) => join(folder, name)

/** A command's process: what it printed, and what a person would answer. */
function testIo(answer: string | null = null) {
  const said = { out: '', err: '', code: 0 }
  const io: Io = {
    stdout: (text) => void (said.out += text),
    stderr: (text) => void (said.err += text),
    isTerminal: false,
    now: () => made.clock.now,
    exit: (code) => void (said.code = code),
    ask: async () => answer,
  }
  return { io, said }
}

/** The command as it is typed. */
async function type(
  command: { describe(program: Command, io: Io): void },
  words: string,
  answer: string | null = null,
) {
  const { io, said } = testIo(answer)
  const program = new Command('claviger').exitOverride().configureOutput({ writeErr: (text) => io.stderr(text) })
  command.describe(program, io)
  await program.parseAsync(['node', 'claviger', ...words.split(' ')])
  return said
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-owner-'))
  process.env.XDG_STATE_HOME = at('state')
  made = await testBroker(await open())
  const adminTokenDigest = sha256(utf8(adminToken))
  const { document } = await openBroker({
    database: made.database,
    keys: { ...made.broker, adminTokenDigest, close: () => undefined } as never,
    log: made.broker.log,
    record: made.log,
    appraise: made.broker.appraise,
    verifiers: async () => [made.verifier.publicKey],
    logs: [made.testLog.vkey],
    witnessPolicy: made.testLog.quorumPolicy,
    clock: () => made.clock.now,
  })
  const statuses = { ...brokerStatuses, ...logStatuses }
  const app = createApp({ log: createLog('test', 'silent'), statuses, limits: { bodySizeMax: registerBodyMax } })
  app.hono.route('/', makeBrokerRoutes({ broker: made.broker, document, adminTokenDigest }))
  listening = await listen(app, { host: '127.0.0.1', port: 0 })
  await writeFile(at('token'), `${adminToken}\n`)
  await writeFile(at('policy.cedar'), permitAll)
  await writeFile(at('runtime.json'), JSON.stringify({ title: 'runtime', values: testReferenceValues() }))
})

afterAll(async () => {
  await listening.close()
  await made.close()
})

describe('an owner at a terminal', () => {
  test('makes a trust file, registers a model, and reads what was decided', async () => {
    const platform = await testPlatform({ at: startTime })
    const { signingKey } = await createOwnerKeys(at('keys'), 'acme')
    const owner = await sealTiny(signingKey, 'whisper', 1, new Map())
    await mkdir(at('sealed'))
    await writeFile(at(`sealed/${manifestName}`), owner.manifest)
    await writeFile(at(`sealed/${signatureName}`), owner.manifestSignature)
    await storeModelKey(at('keys'), owner.manifestDigest, owner.dek)
    const { url } = listening
    const broker = made.broker.signer.id

    // Nobody looked at the key, so nobody is believed.
    const init = `init --broker ${url} --owner acme=${at('keys')} --out ${at('trust.json')} --runtime ${at('runtime.json')} --simulated-root ${platform.rootDigest}`
    expect(await codeOfPromise(type(initCommand, init))).toBe('init/unconfirmed')
    expect(await codeOfPromise(type(initCommand, init, 'no'))).toBe('init/unconfirmed')
    expect(await codeOfPromise(type(initCommand, `${init} --broker-key ${'B'.repeat(43)}`))).toBe('broker/key')
    const dry = await type(initCommand, `${init} --broker-key ${broker} --dry-run --json`)
    expect(JSON.parse(dry.out)).toMatchObject({ dryRun: true, version: 1, name: null, author: null, broker })
    expect(existsSync(at('trust.json')) || existsSync(at('trust.json.key'))).toBe(false)
    const first = await type(initCommand, `${init} --broker-key ${broker} --json`)
    expect(JSON.parse(first.out)).toMatchObject({ version: 1, broker })
    expect(first.err).toContain('UNATTESTED BROKER, KEK HELD BY OPERATOR')
    const floor = '00'.repeat(32)
    const more = `--registry ${at('keys')} --issuer tuev=${at('keys')} --crl-floor ${floor}=2026-11-25T00:00:00Z`
    const second = await type(initCommand, `${init} ${more}`, 'yes')
    const next = await type(initCommand, `${init} --broker-key ${broker} --dry-run`)
    expect(next.out).toMatch(/^would make .*trust\.json: version 3, signed by [A-Za-z0-9_-]{43}\n$/)
    const floored = type(initCommand, `${init} --yes --crl-floor ${floor}=2026-13-01T00:00:00Z`)
    await expect(floored).rejects.toMatchObject({ code: 'commander.invalidArgument' })
    expect(second.out).toContain('version 2')
    // Made elsewhere, with another key: a line of its own, and no older version of this one.
    for (const place of ['elsewhere', 'there']) {
      await mkdir(at(place))
      const made = init.replace(at('trust.json'), at(`${place}/trust.json`))
      await type(initCommand, `${made} --broker-key ${broker}`)
      await loadTrust(at(`${place}/trust.json`), startTime)
    }
    await loadTrust(at('trust.json'), startTime)
    const file = trustFileShape(parseJson(await readFile(at('trust.json'))), '')
    const { trust } = await verifyTrustFile(file, null, made.clock.now)
    expect(trust.owners).toEqual([{ alias: 'acme', key: signingKey.publicKey }])
    expect(trust.registries).toEqual([{ alias: 'registry', key: signingKey.publicKey }])
    expect(trust.issuers).toEqual([{ alias: 'tuev', key: signingKey.publicKey }])
    expect(trust.collateralFloors).toEqual([{ kind: 'crl', issuer: floor, issuedAtMin: 1_795_564_800 }])
    expect(trust.runtimePublishers).toEqual([])

    const register = `register ${at('sealed')} --broker ${url} --policy ${at('policy.cedar')} --trust ${at('trust.json')} --keys ${at('keys')} --class development`
    expect((await type(registerCommand, `${register} --dry-run`)).out).toContain('would register whisper version 1')
    expect(await codeOfPromise(type(registerCommand, register))).toBe('register/token')
    const registered = await type(registerCommand, `${register} --token ${at('token')} --nodes 3`)
    expect(registered.out).toContain(`manifest sha256 ${owner.manifestDigest}`)
    expect(registered.out).toMatch(/policy statement 1, log entry #\d+/)
    expect(registered.err).toContain('UNATTESTED BROKER')

    // The same again says nothing new; another number of nodes is one statement more. Neither needs the token.
    const again = await type(registerCommand, `${register} --nodes 3 --json`)
    const statements = (JSON.parse(again.out) as { statements: { isNew: boolean }[] }).statements
    expect(statements.map((one) => one.isNew)).toEqual([false, false, false, false])
    const changed = await type(registerCommand, `${register} --nodes 4`)
    expect(changed.out).toContain('registration statement 2, log entry')
    expect(changed.out).toContain('policy statement 1 (unchanged)')

    const head = await fetch(`${url}/v1/owners/${owner.id}/trust`).then((answer) => answer.json())
    const digest = Buffer.from(sha256(Buffer.from((head as { payload: string }).payload, 'base64'))).toString('hex')
    owner.heads.set('trust', { sequence: 1, digest, envelope: head as never })
    const chain = { test: made, owner, platform }
    const node = await testNode(chain)
    const answer = granted(await ask(chain, node))
    expect(await openKey(owner, node, answer)).toEqual(owner.dek)

    const entry = /index (\d+)/.exec(answer.proof)![1]!
    const bundle = `bundle ${entry} --broker ${url}`
    await type(bundleCommand, `${bundle} --keys ${at('keys')} --broker-key ${broker} --out ${at('bundle.json')}`)
    const verified = await type(bundleCommand, `bundle verify ${at('bundle.json')} --trust ${at('trust.json')}`)
    expect([verified.code, verified.out]).toEqual([3, expect.stringContaining('SIMULATED: NOT HARDWARE')])
    expect(verified.out).toContain(`RELEASED as log entry #${entry}`)
    const operators = await type(bundleCommand, `${bundle} --token ${at('token')}`)
    expect(JSON.parse(operators.out)).toMatchObject({ type: 'claviger/bundle/v1' })
  })

  test('is told what is missing or wrong before anything is sent', async () => {
    const { url } = listening
    const base = {
      sealed: at('sealed'),
      broker: url,
      trust: at('trust.json'),
      keys: at('keys'),
      class: 'development',
      callers: 'any',
    } as const
    const terms = { leaseSeconds: 10, leaseRequests: 1, leaseBytes: 1, leaseUnits: 1, nodes: 1 }
    const { io } = testIo()
    const code = (args: Partial<RegisterArguments>) =>
      codeOfPromise(registerCommand.run({ ...base, ...terms, policy: at('policy.cedar'), ...args }, io))
    expect(await code({ sealed: at('nothing') })).toBe('input/unreadable')
    expect(await code({ keys: at('nothing') })).toBe('keys/absent')
    expect(await code({ runtime: 'unknown' })).toBe('register/reference-values')
    await writeFile(at('open.cedar'), 'permit (principal, action, resource);')
    expect(await code({ policy: at('open.cedar') })).toBe('policy/invalid')
    expect(await code({ broker: 'http://127.0.0.1:1' })).toBe('owner/unreachable')
    await type(initCommand, `init --broker ${url} --owner ${at('keys')} --out ${at('other.json')} --yes`)
    const usage = type(bundleCommand, `bundle x --broker ${url} --keys ${at('keys')}`)
    await expect(usage).rejects.toMatchObject({ exitCode: 2 })
  })
})
