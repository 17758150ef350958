import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import forge from 'node-forge'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isFailure } from '#core/failure.js'
import { readPkcs12 } from '#host/pkcs12.js'
import { codeOf } from '#test/fakes/code-of.js'
import { type Certified, certified, purposes } from '#test/fakes/machine-certificates.js'
import { outside } from '#test/fakes/outside.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-pkcs12-'))
const at = (name: string) => join(folder, name)
const openssl = outside('openssl')
const now = Math.floor(Date.now() / 1000)
const dates = { notBefore: now - 60, notAfter: now + 3600 }
let leaf: Certified
let between: Certified
let usual: Buffer

/** A bundle as other software makes it. */
function exported(name: string, ...options: readonly string[]): Buffer {
  execFileSync(
    'openssl',
    [
      'pkcs12',
      '-export',
      '-in',
      at('cert.pem'),
      '-inkey',
      at('key.pem'),
      '-certfile',
      at('chain.pem'),
      '-passout',
      'pass:geheim',
      '-out',
      at(name),
      ...options,
    ],
    { stdio: 'ignore' },
  )
  return readFileSync(at(name))
}

beforeAll(async () => {
  if (openssl === undefined) return
  const root = await certified('root', { isCa: true, ...dates })
  between = await certified('between', { isCa: true, by: root, ...dates })
  leaf = await certified('console', { by: between, purposes: [purposes.client], ...dates })
  writeFileSync(at('key.pem'), leaf.keyPem, { mode: 0o600 })
  writeFileSync(at('cert.pem'), leaf.certPem)
  writeFileSync(at('chain.pem'), root.certPem + between.certPem)
  usual = exported('usual.p12')
})
afterAll(() => rmSync(folder, { recursive: true }))

const certificatesIn = (pem: Buffer) =>
  pem
    .toString()
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((one) => one.trim() !== '')
    .map((one) => new X509Certificate(one).subject.split('\n').at(-1))

describe.skipIf(openssl === undefined)('a PKCS #12 bundle', () => {
  test('gives its key and its chain, leaf first, whatever order they stand in', () => {
    const { key, cert } = readPkcs12(usual, 'geheim')
    expect(createPrivateKey(key).export({ type: 'pkcs8', format: 'der' })).toEqual(Buffer.from(leaf.key.pkcs8))
    expect(certificatesIn(cert)).toEqual(['CN=console', 'CN=between', 'CN=root'])
  })

  test('is read as many programs write it', () => {
    const old = ['-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1']
    for (const options of [
      old,
      ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-128-CBC'],
      ['-macalg', 'sha512'],
      ['-iter', '100000'],
    ])
      expect(certificatesIn(readPkcs12(exported('some.p12', ...options), 'geheim').cert)).toHaveLength(3)
    expect(
      certificatesIn(readPkcs12(exported('plain.p12', '-certpbe', 'NONE', '-keypbe', 'NONE'), 'geheim').cert),
    ).toHaveLength(3)
  })

  test('with an RSA key is read alike', () => {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        '/CN=rsa',
        '-keyout',
        at('rsa.key'),
        '-out',
        at('rsa.pem'),
      ],
      { stdio: 'ignore' },
    )
    execFileSync(
      'openssl',
      ['pkcs12', '-export', '-in', at('rsa.pem'), '-inkey', at('rsa.key'), '-passout', 'pass:x', '-out', at('rsa.p12')],
      { stdio: 'ignore' },
    )
    const { key, cert } = readPkcs12(readFileSync(at('rsa.p12')), 'x')
    expect(new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))).toBe(true)
    expect(new X509Certificate(cert).raw).toEqual(new X509Certificate(readFileSync(at('rsa.pem'))).raw)
  })

  test('does not open with another password, and says nothing of it', () => {
    for (const wrong of ['', 'Geheim', 'geheim '])
      expect(codeOf(() => readPkcs12(usual, wrong))).toBe('pkcs12/password')
    try {
      readPkcs12(usual, 'not-the-password')
    } catch (error) {
      expect(JSON.stringify(isFailure(error) && [error.message, error.detail])).not.toContain('not-the-password')
    }
  })

  test('under a broken algorithm, without a password, or for nobody is refused', () => {
    const weak = exported('weak.p12', '-legacy', '-certpbe', 'PBE-SHA1-RC2-40', '-keypbe', 'PBE-SHA1-3DES')
    expect(codeOf(() => readPkcs12(weak, 'geheim'))).toBe('pkcs12/algorithm')
    expect(codeOf(() => readPkcs12(exported('md5.p12', '-macalg', 'md5'), 'geheim'))).toBe('pkcs12/algorithm')
    expect(codeOf(() => readPkcs12(exported('nomac.p12', '-nomac'), 'geheim'))).toBe('pkcs12/form')
    execFileSync('openssl', [
      'pkcs12',
      '-export',
      '-nokeys',
      '-in',
      at('cert.pem'),
      '-passout',
      'pass:geheim',
      '-out',
      at('nokey.p12'),
    ])
    expect(codeOf(() => readPkcs12(readFileSync(at('nokey.p12')), 'geheim'))).toBe('pkcs12/contents')
  })

  test('that asks for more work than is due is refused before any of it is done', () => {
    const node = forge.asn1.fromDer(usual.toString('latin1'))
    const part = (of: forge.asn1.Asn1, i: number) => (of.value as forge.asn1.Asn1[])[i]!
    part(part(node, 2), 2).value = '\x7f\xff\xff\xff'
    const bytes = Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1')
    expect(codeOf(() => readPkcs12(bytes, 'geheim'))).toBe('pkcs12/iterations')
    part(part(node, 2), 2).value = '\x01\x00\x00\x00\x00'
    const wider = Buffer.from(forge.asn1.toDer(node).getBytes(), 'latin1')
    expect(codeOf(() => readPkcs12(wider, 'geheim'))).toBe('pkcs12/iterations')
    // Behind encryption, where only whoever knows the password could have put it.
    expect(codeOf(() => readPkcs12(exported('many.p12', '-iter', '1600000', '-certpbe', 'NONE'), 'geheim'))).toBe(
      'pkcs12/iterations',
    )
  })

  test('of any bytes is refused with a code', () => {
    expect(codeOf(() => readPkcs12(new Uint8Array(0), ''))).toBe('pkcs12/size')
    expect(codeOf(() => readPkcs12(new Uint8Array(300_000), ''))).toBe('pkcs12/size')
    expect(codeOf(() => readPkcs12(Buffer.from('3080'.repeat(60_000), 'hex'), ''))).toBe('pkcs12/form')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(() => readPkcs12(bytes, 'x'))).toMatch(/^pkcs12\//)
      }),
    )
    fc.assert(
      fc.property(fc.nat({ max: usual.length - 1 }), fc.integer({ min: 1, max: 255 }), (place, change) => {
        const bytes = Buffer.from(usual)
        bytes[place]! ^= change
        const code = codeOf(() => readPkcs12(bytes, 'geheim'))
        expect(code).toMatch(/^(ok|pkcs12\/[a-z]+)$/)
        return true
      }),
      { numRuns: 60 },
    )
  })
})
