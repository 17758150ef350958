import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { simulatedRuntime } from '#cli/reference-values.js'
import { obtainKek } from '#cli/released-kek.js'
import { runAll } from '#cli/serve.js'
import { adminTokenPath, servicePlaces } from '#cli/service-state.js'
import type { SimulatedAttester } from '#cli/simulated-attester.js'
import { openStack, type Stack } from '#cli/stack.js'
import { loadModelKey } from '#convert/keys/owner-keys.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { manifestDigest } from '#core/sealed/manifest.js'
import { brokerDocumentShape } from '#core/wire/broker-document.js'
import { createSecretFile } from '#host/files.js'
import { createLog } from '#host/log.js'
import { parseKekSetting } from '#keybroker/kek/setting.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { testIo } from '#test/e2e/fixtures.js'
import { type OneBroker, openBroker, openSimulatedAttester, runNode, type } from '#test/e2e/quorum-fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'

/*
 * Two brokers: alpha releases the key-encryption key of beta, which has none of its own, to beta's evidence. The owner of that key
 * is `custodian`; `acme` keeps a model at beta.
 */

let folder: string
let attester: SimulatedAttester
let alpha: OneBroker
let beta: Stack
const at = (name: string) => join(folder, name)
const now = () => Math.floor(Date.now() / 1000)
const simulated = () => ['--dangerous-allow-simulated', '--platform-state', at('platform.json')]
const uri = (url = alpha.stack.url) => `broker:${url}?sealed=file:${at('kek-sealed')}`
const custodian = () => ['--broker', alpha.stack.url, '--trust', at('custodian.json'), '--keys', at('custodian')]

function openBeta(
  by: Pick<SimulatedAttester, 'platform' | 'attest'> = attester,
  url = alpha.stack.url,
): Promise<Stack> {
  const keks = { current: parseKekSetting(uri(url)), previous: [] }
  const kekPorts = { obtain: obtainKek({ attester: by as SimulatedAttester, dangerousAllowSimulated: true }) }
  const options = { folder: at('beta'), databaseUrl: null, log: createLog('services', 'silent'), now, keks, kekPorts }
  return openStack({ ...options, attester: by as SimulatedAttester }, { host: '127.0.0.1', port: 0 })
}

async function keyState({ url }: Stack): Promise<{ readonly status: number; readonly parts?: object }> {
  const answer = await fetch(`${url}/readyz`)
  return { ...((await answer.json()) as object), status: answer.status }
}

const codeAndHint = (error: { code?: string; message: string; detail?: { hint?: unknown } }) =>
  `${error.code} ${error.message} ${String(error.detail?.hint)}`

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-released-kek-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  process.env.XDG_STATE_HOME = at('state')
  await mkdir(at('model'))
  writeModelFolder(at('model'), 'external')
  await createSecretFile(at('platform.json'), exportPlatform(await testPlatform({ at: now() })))
  attester = await openSimulatedAttester(at('platform.json'), now())
  await writeFile(at('runtime.json'), JSON.stringify(simulatedRuntime(attester)))
  alpha = await openBroker(folder, 'alpha')
  const runtime = ['--runtime', at('runtime.json')]
  await type('keys', 'new', '--out', at('custodian'), '--name', 'custodian')
  await type('keys', 'new', '--out', at('acme'), '--name', 'acme')
  const alphaWords = ['--broker', alpha.stack.url, '--broker-key', alpha.stack.broker]
  await type(
    'init',
    ...alphaWords,
    '--owner',
    `custodian=${at('custodian')}`,
    ...runtime,
    '--out',
    at('custodian.json'),
  )
}, 120_000)
afterAll(async () => {
  await beta?.close()
  await alpha?.stack.close()
}, 60_000)

describe('[ci] a broker whose key-encryption key another broker releases', () => {
  test('its owner makes and registers the key as a model, and nothing else stands for it', async () => {
    const words = ['keybroker', 'kek', 'seal', '--out', at('kek-sealed'), '--keys', at('custodian'), '--name', 'kek-1']
    expect((await type(...words, '--dry-run')).out()).toContain('would seal a new key-encryption key')
    expect(await readdir(folder)).not.toContain('kek-sealed')
    const made = await type(...words, '--json')
    const { model, keyId } = JSON.parse(made.out()) as { model: string; keyId: string }
    expect(keyId).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(await codeOfPromise(type(...words))).toBe('seal/output')
    const terms = ['--policy', 'development', '--class', 'development', '--lease-seconds', '10', '--nodes', '5']
    await type('register', at('kek-sealed'), ...custodian(), ...terms, '--token', adminTokenPath(alpha.folder))
    // No node runs it: it is no model.
    expect(model).toMatch(/\/kek-1$/)
    expect(await codeOfPromise(runNode(folder, 'kek-sealed', [alpha.stack.url], attester, null))).toBe('node/model')
  }, 60_000)

  test('is created only where it proves what it is, and the keys by which it is itself are sealed from the first on', async () => {
    const create = ['serve', 'create', '--state', at('beta'), '--kek', uri(), '--origin', 'claviger.invalid/beta']
    await expect(type(...create)).rejects.toMatchObject({ code: 'kek/attester' })
    await expect(type(...create.with(5, uri('http://127.0.0.1:9')), ...simulated())).rejects.toMatchObject({
      code: 'kek/not-released',
    })
    expect(await readdir(folder)).not.toContain('beta')
    await type(...create, ...simulated())
    const files = await readdir(servicePlaces(at('beta')).broker)
    const sealed = ['signing.key', 'wrapping.key', 'wrapping-hybrid.key', 'caller-secret.key'].map(
      (one) => `${one}.sealed`,
    )
    expect(files.sort()).toEqual([...sealed, 'admin-token.sha256'].sort())
  }, 60_000)

  test('does not start for another measurement, nor without the broker that releases it', async () => {
    const other = await testPlatform({ at: now(), measurement: 'cd'.repeat(48) })
    const refused = await openBeta({ platform: 'simulated', attest: other.attest }).then(() => 'started', codeAndHint)
    expect(refused).toContain('kek/not-released the key-encryption key was not released')
    expect(refused).toMatch(/measurement/)
    const gone = await openBeta(attester, 'http://127.0.0.1:9').then(() => 'started', codeAndHint)
    expect(gone).toMatch(/^kek\/not-released .*broker\/unreachable.* is it there\?/)
    const args = { state: at('beta'), listen: '127.0.0.1:0', kek: uri() }
    expect(await codeOfPromise(runAll(args as Parameters<typeof runAll>[0], testIo()))).toBe('kek/attester')
  }, 60_000)

  test('says whose key it is, and takes a model of an owner who knows them; one who does not hands over nothing', async () => {
    beta = await openBeta()
    expect(beta.kek).toBe('KEK RELEASED BY BROKER')
    const envelope = (await (await fetch(`${beta.url}/v1/broker`)).json()) as { payload: string }
    const document = brokerDocumentShape(parseJson(fromBase64(envelope.payload)) as Json, 'broker')
    expect(document.kekBroker).toBe(alpha.stack.broker)
    const words = ['--broker', beta.url, '--broker-key', beta.broker, '--owner', `acme=${at('acme')}`]
    const values = ['--runtime', at('runtime.json'), '--broker-values', at('runtime.json'), '--out', at('acme.json')]
    expect(await codeOfPromise(type('init', ...words, ...values))).toBe('broker-proof/kek')
    expect(await codeOfPromise(type('init', ...words, ...values, '--broker-kek', `${'A'.repeat(43)}/kek-1`))).toBe(
      'broker-proof/kek',
    )
    await type('init', ...words, ...values, '--broker-kek', document.kekModel!)
    await type('seal', at('model'), '--out', at('sealed'), '--keys', at('acme'), '--name', 'one', '--version', '1')
    const terms = ['--policy', 'development', '--class', 'development', '--lease-seconds', '60', '--nodes', '9']
    const owner = ['--broker', beta.url, '--trust', at('acme.json'), '--keys', at('acme')]
    const said = await type('register', at('sealed'), ...owner, ...terms, '--token', adminTokenPath(at('beta')))
    expect(said.err()).toContain('SIMULATED BROKER (NOT HARDWARE), KEK RELEASED BY BROKER')
    expect(said.err()).not.toContain('CAN READ KEYS')
    const { node } = await runNode(folder, 'sealed', [beta.url], attester, null)
    await node.close()
    expect((await keyState(beta)).status).toBe(200)
  }, 60_000)

  test('keeps the key in no file, and neither are the keys that it wraps', async () => {
    const dek = await loadModelKey(at('custodian'), manifestDigest(await readFile(at('kek-sealed/manifest.json'))))
    const needles = [dek, await loadModelKey(at('acme'), manifestDigest(await readFile(at('sealed/manifest.json'))))]
    for (const entry of await readdir(at('beta'), { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue
      const bytes = await readFile(join(entry.parentPath, entry.name))
      for (const needle of needles) expect(bytes.includes(Buffer.from(needle)), entry.name).toBe(false)
    }
  })

  test('stands in the other broker’s log with each lease, which its owner lists', async () => {
    const listed = await type('lease', 'list', ...custodian(), '--json')
    const { leases } = JSON.parse(listed.out()) as { leases: readonly { lease: string }[] }
    expect(leases).toHaveLength(1)
  })

  test('stops serving when the other broker is gone for longer than the lease, and gets the key again when it is back', async () => {
    await alpha.stack.close()
    await vi.waitFor(async () => expect((await keyState(beta)).status).toBe(503), { timeout: 30_000, interval: 250 })
    expect((await fetch(`${beta.url}/healthz`)).status).toBe(200)
    await alpha.open()
    await vi.waitFor(async () => expect((await keyState(beta)).status).toBe(200), { timeout: 60_000, interval: 250 })
    const { node } = await runNode(folder, 'sealed', [beta.url], attester, null)
    await node.close()
  }, 120_000)

  test('stops within seconds when its owner takes it back, and does not start until the owner lets it', async () => {
    const revoke = ['lease', 'revoke', '--measurement', attester.measurement, '--model', 'kek-1', ...custodian()]
    await type(...revoke)
    await vi.waitFor(async () => expect((await keyState(beta)).status).toBe(503), { timeout: 20_000, interval: 250 })
    expect((await keyState(beta)).parts).toMatchObject({ database: 'ok', key: 'not ready' })
    const owner = ['--broker', beta.url, '--trust', at('acme.json'), '--keys', at('acme')]
    const register = ['register', at('sealed'), ...owner, '--policy', 'development', '--lease-seconds', '60']
    expect(await type(...register).then(() => 'taken', codeAndHint)).toContain('kek/lease-over')
    const again = await openBetaAgain()
    expect(again).toMatch(/^kek\/not-released .*broker\/denied/)
  }, 60_000)
})

async function openBetaAgain(): Promise<string> {
  await beta.close()
  const { url } = alpha.stack
  return openBeta(attester, url).then(async (stack) => {
    await stack.close()
    return 'started'
  }, codeAndHint)
}
