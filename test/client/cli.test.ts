import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import * as bundleVerify from '#cli/bundle-verify.js'
import { renderCard } from '#cli/card.js'
import { forTerminal, type Io, reportError } from '#cli/output.js'
import * as proxy from '#cli/proxy.js'
import * as receipt from '#cli/receipt.js'
import { loadTrust } from '#cli/trust-store.js'
import * as verify from '#cli/verify.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { signTrust, type Trust, verifyTrustFile } from '#core/wire/trust-file.js'
import { packageRoot } from '#host/process.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testTime } from '#test/fakes/platform.js'
import { hostDeclaration, mintNode, mintReceipt, newBroker, requestBody, responseBody, trustIn } from './fixtures.js'
import { Network } from './network.js'

class TestIo implements Io {
  out = ''
  err = ''
  readonly isTerminal = false
  at = testTime
  stdout(text: string) {
    this.out += text
  }
  stderr(text: string) {
    this.err += text
  }
  now = () => this.at
  exit() {}
  async ask() {
    return null
  }
}

let work: string
let author: SigningKey
let network: Network
let server: Server
let url: string
const files = { trust: '', node: '', receipt: '', request: '', response: '', other: '' }
const state = process.env.XDG_STATE_HOME

function write(name: string, value: unknown): string {
  const path = join(work, name)
  writeFileSync(path, value instanceof Uint8Array ? value : JSON.stringify(value))
  return path
}

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: testTime * 1000 })
  work = mkdtempSync(join(tmpdir(), 'claviger-client-'))
  process.env.XDG_STATE_HOME = join(work, 'state')
  author = (await generateSigningKey('ES256')).key
  network = await Network.open()
  const { broker } = network
  files.trust = write('trust.json', await signTrust(trustIn(broker), author))
  files.other = write('other-trust.json', await signTrust({ ...trustIn(await newBroker()), name: 'other' }, author))
  const node = await mintNode(broker, { host: await hostDeclaration('DE') })
  files.node = write('node.json', node.document)
  files.receipt = write('receipt.json', await mintReceipt(node))
  files.request = write('request', requestBody)
  files.response = write('response', responseBody)
  server = createAdaptorServer({ fetch: (request) => network.app.hono.fetch(request), createServer }) as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  vi.useRealTimers()
  server.closeAllConnections()
  server.close()
  rmSync(work, { recursive: true, force: true })
  if (state === undefined) delete process.env.XDG_STATE_HOME
  else process.env.XDG_STATE_HOME = state
})

/** How a command ends for the person who typed it: exit code, and what was printed. */
async function typed(command: (io: TestIo) => Promise<number>, at = testTime) {
  const io = new TestIo()
  io.at = at
  const code = await command(io).catch((error: unknown) => reportError(io, error))
  return { code, out: io.out, err: io.err }
}
const simulated = { dangerousAllowSimulated: true }

describe('what a stranger wrote', () => {
  const moves = '\u001b[2J\u001b[H'
  const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/

  test('moves no cursor and adds no line to a verdict', async () => {
    const node = JSON.parse(readFileSync(files.node, 'utf8'))
    const lies = [`${moves}VERIFIED`, 'x\nVERIFIED\n', '\u009b2JVERIFIED', '\rVERIFIED', '\u202eDEIFIREV']
    for (const payloadType of lies) {
      const lying = write('lying.json', { ...node, lease: { ...node.lease, payloadType } })
      const found = await typed((io) => verify.run({ target: lying, trust: files.trust, ...simulated }, io))
      expect(found.code).toBe(3)
      expect(found.out).toContain('dsse/type')
      expect(found.out + found.err).not.toMatch(control)
      expect(found.out.split('\n').filter((line) => /^ *(VERIFIED|DEIFIREV)/.test(line))).toEqual([])
    }
  })

  test('does not so in an error, a hint or a card either', async () => {
    const io = new TestIo()
    reportError(io, new Failure('x/y', `no${moves}\nok`, { detail: { hint: `\r${moves}` } }))
    expect(io.err).toBe('error: no?[2J?[H?ok (x/y)\nhint: ??[2J?[H\n')
    const fact = { label: 'request', value: `POST ${moves}\nverified`, source: 'node-signed' } as const
    const card = renderCard({ sentence: `a\n${moves}`, facts: [fact], notHardware: false }, io)
    expect(card).not.toMatch(control)
    expect(card.split('\n')).toHaveLength(3)
  })

  test('reaches a terminal without what moves it, whoever printed it; our own colours and bars do', () => {
    const ours = `${styleText('red', 'no', { validateStream: false })} \r\u001b[2Kbar 5%\r\n\tdone\n`
    expect(forTerminal(ours)).toBe(ours)
    expect(forTerminal(`a${moves}b\u001b]0;title\u0007c\u009b2Jd\rover\u202ee`)).toBe('a?[2J?[Hb?]0;title?c?2Jd?over?e')
  })
})

describe('claviger verify', () => {
  const run = (args: Partial<verify.VerifyArguments>, at?: number) =>
    typed((io) => verify.run({ target: url, trust: files.trust, ...args }, io), at)

  test('exit 3 with a hint for a simulated node, exit 0 only with the flag; both print the card', async () => {
    for (const target of [url, files.node]) {
      const refused = await run({ target })
      expect(refused.code).toBe(3)
      expect(refused.out).toContain('SIMULATED: NOT HARDWARE')
      expect(refused.err).toContain('hint: add --dangerous-allow-simulated')
      const accepted = await run({ target, ...simulated })
      expect(accepted.code).toBe(0)
      expect(accepted.out).toContain('NOT HARDWARE: the evidence is simulated')
      expect(accepted.out).toContain('Node serves model acme/whisper')
      expect(accepted.out).toContain('(UNATTESTED BROKER)')
    }
  })
  test('the same as JSON', async () => {
    const { code, out } = await run({ ...simulated, json: true })
    expect(code).toBe(0)
    const verdict = JSON.parse(out)
    expect(verdict).toMatchObject({ accepted: true, hardware: false, failure: null })
    expect(verdict.steps.every((step: { status: string }) => step.status === 'ok')).toBe(true)
    const wrong = await run({ ...simulated, json: true, countries: 'DE' })
    expect(wrong.code).toBe(3)
    expect(JSON.parse(wrong.out)).toMatchObject({ accepted: false, failure: { code: 'client/place' }, facts: [] })
  })
  test('without a trust file nothing is sent, and a way to one is shown', async () => {
    const { code, err } = await run({ trust: undefined, target: 'http://127.0.0.1:9' })
    expect(code).toBe(2)
    expect(err).toContain('(verify/trust-needed)')
    expect(err).toContain('hint: add --trust trust.json')
  })
  test('exit 3 under the trust file of somebody else', async () => {
    const { code, out } = await run({ ...simulated, trust: files.other })
    expect(code).toBe(3)
    expect(out).toContain('(client/owner-unknown)')
    expect(out).toContain('NOT VERIFIED')
    expect(out).toContain('not checked')
  })
  test.each<[string, Partial<verify.VerifyArguments>, number, string]>([
    ['a node that is away', { target: 'http://127.0.0.1:9' }, 1, 'client/unreachable'],
    ['a file that is not there', { target: '/nowhere' }, 1, 'input/unreadable'],
    ['a model of nobody', { model: 'nobody/whisper' }, 2, 'usage/model'],
    ['a number that is none', { beatAge: '1e3' }, 2, 'usage/number'],
  ])('%s', async (_, args, expected, failure) => {
    const { code, err } = await run(args)
    expect(err).toContain(`(${failure})`)
    expect(code).toBe(expected)
  })
  test('recognises a receipt, and takes no demands on a node for it', async () => {
    expect((await run({ target: files.receipt, ...simulated })).code).toBe(0)
    const defaults = { versionMin: '1', beatAge: '300', witnesses: '0' }
    expect((await run({ target: files.receipt, ...simulated, ...defaults })).code).toBe(0)
    for (const demand of [{ countries: 'FR' }, { manifest: 'ab'.repeat(32) }, { witnesses: '2' }]) {
      const { code, err } = await run({ target: files.receipt, ...simulated, ...demand })
      expect([code, err.includes('(usage/policy)')]).toEqual([2, true])
    }
  })
  test('refuses what it does not know', async () => {
    const { code, out, err } = await run({ target: write('x.json', { type: 'claviger/else/v1' }) })
    expect([code, err.includes('(verify/kind)'), out]).toEqual([3, true, 'NOT VERIFIED\n'])
  })
  test.each<[string, Partial<verify.VerifyArguments>, string, string]>([
    ['countries', { countries: 'xx' }, 'usage/countries', '--countries DE,FR'],
    ['countries with a blank', { countries: 'DE, FR' }, 'usage/countries', '--countries DE,FR'],
    ['no country', { countries: '' }, 'usage/countries', '--countries DE,FR'],
    ['a manifest', { manifest: '00' }, 'usage/manifest', '--manifest'],
    ['a version', { versionMin: '0' }, 'usage/number', '--version-min 3'],
    ['an age', { beatAge: '90000' }, 'usage/number', '--beat-age 300'],
    ['no age', { beatAge: '0' }, 'usage/number', '--beat-age 300'],
    ['witnesses', { witnesses: '65' }, 'usage/number', '--witnesses 1'],
    ['a model', { model: 'acme/' }, 'usage/model', '--model acme/whisper'],
  ])(
    '%s that cannot be meant: a usage error with an example, before anything is read',
    async (_, args, code, example) => {
      for (const target of ['http://127.0.0.1:9', '/nowhere']) {
        const found = await run({ ...args, target, trust: '/nowhere' })
        expect(found.code).toBe(2)
        expect(found.err).toContain(`(${code})`)
        expect(found.err).toMatch(new RegExp(`hint: .*${example}`))
      }
    },
  )
})

/** A server that answers every request with these bytes. */
async function answering(status: number, body: string, work: (url: string) => Promise<void>): Promise<void> {
  const other = createServer((_, response) => response.writeHead(status).end(body))
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  try {
    await work(`http://127.0.0.1:${(other.address() as AddressInfo).port}`)
  } finally {
    other.close()
  }
}

describe('what is read to be judged', () => {
  const commands: readonly (readonly [string, (target: string, json?: boolean) => ReturnType<typeof typed>])[] = [
    ['verify', (target, json) => typed((io) => verify.run({ target, trust: files.trust, json, ...simulated }, io))],
    [
      'receipt verify',
      (file, json) => typed((io) => receipt.run({ file, trust: files.trust, json, ...simulated }, io)),
    ],
    ['receipt verify without trust', (file, json) => typed((io) => receipt.run({ file, json, ...simulated }, io))],
    [
      'bundle verify',
      (file, json) => typed((io) => bundleVerify.run({ file, trust: files.trust, json, ...simulated }, io)),
    ],
    ['bundle verify without trust', (file, json) => typed((io) => bundleVerify.run({ file, json, ...simulated }, io))],
  ]
  const bad: readonly (readonly [string, () => string])[] = [
    ['garbage', () => write('garbage', Buffer.from([0xff, 0xfe, 0, 1]))],
    ['no bytes at all', () => write('empty', new Uint8Array(0))],
    ['a truncated node document', () => write('cut', readFileSync(files.node).subarray(0, -9))],
    ['a truncated receipt', () => write('cut', readFileSync(files.receipt).subarray(0, -9))],
    ['JSON of no kind', () => write('kind', [1, 2, 3])],
    ['a wrong kind', () => write('kind', { type: 'claviger/else/v1' })],
    ['a node document without members', () => write('bare', { type: 'claviger/node/v1' })],
    [
      'a node document whose model is none',
      () => {
        const node = JSON.parse(readFileSync(files.node, 'utf8'))
        return write('model', { ...node, config: { ...node.config, model: 'x' } })
      },
    ],
    ['a receipt without members', () => write('bare', { type: 'claviger/receipt-file/v1' })],
    ['a bundle without members', () => write('bare', { type: 'claviger/bundle/v1' })],
    ['nesting without an end', () => write('deep', Buffer.from('['.repeat(100_000)))],
    ['a file without an end', () => '/dev/zero'],
  ]
  describe.each(commands)('by claviger %s', (_, command) => {
    test.each(bad)('%s: a verdict against, exit 3, in words and as JSON', async (_name, file) => {
      const words = await command(file())
      expect([words.code, words.out]).toEqual([3, expect.stringContaining('NOT VERIFIED')])
      const { code, out } = await command(file(), true)
      expect(code).toBe(3)
      expect(JSON.parse(out)).toMatchObject({
        verdict: 'NOT VERIFIED',
        accepted: false,
        failure: { code: expect.stringMatching(/^[a-z]+(-[a-z]+)*\/[a-z0-9-]+$/) },
      })
    })
    test.each([
      ['a file that is not there', '/nowhere/at/all', 'hint: is the path right'],
      ['a folder', tmpdir(), 'hint: it is a folder: name a file in it'],
    ])('%s: no verdict, exit 1, and a hint', async (_name, path, hint) => {
      const { code, out, err } = await command(path)
      expect([code, out]).toEqual([1, ''])
      expect(err).toContain('(input/unreadable)')
      expect(err).toContain(hint)
    })
  })
  test('an address is called by claviger verify alone', async () => {
    for (const [name, command] of commands.slice(1)) {
      const { code, err } = await command('http://127.0.0.1:9/receipt.json')
      expect([name, code, err.includes('an address is called by `claviger verify` alone')]).toEqual([name, 1, true])
    }
  })
  test('a node that answers with no document is judged; one that does not answer is not', async () => {
    const ask = (target: string) => commands[0]![1](target)
    for (const body of ['<html>', '', '{"type":"claviger/node/v1"}', '['.repeat(50_000)])
      await answering(200, body, async (node) => {
        const { code, out } = await ask(node)
        expect([body.slice(0, 9), code, out.includes('NOT VERIFIED')]).toEqual([body.slice(0, 9), 3, true])
      })
    await answering(500, 'no', async (node) => expect((await ask(node)).code).toBe(1))
    expect((await ask('http://127.0.0.1:9')).code).toBe(1)
  })
})

describe('claviger receipt verify', () => {
  const run = (args: Partial<receipt.ReceiptArguments>) =>
    typed((io) => receipt.run({ file: files.receipt, trust: files.trust, ...args }, io))

  test('exit 0 with the flag, 3 without, and the sentence says what is not hardware', async () => {
    const { code, out } = await run(simulated)
    expect(code).toBe(0)
    expect(out).toContain('inside SIMULATED SEV-SNP (NOT HARDWARE)')
    expect(out).toContain('place DE and operator Example GmbH as declared by the host')
    // Who vouches: nobody independent for the entry, the host for its own name.
    expect(out).toMatch(/^ {2}log entry +\[(log-signed|witness-attested)\] #/m)
    expect(out.includes('[witness-attested]')).toBe(!out.includes(', 0 independent witnesses'))
    expect(out).toMatch(/^ {2}node +\[declared\] /m)
    expect((await run({})).code).toBe(3)
  })
  test('without a trust file it is consistent, not verified: exit 3', async () => {
    const { code, out, err } = await run({ trust: undefined, ...simulated })
    expect(code).toBe(3)
    expect(out).toContain('consistent, not verified')
    expect(err).toContain('hint: add --trust')
    const json = await run({ trust: undefined, json: true })
    expect(JSON.parse(json.out)).toMatchObject({ verdict: 'consistent, not verified', accepted: false, card: null })
  })
  test('compares both bodies, or says that one is missing', async () => {
    const { request, response } = files
    expect((await run({ ...simulated, request, response })).code).toBe(0)
    const swapped = await run({ ...simulated, request: response, response: request })
    expect([swapped.code, swapped.out.includes('(client/receipt-body)')]).toEqual([3, true])
    for (const half of [{ request }, { response }, { request, response, trust: undefined }]) {
      const { code, err } = await run({ ...simulated, ...half })
      expect([code, err.includes('(usage/bodies)')]).toEqual([2, true])
    }
  })
})

test('a minus reads standard input, and the process ends as the command says', () => {
  const input = readFileSync(files.receipt)
  const env = { PATH: process.env.PATH, XDG_STATE_HOME: join(work, 'state') }
  const { status, stdout } = spawnSync(process.execPath, ['claviger', 'receipt', 'verify', '-'], { input, env })
  expect(stdout.toString()).toContain('consistent, not verified')
  expect(status).toBe(3)
})

describe('claviger bundle verify', () => {
  const run = (args: Partial<bundleVerify.BundleVerifyArguments>) =>
    typed((io) => bundleVerify.run({ file: files.receipt, ...args }, io))

  test('without a trust file there is no verdict: exit 3', async () => {
    const { code, out, err } = await run({})
    expect(code).toBe(3)
    expect(out).toContain('NOT VERIFIED') // it is a receipt
    expect(err).toContain('hint: add --trust')
  })
  test('what is no bundle is not verified, in words and as JSON', async () => {
    const { code, out } = await run({ trust: files.trust, json: true, ...simulated })
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({ verdict: 'NOT VERIFIED', accepted: false, decision: null })
  })
})

describe('claviger proxy', () => {
  test('serves, keeps receipts that verify, and stops', async () => {
    const receipts = join(work, 'receipts')
    const args = { node: url, trust: files.trust, listen: '127.0.0.1:0', model: 'acme/whisper', receipts, ...simulated }
    let stop: () => void = () => {}
    const stopped = new Promise<void>((resolve) => {
      stop = resolve
    })
    const io = new TestIo()
    const ended = proxy.run(args, io, stopped)
    await vi.waitFor(() => expect(io.out).toMatch(/^http/), { timeout: 20_000 })
    const response = await fetch(`${io.out.trim()}/v1/models`)
    expect(await response.json()).toMatchObject({ data: [{ id: 'whisper' }] })
    const chunks = new Blob(['{}']).stream()
    for (const body of ['{}', chunks]) {
      const init = { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } }
      const posted = await fetch(`${io.out.trim()}/v1/audio/transcriptions`, init as RequestInit)
      expect([posted.status, await posted.text()]).toEqual([400, expect.stringContaining('form')])
    }
    stop()
    expect(await ended).toBe(0)
    const [name] = readdirSync(receipts)
    const kept = await typed((one) =>
      receipt.run({ file: join(receipts, name!), trust: files.trust, ...simulated }, one),
    )
    expect(kept.code).toBe(0)
  })
  test('does not start before a node that it cannot verify', async () => {
    const args = { node: url, trust: files.other, model: 'other/x', ...simulated }
    const { code, err } = await typed((io) => proxy.run(args, io, Promise.resolve()))
    expect(code).toBe(2)
    expect(err).toContain('(usage/model)')
    const strict = { node: url, trust: files.trust, model: 'acme/whisper', listen: '127.0.0.1:0' }
    const refused = await typed((io) => proxy.run(strict, io, Promise.resolve()))
    expect([refused.code, refused.err.includes('(client/simulated)')]).toEqual([1, true])
  })
})

describe('the reader’s own trust file', () => {
  const memory = () => join(work, 'memory.json')
  const load = async (changes: Partial<Trust>, key = author, at = testTime) =>
    codeOfPromise(
      loadTrust(write('t.json', await signTrust({ ...trustIn(network.broker), ...changes }, key)), at, memory()),
    )

  test('an older version, another file of the same version, and another author are refused', async () => {
    expect(await load({ version: 2 })).toBe('ok')
    expect(await load({ version: 2 })).toBe('ok')
    expect(await load({ version: 1 })).toBe('trust-file/rollback')
    expect(await load({ version: 2, expiresAt: testTime + 7 })).toBe('trust-file/rollback')
    expect(await load({ version: 3 }, (await generateSigningKey('ES256')).key)).toBe('trust-file/author')
    expect(await load({ version: 3 })).toBe('ok')
    expect(await load({ version: 2 })).toBe('trust-file/rollback')
    expect(await load({ version: 1, name: 'another-line' })).toBe('ok')
    expect(Object.keys(JSON.parse(readFileSync(memory(), 'utf8')))).toEqual(['another-line', 'mine'])
  })
  test('an expired one, and one that somebody changed', async () => {
    expect(await load({ version: 9, expiresAt: testTime - 1 })).toBe('trust-file/expired')
    const file = await signTrust(trustIn(network.broker), author)
    const payload = file.trust.payload.replace('A', 'B')
    const path = write('t.json', { ...file, trust: { ...file.trust, payload } })
    expect(await codeOfPromise(loadTrust(path, testTime, join(work, 'm2.json')))).not.toBe('ok')
    expect(await codeOfPromise(verifyTrustFile(file, null, testTime))).toBe('ok')
  })
  test('one that is not there, with a way to make it', async () => {
    const { code, err } = await typed((io) => receipt.run({ file: files.receipt, trust: '/nowhere' }, io))
    expect(code).toBe(1)
    expect(err).toMatch(/\(trust-file\/unreadable\)\nhint: .*claviger init/)
  })
  test('of many commands at once each is remembered, and none puts back an older version', async () => {
    const shared = join(work, 'shared-memory.json')
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const paths = await Promise.all(
      names.map(async (name) => write(`${name}.json`, await signTrust({ ...trustIn(network.broker), name }, author))),
    )
    const versions = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(async (version) =>
        write(`v${version}.json`, await signTrust({ ...trustIn(network.broker), name: 'line', version }, author)),
      ),
    )
    const program = `
      const { loadTrust } = await import(${JSON.stringify(join(packageRoot(), 'dist/cli/trust-store.js'))})
      process.stdout.write('ready')
      for await (const _ of process.stdin) break
      for (const path of JSON.parse(process.argv[1]))
        await loadTrust(path, ${testTime}, ${JSON.stringify(shared)}).catch((error) => {
          if (error.code !== 'trust-file/rollback') throw error
        })`
    const children = Array.from({ length: 6 }, (_, i) => {
      const mine = JSON.stringify([paths[i], versions[(i * 5) % 6]])
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, mine], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      return { child, ready: new Promise((resolve) => child.stdout.once('data', resolve)) }
    })
    await Promise.all(children.map(({ ready }) => ready))
    const codes = children.map(({ child }) => new Promise((resolve) => child.once('close', resolve)))
    for (const { child } of children) child.stdin.end('go')
    expect(await Promise.all(codes)).toEqual(names.map(() => 0))
    const memory = JSON.parse(readFileSync(shared, 'utf8'))
    expect(Object.keys(memory)).toEqual([...names, 'line'])
    expect(memory.line.version).toBe(6)
  })
  test('a memory that was damaged is not taken for none', async () => {
    const path = write('damaged.json', [1])
    expect(await codeOfPromise(loadTrust(files.trust, testTime, path))).toMatch(/^shape\//)
    expect(parseJson(new Uint8Array(readFileSync(path)))).toEqual([1])
  })
})
