import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminTokenPath } from '#cli/service-state.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { createSecretFile } from '#host/files.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import {
  type OneBroker,
  openBroker,
  openSimulatedAttester,
  places,
  prepareOwner,
  registerWords,
  type,
} from '#test/e2e/quorum-fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'

let folder: string
let brokers: readonly OneBroker[]
const at = (name: string) => join(folder, name)
const urls = () => brokers.map(({ stack }) => stack.url)
const now = () => Math.floor(Date.now() / 1000)
/** What an owner's command needs at a broker. */
const owner = (broker = 0) => ['--broker', urls()[broker]!, '--trust', places(folder).trust, '--keys', at('keys')]

interface Told {
  readonly exit: number
  readonly qualifies: boolean | null
  readonly findings: readonly { check: string; state: string; code: string | null }[]
  readonly brokers: readonly { url: string; qualifies: boolean; reasons: readonly { id: string }[] }[]
}

async function doctor(...words: readonly string[]): Promise<{ told: Told; code: number | null; out: string }> {
  const machine = ['--platform-state', at('platform.json'), '--dangerous-allow-simulated']
  const given = words.includes('--broker') ? [] : ['--broker', urls()[0]!]
  const trust = ['--trust', places(folder).trust]
  const io = await type('doctor', ...given, ...trust, ...machine, ...words, '--json')
  return { told: JSON.parse(io.out()) as Told, code: io.code(), out: io.out() }
}
const one = () => ['--model', 'acme/one', '--sealed', at('one'), '--broker-key', brokers[0]!.stack.broker]

async function logSize(): Promise<number> {
  const text = await (await fetch(`${urls()[0]}/checkpoint`)).text()
  return parseCheckpoint(text).size
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-doctor-e2e-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  process.env.XDG_STATE_HOME = at('state')
  await mkdir(at('model'))
  writeModelFolder(at('model'), 'external')
  await createSecretFile(at('platform.json'), exportPlatform(await testPlatform({ at: now() })))
  const attester = await openSimulatedAttester(at('platform.json'), now())
  brokers = await Promise.all(['berlin', 'paris'].map((name) => openBroker(folder, name)))
  await prepareOwner(folder, at('model'), brokers, attester)
  const register = ['register', at('one'), ...owner(), '--policy', 'eu-development', '--class', 'development']
  await type(...register, '--token', adminTokenPath(brokers[0]!.folder))
  const words = registerWords(folder, 'two', brokers)
  await type(...words.map((word) => (word.endsWith('Gamma Oy') ? 'Alpha GmbH,Beta SAS' : word)))
  const place = ['--name', 'node-1', '--country', 'DE', '--operator', 'Example GmbH', '--operator-country', 'DE']
  await type('host', 'statement', ...place, '--out', at('host.json'))
}, 180_000)
afterAll(async () => {
  for (const { stack } of brokers ?? []) await stack.close()
}, 60_000)

describe('who may ask, by the commands', () => {
  test('a host with a key of the owner’s list, until it is taken off', async () => {
    const made = await type(
      'token',
      'create',
      'node-1',
      '--role',
      'host',
      '--out',
      at('host.key'),
      ...owner(),
      '--json',
    )
    expect(JSON.parse(made.out())).toMatchObject({ id: 'node-1', role: 'host', isNew: true, pending: false })
    expect(await readFile(at('host.key'), 'utf8')).toMatch(/^claviger_key_[A-Za-z0-9_-]{43}\n$/)
    const again = type('token', 'create', 'node-1', '--role', 'host', '--out', at('other.key'), ...owner())
    expect(await codeOfPromise(again)).toBe('token/exists')
    const listed = JSON.parse((await type('token', 'list', ...owner(), '--json')).out())
    expect(listed.identities).toMatchObject([{ id: 'node-1', role: 'host', proof: { kind: 'api-key' } }])
    const yes = await doctor(...one(), '--host-statement', at('host.json'), '--credential', at('host.key'))
    expect(yes).toMatchObject({ code: 0, told: { qualifies: true } })
    const gone = await type('token', 'revoke', 'node-1', ...owner(), '--json')
    expect(JSON.parse(gone.out())).toMatchObject({ id: 'node-1', left: 0, isNew: true })
    const after = await doctor(...one(), '--host-statement', at('host.json'), '--credential', at('host.key'))
    expect(after).toMatchObject({ code: 1, told: { qualifies: null, brokers: [] } })
    expect(after.told.findings.find(({ state }) => state === 'fault')).toMatchObject({ check: 'broker' })
    expect((await type('token', 'list', ...owner())).err()).toContain('nobody but you may read')
    expect(await codeOfPromise(type('token', 'revoke', 'node-1', ...owner()))).toBe('token/unknown')
  })
})

describe('would this node get this model', () => {
  test('yes: exit 0, nothing is released, leased or logged, and the key never leaves', async () => {
    const before = await logSize()
    const { told, code, out } = await doctor(...one(), '--host-statement', at('host.json'), '--keys', at('keys'))
    expect(told).toMatchObject({ exit: 0, qualifies: true, brokers: [{ url: urls()[0], reasons: [] }] })
    expect(told.findings.map(({ check, state }) => `${check} ${state}`)).toEqual([
      'machine note',
      'model ok',
      'broker ok',
    ])
    expect(code).toBe(0)
    expect(out).not.toContain('wrapped')
    expect(await logSize()).toBe(before)
    expect(JSON.parse((await type('lease', 'list', ...owner(), '--json')).out())).toEqual({ leases: [] })
  })

  test('no: exit 3, with the rule and what mends it, for a person and for a machine', async () => {
    const nowhere = await doctor(...one(), '--keys', at('keys'))
    expect(nowhere).toMatchObject({ code: 3, told: { exit: 3, qualifies: false } })
    const [reason] = nowhere.told.brokers[0]!.reasons
    expect(reason).toBeDefined()
    const machine = ['--platform-state', at('platform.json'), '--dangerous-allow-simulated']
    const trust = ['--trust', places(folder).trust]
    const words = ['doctor', ...one(), '--broker', urls()[0]!, ...trust, ...machine, '--keys', at('keys')]
    const said = await type(...words)
    expect(said.out()).toContain(`no: ${urls()[0]} would not release the key to this node`)
    expect(said.out()).toContain(reason!.id)
    expect(said.out()).toContain('NOT HARDWARE')
    expect(said.code()).toBe(3)
  })

  test('no: a machine under a root that the owner does not name', async () => {
    const other = await doctor(...one(), '--platform-state', at('elsewhere.json'), '--keys', at('keys'))
    expect(other).toMatchObject({ code: 3, told: { qualifies: false } })
    expect(other.told.brokers[0]!.reasons.length).toBeGreaterThan(0)
  })

  test('no: the node refuses by itself, and asks nobody', async () => {
    const words = ['doctor', ...one(), '--broker', 'http://127.0.0.1:9', '--trust', places(folder).trust]
    const io = await type(...words, '--keys', at('keys'), '--json')
    expect(io.code()).toBe(3)
    expect(JSON.parse(io.out())).toMatchObject({ qualifies: false, findings: [{ code: 'run/attester' }], brokers: [] })
    expect((await type(...words, '--keys', at('keys'))).out()).toContain('no: this node would not ask')
    // Which of the owner's brokers is meant, only whoever asks can say: that is no verdict.
    const unsaid = await doctor('--model', 'acme/one', '--sealed', at('one'), '--keys', at('keys'))
    expect(unsaid).toMatchObject({ code: 1, told: { qualifies: null } })
    expect(unsaid.told.findings.at(-1)).toMatchObject({ check: 'node', code: 'own/broker' })
  })

  test('nobody can tell: a broker that is away is no verdict', async () => {
    const away = await doctor(...one(), '--broker', 'http://127.0.0.1:9', '--keys', at('keys'))
    expect(away).toMatchObject({ code: 1, told: { qualifies: null } })
    expect(away.told.findings.at(-1)).toMatchObject({ state: 'fault', code: 'broker/unreachable' })
  })

  test('of a split key every broker is asked, and each sees a credential of its own', async () => {
    const two = ['--model', 'acme/two', '--sealed', at('two'), '--broker', urls().join(',')]
    const both = await doctor(...two, '--host-statement', at('host.json'), '--keys', at('keys'))
    expect(both).toMatchObject({ code: 0, told: { qualifies: true } })
    expect(both.told.brokers.map(({ url }) => url).sort()).toEqual([...urls()].sort())
    for (const broker of [0, 1])
      await type('token', 'create', 'host', '--role', 'host', '--out', at(`key-${broker}`), ...owner(broker))
    const keys = (files: string) => doctor(...two, '--host-statement', at('host.json'), '--credential', files)
    expect(await codeOfPromise(keys(at('key-0')))).toBe('usage/credential')
    expect(await codeOfPromise(keys(`${at('key-0')},${at('key-0')}`))).toBe('usage/credential')
    expect(await keys(`${at('key-0')},${at('key-1')}`)).toMatchObject({ code: 0, told: { qualifies: true } })
    // Each knows its own alone: those of the other open nothing.
    const crossed = await keys(`${at('key-1')},${at('key-0')}`)
    expect(crossed).toMatchObject({ code: 1, told: { qualifies: null, brokers: [] } })
  })

  test('nobody asks without saying who asks', async () => {
    expect(await codeOfPromise(doctor(...one()))).toBe('usage/credential')
    expect(await codeOfPromise(doctor(...one(), '--keys', at('keys'), '--credential', at('host.key')))).toBe(
      'usage/credential',
    )
    await writeFile(at('no.key'), 'not a key\n')
    expect(await codeOfPromise(doctor(...one(), '--credential', at('no.key')))).toBe('token/form')
  })
})
