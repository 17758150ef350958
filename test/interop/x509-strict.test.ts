import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { X509Certificate, type X509CertificateCreateParams, X509CertificateGenerator, X509Crl } from '@peculiar/x509'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#core/bytes/bytes.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { parseCrl } from '#core/x509/crl.js'
import {
  basicConstraints,
  type MintExtension,
  mintCertificate,
  mintCrl,
} from '#runtime/attester/simulated/certificate.js'
import { integer } from '#runtime/attester/simulated/der.js'
import { testTime as at, throwawayKeys } from '../fakes/platform.js'

/**
 * Why the verifier reads certificates itself, and the simulated platform writes them itself. Each case stands in
 * docs/decisions/x509.md: when the library comes to agree with us in one, this fails and the decision is due again.
 */
const fields = { serial: 1, issuer: 'root', subject: 'leaf', notBefore: at - 10, notAfter: at + 10 }
const mint = (extensions: readonly MintExtension[]) =>
  mintCertificate({ ...fields, spki: throwawayKeys.chip.spki, extensions }, throwawayKeys.ark)
const unknown = { oid: '1.2.3.4', critical: true, value: integer(1) }
let good: Uint8Array
let goodCrl: Uint8Array
const crl = (more: Partial<Parameters<typeof mintCrl>[0]> = {}) =>
  mintCrl({ issuer: 'root', thisUpdate: at - 10, nextUpdate: at + 10, revoked: [7], ...more }, throwawayKeys.ark)
beforeAll(async () => {
  good = await mint([basicConstraints(0)])
  goodCrl = await crl()
})

function swap(from: string | RegExp, to: string): Uint8Array {
  const changed = toHex(good).replace(from, to)
  expect(changed).not.toBe(toHex(good))
  return fromHex(changed)
}

/** Reads everything that a caller of the library would look at. */
function readByLibrary(der: Uint8Array): void {
  const theirs = new X509Certificate(new Uint8Array(der))
  expect(theirs.serialNumber.length).toBeGreaterThan(0)
  expect(theirs.notBefore.getTime()).not.toBeNaN()
  expect(theirs.publicKey.rawData.byteLength).toBeGreaterThan(0)
  expect(theirs.signatureAlgorithm).toMatchObject({ name: 'RSA-PSS' })
  expect(theirs.extensions.length).toBeGreaterThan(0)
}

describe('a certificate that the library reads and we refuse', () => {
  test.each([
    ['x509/form', 'a byte after the end', () => new Uint8Array([...good, 0])],
    ['x509/form', 'a length not in its shortest form', () => fromHex(toHex(good).replace(/^3082/, '308300'))],
    ['x509/form', 'an indefinite length', () => fromHex(`3080${toHex(good).slice(8)}0000`)],
    ['x509/form', 'a negative serial number', () => swap('a003020102020101', 'a003020102020181')],
    ['x509/form', 'a boolean that is neither 0 nor 255', () => swap('0603551d130101ff', '0603551d13010101')],
    ['x509/form', 'a time without its zone', () => swap(/170d([0-9a-f]{24})5a/, '170d$130')],
    ['x509/form', 'month 99', () => swap(/170d([0-9a-f]{4})[0-9a-f]{4}/, '170d$13939')],
    ['x509/version', 'extensions in version 1', () => swap('a003020102', 'a003020100')],
    ['x509/algorithm', 'two signature algorithms', () => swap('f70d01010a', 'f70d01010b')],
    ['x509/algorithm', 'two salt lengths', () => swap('a203020130', 'a203020120')],
    ['x509/duplicate-extension', 'an extension twice', () => mint([unknown, unknown])],
    ['x509/critical-extension', 'a critical extension that nobody knows', () => mint([unknown])],
    [
      'x509/extension',
      'a path length of what is no authority',
      () => mint([{ ...basicConstraints(), value: fromHex('3003020100') }]),
    ],
  ])('with %s: %s', async (code, _, make) => {
    const der = await make()
    readByLibrary(der)
    expect(() => parseCertificate(der)).toThrowError(expect.objectContaining({ code }))
  })

  test('and one that both read', () => {
    readByLibrary(good)
    expect(toHex(parseCertificate(good).serial)).toBe('01')
  })
})

describe('a CRL that the library reads and we refuse', () => {
  test.each([
    ['crl/form', 'a byte after the end', ['07'], async () => new Uint8Array([...goodCrl, 0])],
    ['crl/critical-extension', 'being partial', ['07'], () => crl({ extensions: [{ ...unknown, oid: '2.5.29.27' }] })],
    // and there the library sees no revoked certificate at all, although the list names one
    ['crl/no-next-update', 'no end of its time', [], () => crl({ nextUpdate: null })],
  ] as const)('with %s: %s', async (code, _, revoked, make) => {
    const der = await make()
    expect(new X509Crl(new Uint8Array(der)).entries.map(({ serialNumber }) => serialNumber)).toEqual(revoked)
    expect(() => parseCrl(der)).toThrowError(expect.objectContaining({ code }))
  })
})

test('what the library issues is not what the vendor issues: no serial number 0, other RSA-PSS parameters', async () => {
  const pss = { name: 'RSA-PSS', hash: 'SHA-384' }
  const signingAlgorithm = { ...pss, saltLength: 48 } as unknown as NonNullable<
    X509CertificateCreateParams['signingAlgorithm']
  >
  const signingKey = await webcrypto.subtle.importKey('pkcs8', throwawayKeys.ark.pkcs8, pss, false, ['sign'])
  const publicKey = Buffer.from(throwawayKeys.chip.spki)
  const issue = (serialNumber: string) =>
    X509CertificateGenerator.create(
      { serialNumber, subject: 'CN=leaf', issuer: 'CN=root', publicKey, signingKey, signingAlgorithm },
      webcrypto as Parameters<typeof X509CertificateGenerator.create>[1],
    )
  expect((await issue('01')).serialNumber).toBe('01')
  expect((await issue('00')).serialNumber).toMatch(/^[0-9a-f]{30,34}$/)
  const issued = new Uint8Array((await issue('01')).rawData)
  // The hash is named without the NULL that the vendor's certificates carry.
  expect(toHex(issued)).toContain('300b0609608648016503040202a20302013')
  expect(toHex(good)).toContain('300d06096086480165030402020500a20302013')
  expect(() => parseCertificate(issued)).toThrowError(expect.objectContaining({ code: 'x509/algorithm' }))
})
