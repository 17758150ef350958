import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as bundleCommand from '#cli/bundle.js'
import * as credentialCommand from '#cli/credential.js'
import * as initCommand from '#cli/init.js'
import { readDocument } from '#cli/input.js'
import * as landmarkCommand from '#cli/landmark.js'
import type { Io } from '#cli/output.js'
import { presenterOf, timingOf } from '#cli/present.js'
import * as registerCommand from '#cli/register.js'
import type { RegisterArguments } from '#cli/register-statements.js'
import * as registryCommand from '#cli/registry.js'
import * as sourcesCommand from '#cli/sources.js'
import { loadTrust } from '#cli/trust-store.js'
import { createOwnerKeys, loadOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import { envelopeShape } from '#core/dsse.js'
import { parseJson } from '#core/encoding/json.js'
import { manifestName, signatureName } from '#core/sealed/signature.js'
import type { Binding } from '#core/wire/binding.js'
import { presentationNonce } from '#core/wire/sources.js'
import { trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'
import { createApp } from '#host/http.js'
import { type Listening, listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { openBroker } from '#keybroker/service/open.js'
import { makeBrokerRoutes, registerBodyMax } from '#keybroker/service/routes.js'
import { brokerStatuses } from '#keybroker/service/statuses.js'
import { establish } from '#policies/credentials/establish.js'
import { platformName } from '#policies/credentials/platform.js'
import { noBorders } from '#policies/location/borders.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  gist,
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

const { open } = anyDatabase()
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
  made = await testBroker(await open(), { now: Math.floor(Date.now() / 1000) })
  const adminTokenDigest = sha256(utf8(adminToken))
  const { document, prove } = await openBroker({
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
  const log = createLog('test', 'silent')
  const app = createApp({ log, statuses, limits: { bodySizeMax: registerBodyMax } })
  app.hono.route('/', makeBrokerRoutes({ broker: made.broker, log, document, prove, adminTokenDigest }))
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
    expect(registered.out).toContain('key exchange: X-Wing alone')
    const loose = await type(registerCommand, `${register} --nodes 3 --key-exchange any --dry-run`)
    expect(loose.out).toContain('key exchange: X25519 too')
    const kbs = `${register} --delivery v1,kbs`
    expect(await codeOfPromise(type(registerCommand, `${kbs} --key-exchange hybrid`))).toBe('usage/key-exchange')
    expect((await type(registerCommand, `${kbs} --dry-run`)).out).toContain('key exchange: X25519 too')

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
    // What `register` signs unless it is told otherwise.
    const old = await testNode(chain, { releaseKey: await generateRecipientKey() })
    expect(gist(await ask(chain, old))).toBe('judge/key-exchange')
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

  test('says whom it believes about places and companies, and a host presents what these signed', async () => {
    const owners = `--broker ${listening.url} --trust ${at('trust.json')} --keys ${at('keys')}`
    // The trust file of before has the owner's own key for both keepers.
    await type(
      registryCommand,
      `registry sign --keys ${at('keys')} --name law --document-version 1 --days 1 --out ${at('law.json')}`,
    )
    const { signingKey } = await loadOwnerKeys(at('keys'))
    const roles = [{ kind: 'operator-control', areas: ['EEA'] }]
    const issuer = { id: 'auditor', title: 'An auditor', controlledBy: null, keys: [signingKey.publicKey], roles }
    await writeFile(at('rows.json'), JSON.stringify({ issuers: [issuer] }))
    const directory = `--rows ${at('rows.json')} --name who --document-version 1 --out ${at('who.json')}`
    await type(credentialCommand, `credential directory sign --keys ${at('keys')} ${directory}`)
    const set = `sources set --registry ${at('law.json')} --directory ${at('who.json')} --placement-salt salt ${owners}`
    expect(await codeOfPromise(type(sourcesCommand, `sources show ${owners}`))).toBe('sources/none')
    expect(await codeOfPromise(type(sourcesCommand, `${set} --inside NOWHERE`))).toBe('sources/inside')
    expect((await type(sourcesCommand, set)).out).toMatch(
      /places by law version 1.*\n {2}sources statement 1, log entry #\d+/,
    )
    const shown = await type(sourcesCommand, `sources show ${owners} --json`)
    expect([shown.code, JSON.parse(shown.out)]).toMatchObject([
      0,
      { registry: { name: 'law' }, inside: 'EU', isOver: false },
    ])
    // Who times nodes, and a chip that was looked into, which later statements keep.
    await writeFile(at('marks-rows.json'), JSON.stringify({ landmarks: [] }))
    const signing = `--keys ${at('keys')} --name marks --document-version 1 --rows ${at('marks-rows.json')}`
    await type(landmarkCommand, `landmark sign ${signing} --out ${at('marks.json')}`)
    const chip = '12'.repeat(64)
    expect(await codeOfPromise(type(sourcesCommand, `${set} --clear 00`))).toBe('usage/sources-chip')
    await type(sourcesCommand, `${set} --landmarks ${at('marks.json')} --clear ${chip}`)
    await type(sourcesCommand, `${set} --landmarks ${at('marks.json')}`)
    const more = await type(sourcesCommand, `sources show ${owners} --json`)
    expect(JSON.parse(more.out)).toMatchObject({
      landmarks: { name: 'marks', version: 1 },
      cleared: [{ platform: platformName(chip, 'salt') }],
    })
    expect((await type(sourcesCommand, `sources show ${owners}`)).out).toMatch(
      /landmarks marks version 1.*\n {2}cleared {3}platform/,
    )
    made.clock.now += 2 * 86_400
    const over = await type(sourcesCommand, `sources show ${owners}`).catch((error: unknown) => error)
    made.clock.now -= 2 * 86_400
    expect(over).toMatchObject({ code: 3, out: expect.stringContaining('OVER') })

    const claims = {
      vct: 'urn:claviger:vct:operator-control:1',
      legalName: 'Exemple SA',
      ids: ['LEI:X'],
      seat: 'FR',
      ual: 2,
    }
    await writeFile(at('claims.json'), JSON.stringify(claims))
    const status = 'https://issuer.example/status/1'
    const issue = `--claims ${at('claims.json')} --holder ${at('keys')}/owner.pub.pem --status ${status} --index 7 --out ${at('operator.txt')}`
    await type(credentialCommand, `credential issue --keys ${at('keys')} ${issue}`)
    await type(credentialCommand, `credential status --keys ${at('keys')} --uri ${status} --out ${at('status.jwt')}`)
    const options = { present: [at('operator.txt')], statusList: [at('status.jwt')], holderKeys: at('keys') }
    const { io } = testIo()
    expect(await presenterOf({}, io)).toBeUndefined()
    expect(await codeOfPromise(presenterOf({ present: options.present }, io))).toBe('usage/presented')
    expect(await codeOfPromise(presenterOf({ ...options, show: ['controllers'] }, io))).toBe('present/show')
    const { landmarks, landmark } = { landmarks: at('marks.json'), landmark: ['fra-1'] }
    expect(await timingOf(options, io)).toBeUndefined()
    for (const some of [{ landmarks }, { landmark }, { landmarks, landmark: Array(9).fill('a') as string[] }])
      expect(await codeOfPromise(timingOf({ ...options, ...some }, io))).toBe('usage/presented')
    expect(await codeOfPromise(timingOf({ landmarks, landmark }, io))).toBe('usage/presented')
    expect(await codeOfPromise(timingOf({ ...options, landmarks, landmark }, io))).toBe('landmarks/unknown')
    const present = await presenterOf({ ...options, show: ['ual'] }, io)
    const binding = { audience: 'broker', nonce: 'n' } as Binding
    const heads = await readDocument(at('law.json'), envelopeShape, 'registry')
    const kept = { keepers: [signingKey.publicKey], threshold: 1 }
    const who = await readDocument(at('who.json'), envelopeShape, 'directory')
    const sources = {
      type: 'claviger/statement/sources/v1',
      ...{ tenant: signingKey.id, sequence: 1, previous: null, issuedAt: 1 },
      ...{ registry: { ...kept, document: heads }, directory: { ...kept, document: who } },
      ...{ inside: 'EU', placementSalt: 'salt', statusSeconds: 3600, landmarks: undefined, cleared: undefined },
    } as const
    const to = {
      audience: 'broker',
      nonce: presentationNonce(binding),
      platformId: null,
      model: `${signingKey.id}/m`,
      timeable: { landmarkKey: null, keysetDigest: '', challenge: 'A'.repeat(43), lease: null },
      borders: noBorders,
      declared: null,
    }
    const { facts } = await establish({
      sources,
      presented: { ...(await present!(binding)), timed: undefined },
      ...to,
      at: made.clock.now,
    })
    expect(facts).toMatchObject({ credentials: { refused: [] }, company: { proven: true, seat: 'FR', ual: 2 } })
  })
})
