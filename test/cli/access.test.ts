import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as accessCommand from '#cli/access.js'
import type { Io } from '#cli/output.js'
import { rimOf, rimOptions } from '#cli/rim-options.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { type Listening, listen } from '#host/listen.js'
import { acceptStatement, createTenant } from '#keybroker/changes.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type Certified, certified, purposes, serverCertificate } from '#test/fakes/machine-certificates.js'
import { outside } from '#test/fakes/outside.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { identity, list, newKey } from '../keybroker/access/fixtures.js'
import {
  sign,
  startTime,
  type TestBroker,
  type TestOwner,
  tenantStatement,
  testBroker,
  testOwner,
} from '../keybroker/fixtures.js'
import { application } from '../keybroker/served.js'

const openssl = outside('openssl')
const { open } = anyDatabase()
const dates = { notBefore: startTime - 60, notAfter: startTime + 86_400 }
const key = newKey()
let folder: string
let made: TestBroker
let owner: TestOwner
let listening: Listening
let root: Certified
const at = (name: string) => join(folder, name)

async function type(words: string) {
  const said = { out: '', err: '', exit: -1 }
  const io = {
    stdout: (text: string) => (said.out += text),
    stderr: (text: string) => (said.err += text),
    exit: (code: number) => (said.exit = code),
    now: () => startTime,
  } as unknown as Io
  const program = new Command('claviger').exitOverride().configureOutput({ writeErr: (text) => io.stderr(text) })
  accessCommand.describe(program, io)
  await program.parseAsync(['node', 'claviger', ...words.trim().split(' ')])
  return said
}

/** Key and chain as an enterprise hands them out. */
async function bundle(name: string, one: Certified, above: Certified): Promise<void> {
  await writeFile(at('c.pem'), one.certPem)
  await writeFile(at('k.pem'), one.keyPem)
  await writeFile(at('a.pem'), above.certPem)
  const words = ['pkcs12', '-export', '-in', at('c.pem'), '-inkey', at('k.pem'), '-certfile', at('a.pem')]
  execFileSync('openssl', [...words, '-passout', 'pass:geheim', '-out', at(name)])
}

beforeAll(async () => {
  if (openssl === undefined) return
  folder = await mkdtemp(join(tmpdir(), 'claviger-access-'))
  await writeFile(at('password'), 'geheim\n', { mode: 0o600 })
  await writeFile(at('audit.key'), `${key.key}\n`, { mode: 0o600 })
  root = await certified('acme root', { isCa: true, ...dates })
  const between = await certified('acme machines', { isCa: true, by: root, ...dates })
  const name = [[0x82, 'node-7.acme.example']] as const
  await bundle(
    'node.p12',
    await certified('n', { by: between, purposes: [purposes.client], names: name, ...dates }),
    between,
  )
  await bundle('broker.p12', await serverCertificate(root, startTime), root)
  await writeFile(at('root.pem'), root.certPem)
  made = await testBroker(await open(), { now: Math.floor(Date.now() / 1000) })
  owner = await testOwner()
  await createTenant(made.broker, await tenantStatement(owner, 'development'))
  const proof = { kind: 'certificate', authority: 'acme', name: { type: 'dns', value: 'node-7.acme.example' } } as const
  const authorities = [{ name: 'acme', certificate: toBase64(root.der) }]
  const all = [identity('audit', 'auditor', key.proof), identity('node-7', 'host', proof)]
  await acceptStatement(made.broker, 'access', await sign(owner, 'access', list(all, { authorities })))
  const { app } = await application(made)
  const { tls } = await rimOf({ tlsP12: at('broker.p12'), tlsPasswordFile: at('password') })
  listening = await listen(app, { host: '127.0.0.1', port: 0, tls })
})
afterAll(async () => {
  await listening?.close()
  await made?.close()
  if (folder) await rm(folder, { recursive: true })
})

const words = (what: string, more: string) =>
  `access ${what} --broker ${listening.url} --tenant ${owner.id} --broker-ca ${at('root.pem')} ${more}`

describe.skipIf(openssl === undefined)('somebody whom an owner listed', () => {
  test('reads with an API key, over TLS that is verified', async () => {
    const said = await type(words('self', `--credential ${at('audit.key')}`))
    expect(said.exit).toBe(0)
    expect(JSON.parse(said.out)).toMatchObject({ id: 'audit', role: 'auditor' })
    expect(said.out + said.err).not.toContain(key.key)
    const { heads } = JSON.parse((await type(words('statements', `--credential ${at('audit.key')}`))).out)
    expect(heads.map((one: { kind: string }) => one.kind)).toContain('access')
    const bundled = await type(words('bundle', `--credential ${at('audit.key')} --entry 0`))
    expect(JSON.parse(bundled.out)).toMatchObject({ type: 'claviger/state-bundle/v1' })
  })

  test('reads with the certificate of a bundle, of which the password opens the key', async () => {
    const p12 = `--client-p12 ${at('node.p12')} --password-file ${at('password')}`
    expect(JSON.parse((await type(words('self', p12))).out)).toMatchObject({ id: 'node-7', role: 'host' })
    await expect(type(words('leases', p12))).rejects.toMatchObject({ detail: { code: 'access/role' } })
    await writeFile(at('wrong'), 'other\n', { mode: 0o600 })
    expect(await codeOfPromise(type(words('self', p12.replace(at('password'), at('wrong')))))).toBe('pkcs12/password')
    await chmod(at('wrong'), 0o644)
    expect(await codeOfPromise(type(words('self', p12.replace(at('password'), at('wrong')))))).toBe('file/permissions')
  })

  test('sends nothing to a broker that nobody vouches for, or over plain HTTP', async () => {
    const credential = `--credential ${at('audit.key')}`
    const unvouched = words('self', credential).replace(`--broker-ca ${at('root.pem')} `, '')
    expect(await codeOfPromise(type(unvouched))).toBe('owner/unreachable')
    const plain = words('self', credential).replace(listening.url, 'http://broker.example')
    expect(await codeOfPromise(type(plain))).toBe('connection/plain')
    const tls = words('self', `--client-p12 ${at('node.p12')} --password-file ${at('password')}`)
    expect(await codeOfPromise(type(tls.replace('https:', 'http:')))).toBe('https/plain')
  })

  test('names one credential, and an entry for a bundle alone', async () => {
    expect(await codeOfPromise(type(words('self', '')))).toBe('access/credential-named')
    const both = `--credential ${at('audit.key')} --client-p12 ${at('node.p12')} --password-file ${at('password')}`
    expect(await codeOfPromise(type(words('self', both)))).toBe('access/credential-named')
    expect(await codeOfPromise(type(words('self', `--client-p12 ${at('node.p12')}`)))).toBe('connection/bundle')
    expect(await codeOfPromise(type(words('bundle', `--credential ${at('audit.key')}`)))).toBe('access/entry')
  })
})

describe('a service at its rim', () => {
  test('is given a certificate in one form, whole', async () => {
    expect(await codeOfPromise(rimOf({ tlsCert: 'a' }))).toBe('serve/tls')
    expect(await codeOfPromise(rimOf({ tlsP12: 'a' }))).toBe('serve/tls')
    const both = { tlsCert: 'a', tlsKey: 'b', tlsP12: 'c', tlsPasswordFile: 'd' }
    expect(await codeOfPromise(rimOf(both))).toBe('serve/tls')
    expect((await rimOf({})).tls).toBe(undefined)
  })

  test('is not started with a proxy that is everybody, or an issuer that is no place', () => {
    for (const more of ['--trusted-proxy=0.0.0.0/0', '--trusted-proxy=*', '--oidc-private=*', '--oidc-private=host']) {
      const command = rimOptions(new Command('x').exitOverride().configureOutput({ writeErr: () => undefined }))
      expect(() => command.parse(['node', 'x', more])).toThrowError(
        expect.objectContaining({ code: 'commander.invalidArgument' }),
      )
    }
  })
})
