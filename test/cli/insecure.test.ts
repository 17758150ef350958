import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { runAll } from '#cli/serve.js'
import { runCreate } from '#cli/serve-create.js'
import { troubleOf } from '#cli/trouble.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { readAdminTokenDigest } from '#keybroker/service/keys.js'
import { testIo } from '#test/e2e/fixtures.js'
import { startVault, type Vault } from '#test/fakes/vault.js'

/* A broker does not start on a setting that would make it weaker than it says; each refusal names what mends it. */

const work = mkdtempSync(join(tmpdir(), 'claviger-insecure-'))
const state = join(work, 'services')
const at = (name: string) => join(state, name)
const vaults: Vault[] = []
beforeAll(async () => {
  await runCreate({ state, origin: 'log.example/insecure', json: true, databaseUrl: undefined }, testIo())
})
afterEach(() => vi.unstubAllEnvs())
afterAll(async () => {
  for (const one of vaults) await one.close()
  rmSync(work, { recursive: true, force: true })
})

/** How a start ends: as it is told, or `starts` when it was stopped after it listened. */
async function start(args: Partial<Parameters<typeof runAll>[0]> = {}) {
  let stop: () => void = () => undefined
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  const io = { ...testIo(), stdout: () => stop() }
  try {
    await runAll({ state, listen: '127.0.0.1:0', ...args }, io, stopped)
    return { code: 'starts', hint: null, exit: 0 }
  } catch (error) {
    const trouble = troubleOf(error)
    if (trouble === null) throw error
    return { code: trouble.code, hint: trouble.hint, exit: trouble.exit }
  }
}

test('without its key-encryption key, and with it again', async () => {
  const path = at('broker/kek.key')
  renameSync(path, `${path}.away`)
  expect(await start()).toEqual({
    code: 'file/absent',
    hint: `restore ${path} from its backup, or name where the key is: --kek; a new one opens nothing that is stored`,
    exit: 1,
  })
  renameSync(`${path}.away`, path)
  expect((await start()).code).toBe('starts')
})

test.each(['memory', ':memory:', 'mem://', 'memory://x', 'mysql://root@127.0.0.1/x', 'http://127.0.0.1:1/', ''])(
  'with %j in place of a database that keeps anything',
  async (databaseUrl) => {
    const io = testIo()
    const words = { state: join(work, 'other'), origin: 'log.example/x', json: true, databaseUrl }
    const refused = await runCreate(words, io).catch((error: unknown) => troubleOf(error))
    expect(refused).toMatchObject({
      code: 'serve/database',
      hint: 'give --database-url postgres://USER@HOST/DATABASE, or leave it out for a PGlite folder in --state',
    })
    expect((await start({ databaseUrl })).code).toBe('serve/database')
  },
)

test('with an admin token that everybody knows; the line of the hint mends it', async () => {
  const path = at('broker/admin-token.sha256')
  copyFileSync(path, `${path}.before`)
  const known = ['*', '', 'admin'].map((text) => `${toHex(sha256(utf8(text)))}\n`)
  for (const text of [...known, '*', '*\n', '']) {
    writeFileSync(path, text)
    const refused = await start()
    expect([text, refused.code]).toEqual([text, 'broker/admin-wildcard'])
    expect(refused.hint).toBe(
      `make a token: openssl rand 32 | basenc --base64url | tr -d '=' > ${at('admin-token')}; tr -d '\\n' < ${at('admin-token')} | sha256sum | cut -c1-64 > ${path}`,
    )
  }
  const { hint } = await start()
  execFileSync('sh', ['-c', hint!.replace('make a token: ', '')])
  const token = readFileSync(at('admin-token'), 'utf8').trim()
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(await readAdminTokenDigest(at('broker'))).toEqual(sha256(utf8(token)))
  expect((await start()).code).toBe('starts')
})

test('with a Vault whose certificate nobody vouches for, whatever the environment says', async () => {
  const vault = await startVault()
  vaults.push(vault)
  vault.addKey('claviger')
  const setting = { ...vault.setting(), caFile: null }
  const kekOf = (ca: string) =>
    `vault:${setting.address}/${setting.mount}/keys/${setting.key}?token-source=file:${setting.tokenFile}${ca}`
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
  expect(await start({ kek: kekOf('') })).toEqual({
    code: 'kek/vault-tls',
    hint: "name the authority that issued Vault's certificate: ca=file:/etc/claviger/vault-ca.pem",
    exit: 1,
  })
  // There is no setting that leaves it unverified.
  for (const more of ['&verify=no', '&insecure=1', '&ca=none', '&tls=skip'])
    expect((await start({ kek: kekOf(more) })).code).toBe('kek/setting')
  expect((await start({ kek: kekOf(`&ca=file:${vault.setting().caFile}`) })).code).toBe('starts')
})
