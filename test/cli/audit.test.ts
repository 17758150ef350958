import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AuditArguments, run } from '#cli/audit.js'
import { toBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { parseTilePath } from '#core/tlog/tiles.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { type Entry, encodeEntry } from '#core/wire/entries.js'
import { begin, denied, granted, registered, StaticLog } from '#test/client/audit/fixtures.js'
import { testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeTrustFile } from '#test/fakes/trust-file.js'

const origin = 'log.example/audit'
const work = mkdtempSync(join(tmpdir(), 'claviger-audit-'))
const at = (name: string) => join(work, name)
const trust = at(`audit-${toHex(randomBytes(6))}.json`)
const { key } = await generateSigningKey('Ed25519')
const log = new StaticLog(key, origin, registered)
const posted: { findings: { code: string }[] }[] = []
let hookStatus = 200
let server: Server
let url: string

const bodyOf = async (request: IncomingMessage) => {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const path = request.url!.slice(1)
    if (path === 'hook') {
      const body = JSON.parse(await bodyOf(request))
      if (hookStatus === 200) posted.push(body)
      return response.writeHead(hookStatus).end()
    }
    if (path === 'log/checkpoint') return response.end(await log.checkpoint())
    if (path.startsWith('log/tile/')) return response.end(await log.tile(parseTilePath(path.slice(4))))
    return response.writeHead(404).end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const logs = [encodeVkey(makeNoteSigner(origin, 'log', key).verifier)]
  await writeTrustFile(trust, { logs })
})
afterAll(() => {
  server.close()
  rmSync(work, { recursive: true, force: true })
})

/** How one audit ends, with what it says. */
async function audited(args: Partial<AuditArguments> = {}, path = '/log') {
  const io = testIo()
  const code = await run(`${url}${path}`, { trust, state: at('state'), ...args }, io)
  return { code, out: io.out(), err: io.err() }
}

/** A bundle of an entry of the owner's, as far as anybody reads it here. */
function bundleOf(entry: Entry): string {
  const envelope = { payloadType: 'application/json', payload: 'e30=', signatures: [{ keyid: 'k', sig: 'AA==' }] }
  const opening = toBase64Url(randomBytes(32))
  const openings = { tenant: opening, model: null, statement: opening }
  const leaf = toBase64(encodeEntry(entry))
  const bundle = { at: begin, change: 'tenant', tenant: envelope, statement: envelope, previous: null, openings, leaf }
  return JSON.stringify({ type: 'claviger/state-bundle/v1', ...bundle, proof: '' })
}

test('a log is read, judged and remembered; what convicts does so until it is acknowledged', async () => {
  expect(await audited()).toMatchObject({ code: 0, out: expect.stringContaining('5 judged now\nNOTHING CONVICTS') })
  log.leaves.push(encodeEntry(denied(4)), encodeEntry(granted('release', 4)))
  const convicted = await audited()
  expect(convicted).toMatchObject({ code: 3, out: expect.stringContaining('2 judged now\nCONVICTED by 1;') })
  expect(convicted.out).toContain('CONVICTS #6: its nonce was decided before (audit/nonce-twice)')
  const again = await audited()
  expect(again).toMatchObject({ code: 3, out: expect.stringContaining('of earlier runs, and not acknowledged:') })
  const asJson = await audited({ json: true })
  expect([asJson.code, JSON.parse(asJson.out)]).toEqual([
    3,
    expect.objectContaining({
      log: origin,
      size: 7,
      judged: 0,
      findings: [],
      convictions: [expect.objectContaining({ code: 'audit/nonce-twice', index: 6 })],
    }),
  ])
  expect(await audited({ acknowledge: true })).toMatchObject({ code: 0 })
  expect(await audited()).toMatchObject({ code: 0 })
})

test('entries of one’s own are told', async () => {
  writeFileSync(at('bundle.json'), bundleOf(registered[0]!))
  writeFileSync(at('policy.cedar'), 'permit (principal, action, resource);')
  const own = { mine: [at('bundle.json')], policy: [at('policy.cedar')], state: at('own') }
  const { out } = await audited(own)
  for (const code of ['notice/change', 'notice/denial', 'notice/new-node', 'notice/policy', 'notice/simulated'])
    expect(out).toContain(`(${code})`)
  writeFileSync(at('none.json'), bundleOf(registered[0]!).replace('claviger/state', 'claviger/some'))
  expect(await codeOfPromise(audited({ mine: [at('none.json')], state: at('own') }))).toBe('audit/mine')
})

test('what cannot be read is no verdict', async () => {
  expect(await codeOfPromise(audited({ state: at('elsewhere') }, '/elsewhere'))).toBe('audit-log/answer')
  const closed = run('http://127.0.0.1:1', { trust, state: at('closed') }, testIo())
  expect(await codeOfPromise(closed)).toBe('audit-log/unreachable')
  writeFileSync(at('broken'), '{}\n')
  expect(await codeOfPromise(audited({ state: at('broken') }))).toBe('audit-state/unreadable')
  expect(readFileSync(at('broken'), 'utf8')).toBe('{}\n')
  expect(await codeOfPromise(audited({ webhook: `${url}/hook` }))).toBe('audit/webhook')
})

test('watching: what is new is told once and posted; what the webhook did not take comes with the next', async () => {
  const io = testIo()
  hookStatus = 503
  const watching = run(`${url}/log`, { trust, state: at('watched'), watch: 1, webhook: `${url}/hook` }, io)
  const other = () => codeOfPromise(run(`${url}/log`, { trust, state: at('watched') }, testIo()))
  await expect.poll(other).toBe('audit-state/in-use')
  await expect.poll(() => io.err()).toContain('the webhook answers 503')
  hookStatus = 200
  await expect.poll(() => posted.length, { timeout: 10_000 }).toBe(1)
  log.leaves.push(encodeEntry(granted('renewal', 4, { nonce: 'late', lease: 'nobody’s' })))
  await expect.poll(() => posted.length, { timeout: 10_000 }).toBe(2)
  log.leaves.pop()
  await expect.poll(() => posted.length, { timeout: 10_000 }).toBe(3)
  process.emit('SIGTERM')
  expect(await watching).toBe(3)
  expect(posted.map(({ findings }) => findings.map(({ code }) => code))).toEqual([
    ['notice/tenant', 'audit/nonce-twice'],
    ['audit/lease-unknown'],
    ['audit/older'],
  ])
  expect(posted[0]).toMatchObject({ type: 'claviger/audit-alarm/v1', log: origin, url: `${url}/log` })
  expect(io.out().match(/audit\/older/g)).toHaveLength(1)
}, 60_000)
