import 'reflect-metadata'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { X509Certificate, X509Crl } from '@peculiar/x509'
import { expect, test } from 'vitest'
import { parseDocument } from '#attest/nitro/parse.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { parseCrl } from '#core/x509/crl.js'
import { outside } from '../fakes/outside.js'
import { mintEvidence } from '../fakes/snp.js'

/** Both readers say the same of a certificate; a wrong reading of ours would have to be made twice. */
function compare(der: Uint8Array): void {
  const ours = parseCertificate(der)
  const theirs = new X509Certificate(new Uint8Array(der))
  expect(ours.notBefore).toBe(theirs.notBefore.getTime() / 1000)
  expect(ours.notAfter).toBe(theirs.notAfter.getTime() / 1000)
  expect(toHex(ours.serial)).toBe(theirs.serialNumber.replace(/^(00)+(?=..)/, ''))
  expect(toHex(ours.spki)).toBe(toHex(new Uint8Array(theirs.publicKey.rawData)))
  expect(toHex(ours.signature)).toBe(toHex(new Uint8Array(theirs.signature)))
  expect(toHex(ours.subject)).toBe(toHex(new Uint8Array(theirs.subjectName.toArrayBuffer())))
  expect(toHex(ours.issuer)).toBe(toHex(new Uint8Array(theirs.issuerName.toArrayBuffer())))
  expect([...ours.extensions.values()].map(({ oid, critical, value }) => [oid, critical, toHex(value)])).toEqual(
    theirs.extensions.map(({ type, critical, value }) => [type, critical, toHex(new Uint8Array(value))]),
  )
}

test('an independent reader reads the minted certificates and CRL as we do', async () => {
  for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
    const evidence = await mintEvidence({ product })
    for (const text of [evidence.vek, evidence.ask, evidence.ark]) compare(fromBase64(text))
    const crl = fromBase64(evidence.crl!)
    const ours = parseCrl(crl)
    const theirs = new X509Crl(new Uint8Array(crl))
    expect(ours.thisUpdate).toBe(theirs.thisUpdate.getTime() / 1000)
    expect(ours.nextUpdate).toBe(theirs.nextUpdate!.getTime() / 1000)
    expect([...ours.revoked]).toEqual(theirs.entries.map(({ serialNumber }) => serialNumber))
  }
})

test.each(['snp', 'dcap', 'nitro'])('and the certificates of the vendor that are shipped for %s', (kind) => {
  const folder = join(import.meta.dirname, '../../attest', kind, 'roots')
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.pem')))
    for (const der of parsePem(readFileSync(join(folder, file), 'utf8'), 'CERTIFICATE', 2)) compare(der)
})

const vectors = outside('vectors')
test.skipIf(vectors === undefined)('and those inside the published documents of Nitro', () => {
  const folders = readdirSync(join(vectors!, 'nitro'))
  expect(folders.length).toBe(9)
  for (const folder of folders) {
    const document = parseDocument(new Uint8Array(readFileSync(join(vectors!, 'nitro', folder, 'document.cbor'))))
    for (const der of [document.certificate, ...document.bundle]) compare(der)
  }
})

test.skipIf(vectors === undefined)('and every certificate of the published vectors, of every vendor', () => {
  const files = readdirSync(vectors!, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.pem') && !name.endsWith('cpak-pub.pem'),
  )
  expect(files.length).toBeGreaterThan(30)
  for (const file of files)
    for (const der of parsePem(readFileSync(join(vectors!, file), 'utf8'), 'CERTIFICATE', 16)) compare(der)
})
