import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runServe } from '#cli/landmark.js'
import { runCommandLine } from '#cli/program.js'
import { createOwnerKeys } from '#convert/keys/owner-keys.js'
import { testIo } from '#test/e2e/fixtures.js'
import { writeTrustFile } from '#test/fakes/trust-file.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-landmark-cli-'))
const at = (name: string) => join(work, name)
const names = ['osl-1', 'osl-2', 'osl-3']
const ends: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const end of ends) await end()
  rmSync(work, { recursive: true, force: true })
})

async function typed(...words: string[]) {
  const io = testIo()
  await runCommandLine(['landmark', ...words], io)
  return { code: io.code(), out: io.out(), err: io.err() }
}
/** A landmark that serves until the tests are over; its address, as it says it. */
async function serves(name: string): Promise<{ readonly port: number }> {
  const io = testIo()
  let stop = () => {}
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  const broker = [at('broker.key.pub.pem')]
  const done = runServe(
    { state: at(name), listen: '127.0.0.1:0', broker, probes: 20, opensPerMinute: 100 },
    io,
    stopped,
  )
  ends.push(() => {
    stop()
    return done
  })
  while (io.out() === '') await new Promise((resolve) => setTimeout(resolve, 10))
  return JSON.parse(io.out())
}

beforeAll(async () => {
  process.env.XDG_STATE_HOME = at('state')
  const keepers = []
  for (const alias of ['a', 'b'])
    keepers.push({ alias, key: (await createOwnerKeys(at(alias), alias)).signingKey.publicKey })
  await writeTrustFile(at('trust.json'), { registries: keepers })
  for (const key of ['broker.key', 'node.key', 'other.key']) expect((await typed('key', '--out', at(key))).code).toBe(0)
  const landmarks = []
  for (const [i, name] of names.entries()) {
    const made = await typed('create', '--state', at(name), '--name', name)
    const { receiptKey, sessionKey } = JSON.parse(made.out)
    const place = { country: 'NO', latitudeE6: 59_910_000, longitudeE6: 10_750_000, errorM: 100 }
    const reached = { host: '127.0.0.1', port: (await serves(name)).port, from: 0, to: null }
    landmarks.push({ name, operator: `LEI:${i}`, ...place, ...reached, receiptKey, sessionKey })
  }
  writeFileSync(at('rows.json'), JSON.stringify({ landmarks }))
  const sign = ['--name', 'north', '--document-version', '1', '--rows', at('rows.json')]
  expect((await typed('sign', ...sign, '--keys', at('a'), '--out', at('one.json'))).code).toBe(0)
  expect((await typed('cosign', at('one.json'), '--keys', at('b'), '--out', at('landmarks.json'))).code).toBe(0)
})

const named = names.flatMap((name) => ['--landmark', name])
const common = ['--directory', at('landmarks.json'), '--trust', at('trust.json')]
const ticket = (out: string, key = 'node') =>
  typed('ticket', '--key', at('broker.key'), '--for', at(`${key}.key.pub.pem`), ...named, '--out', at(out))
const measure = (name: string, of: string, key = 'node') =>
  typed(
    'measure',
    '--landmark',
    name,
    '--ticket',
    at(of),
    '--key',
    at(`${key}.key`),
    ...common,
    '--out',
    at(`${name}.json`),
    '--json',
  )
const verify = (of: string, target: string, ...more: string[]) =>
  typed(
    'verify',
    ...names.map((name) => at(`${name}.json`)),
    '--target',
    target,
    '--ticket',
    at(of),
    '--broker',
    at('broker.key.pub.pem'),
    ...common,
    ...more,
  )

describe('claviger landmark', () => {
  test('times a key at three landmarks, and says what that proves', async () => {
    expect((await ticket('ticket.json')).code).toBe(0)
    for (const name of names)
      expect(JSON.parse((await measure(name, 'ticket.json')).out)).toMatchObject({ landmark: name, sent: 20 })
    const proved = await verify('ticket.json', 'EEA', '--operator', 'LEI:HOST')
    expect(proved).toMatchObject({ code: 0, out: expect.stringContaining('PROVED that the key is in EEA') })
    expect(proved.out).toContain('enough for L4')
    const plain = JSON.parse((await verify('ticket.json', 'EEA', '--operator', 'LEI:HOST', '--json')).out)
    expect(plain).toMatchObject({ verdict: 'proved', why: [] })
    // Nobody is independent of an operator whom nobody named, and one's own landmark does not count.
    expect((await verify('ticket.json', 'EEA')).out).toContain('location/not-independent')
    expect((await verify('ticket.json', 'EEA', '--operator', 'LEI:0')).out).toContain('location/landmark-operators')
    expect(await verify('ticket.json', 'JP')).toMatchObject({
      code: 3,
      out: expect.stringContaining('REFUTED (elsewhere)'),
    })
    // Receipts are of one ticket.
    expect((await ticket('second.json')).code).toBe(0)
    expect(await verify('second.json', 'EEA')).toMatchObject({
      code: 3,
      out: expect.stringContaining('landmark/receipt-ticket'),
    })
    expect(await verify('ticket.json', 'EEA', '--at', '2000-01-01')).toMatchObject({
      code: 3,
      out: expect.stringContaining('registry/not-yet-valid'),
    })
    // A used ticket is no leave.
    rmSync(at('osl-1.json'))
    expect((await measure('osl-1', 'ticket.json')).err).toContain('landmark/ticket-used')
  })

  test('refuses the key of another ticket, a directory that one keeper signed, and what is no receipt', async () => {
    expect((await ticket('third.json', 'other')).code).toBe(0)
    expect((await measure('osl-2', 'third.json')).err).toContain('landmark-key/key')
    const words = [
      'measure',
      '--landmark',
      'osl-2',
      '--ticket',
      at('third.json'),
      '--key',
      at('other.key'),
      '--trust',
      at('trust.json'),
    ]
    expect((await typed(...words, '--directory', at('one.json'), '--out', at('no.json'))).err).toContain(
      'registry/threshold',
    )
    expect((await typed(...words, '--directory', at('landmarks.json'), '--out', at('trust.json'))).err).toContain(
      'file/exists',
    )
    expect((await typed('key', '--out', at('node.key'))).err).toContain('file/exists')
    expect((await typed('create', '--state', at('osl-1'), '--name', 'osl-1')).err).toContain('file/exists')
    const owner = ['serve', '--state', at('osl-1'), '--listen', '127.0.0.1:0', '--broker', at('a/owner.pub.pem')]
    expect((await typed(...owner)).err).toContain('landmark-serve/broker')
  })

  test('prints what landmarks could prove', async () => {
    const { code, out } = await typed('provability', '--country', 'DE', '--at', '2026-11-26')
    expect(code).toBe(0)
    expect(out).toMatch(/^Frankfurt \(DE\) +131 km to FR, 0\.832 ms +256 km to CH, 1\.666 ms$/m)
    // The page shows the same figures.
    const page = readFileSync('docs/spec/location.md', 'utf8')
    const all = JSON.parse((await typed('provability', '--at', '2026-11-26', '--json')).out) as {
      rows: { city: string; own: { other: { km: number }; rttNsMax: number } }[]
    }
    const told = [...page.matchAll(/^\| ([A-Z][a-z]+) \| (\d+ km, [\d.]+ ms) \|/gm)]
    expect(told.length).toBeGreaterThan(8)
    for (const [, name, own] of told) {
      const row = all.rows.find(({ city }) => city === name)!
      expect(
        `${Math.floor(row.own.other.km)} km, ${(Math.floor(row.own.rttNsMax / 1000) / 1000).toFixed(3)} ms`,
        name,
      ).toBe(own)
    }
    expect((await typed('provability', '--country', 'UK')).out).toContain('London (GB)')
    expect((await typed('provability', '--country', 'AQ')).err).toContain('usage/provability-country')
  })
})
