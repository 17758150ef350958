import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { clockFinding } from '#cli/doctor/database.js'
import { type DoctorArguments, runDoctor } from '#cli/keybroker-doctor.js'
import { runCreate } from '#cli/serve-create.js'
import { loadServices, openServiceDatabase } from '#cli/service-state.js'
import { migrateStore } from '#keybroker/store/open.js'
import { testIo } from '#test/e2e/fixtures.js'
import { startVault } from '#test/fakes/vault.js'

let folder: string
let state: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-doctor-'))
  state = join(folder, 'services')
  await runCreate({ state, origin: 'log.example/test' }, testIo())
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Shown {
  readonly check: string
  readonly state: string
  readonly message: string
  readonly code: string | null
  readonly fix: string | null
}

async function examined(more: Partial<DoctorArguments> = {}) {
  const io = testIo()
  const code = await runDoctor({ state, json: true, ...more }, io)
  const { exit, findings } = JSON.parse(io.out()) as { exit: number; findings: Shown[] }
  expect(exit).toBe(code)
  const of = (check: string) => findings.filter((one) => one.check === check)
  return { code, findings, of, bad: findings.filter((one) => !['ok', 'note'].includes(one.state)) }
}

test('a folder that is not there is a fault, with the line that makes it', async () => {
  const { code, findings } = await examined({ state: join(folder, 'absent') })
  expect(code).toBe(1)
  expect(findings).toMatchObject([{ check: 'settings', state: 'fault', code: 'serve/absent' }])
  expect(findings[0]!.fix).toContain('./claviger serve create')
})

test('what was made and never started: migrations wait, and nothing is changed', async () => {
  const { code, of } = await examined()
  expect(code).toBe(3)
  expect(of('migrations')).toMatchObject([{ state: 'warning' }])
  expect(of('stored-keys')).toMatchObject([{ state: 'skipped' }])
  expect((await examined()).of('migrations')).toMatchObject([{ state: 'warning' }])
})

test('what a broker has been on is in order, and says who can use its key', async () => {
  const options = { folder: state, databaseUrl: null }
  const database = await openServiceDatabase(options, await loadServices(state))
  await migrateStore(database)
  // Somebody has it open: that is no fault, and not looked at.
  const locked = await examined()
  expect(locked.code).toBe(3)
  expect(locked.of('database')).toMatchObject([{ state: 'skipped', code: 'database/locked' }])
  await database.close()

  const { code, of, bad } = await examined()
  expect(bad).toEqual([])
  expect(code).toBe(0)
  expect(of('kek').map(({ state, message }) => `${state} ${message.slice(0, 20)}`)).toEqual([
    expect.stringMatching(/^ok file key /),
    'note KEK HELD BY OPERATOR',
  ])
  expect(of('log')).toMatchObject([{ state: 'note', message: 'the log has no cosigned checkpoint yet' }])
  expect(of('stored-keys')).toMatchObject([{ state: 'ok', message: 'all 0 stored keys unwrap' }])
  const io = testIo()
  expect(await runDoctor({ state }, io)).toBe(0)
  expect(io.out()).toMatch(/^ok {7}settings {5}services of log\.example\/test/)
})

test('a file that others may read is a fault, with its chmod', async () => {
  const path = join(state, 'broker', 'signing.key')
  await chmod(path, 0o640)
  const { code, of } = await examined()
  await chmod(path, 0o600)
  expect(code).toBe(1)
  expect(of('files')).toMatchObject([{ state: 'fault', fix: `chmod 600 ${path}` }])
  expect(of('keys')).toMatchObject([{ state: 'fault', code: 'file/permissions' }])
})

test.each([
  ['names none', 'kek.key', 'kek/setting'],
  ['is in a file that is absent', 'file:/nowhere/kek.key', 'file/absent'],
  [
    'is in a module that is absent',
    'pkcs11:token=a;object=b?module-path=/nowhere.so&pin-source=/p',
    'kek/pkcs11-module',
  ],
  ['is in a Vault in the clear', 'vault:http://v.example/transit/keys/k?token-source=/t', 'kek/setting'],
])('a key-encryption key that %s is a fault, and the rest is looked at', async (_name, kek, code) => {
  const { of, code: exit } = await examined({ kek })
  expect(exit).toBe(1)
  expect(of('kek')).toMatchObject([{ state: 'fault', code }])
  expect(of('kek')[0]!.fix).not.toBeNull()
  expect(of('database')).toMatchObject([{ state: 'ok' }])
  expect(of('stored-keys')).toMatchObject([{ state: 'skipped' }])
})

test('a sealed Vault is a fault that says how to unseal it', async () => {
  const vault = await startVault()
  vault.addKey('claviger')
  const kek = `vault:${vault.url}/transit/keys/claviger?token-source=${vault.tokenFile}&ca=${vault.caFile}`
  expect((await examined({ kek })).of('kek')[0]).toMatchObject({ state: 'ok' })
  vault.trouble = (_, response) => {
    response.writeHead(503).end('{"errors":["Vault is sealed"]}')
    return true
  }
  const { of } = await examined({ kek })
  expect(of('kek')).toMatchObject([
    { state: 'fault', code: 'kek/vault-sealed', fix: expect.stringContaining('unseal') },
  ])
  await vault.close()
})

test('an environment that weakens a broker is a fault', async () => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  const { of, code } = await examined()
  vi.unstubAllEnvs()
  expect(code).toBe(1)
  expect(of('environment')).toMatchObject([{ state: 'fault', fix: 'unset NODE_TLS_REJECT_UNAUTHORIZED' }])
})

test('a witness is asked, and so is its clock', async () => {
  let status = 400
  let date = new Date().toUTCString()
  const server = createServer((_, response) => void response.writeHead(status, { date }).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const witness = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect((await examined({ witness })).of('witness')).toMatchObject([{ state: 'ok' }])
  date = new Date(Date.now() - 3_600_000).toUTCString()
  const late = await examined({ witness })
  expect(late.of('clock')).toMatchObject([{ state: 'fault', message: expect.stringContaining('behind') }])
  status = 404
  expect((await examined({ witness })).of('witness')).toMatchObject([{ state: 'fault' }])
  const policy = join(folder, 'policy')
  await writeFile(policy, 'quorum none\n')
  const nobody = await examined({ witnessPolicy: policy })
  expect(nobody.of('witness')).toMatchObject([{ state: 'fault', code: 'serve/witness' }])
  server.close()
  server.closeAllConnections()
  expect((await examined({ witness })).of('witness')).toMatchObject([{ state: 'fault' }])
})

test('clocks: a second counts for nothing, ten are a warning, two minutes a fault', () => {
  expect(clockFinding('x', 100, 100, 100.5).state).toBe('ok')
  expect(clockFinding('x', 99, 100, 100.5).state).toBe('ok')
  expect(clockFinding('x', 90, 100, 100.5)).toMatchObject({
    state: 'warning',
    message: expect.stringContaining('10.0 s behind'),
  })
  expect(clockFinding('x', 220.5, 100, 100.5)).toMatchObject({
    state: 'fault',
    message: expect.stringContaining('120.0 s ahead'),
  })
})
