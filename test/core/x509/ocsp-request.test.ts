import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toHex } from '#core/bytes/bytes.js'
import { encodeOcspRequest, ocspId, ocspSerialForm, ocspSubject } from '#core/x509/ocsp-request.js'
import { backend } from '#crypto-backend'
import { requestedId } from '../../fakes/responder.js'

/** What OpenSSL 3.0.19 makes (`openssl ocsp -sha384 -no_nonce -reqout`) for the BROM and the family of a minted device. */
const made = [
  '307e307c307a30783076300d06096086480165030402020500043068b536b969f033a992a14687c60af2eb857e1641080784e60a3ee4246fd240c7c64459cb56575cfdd1016eab03b3e5c50430dc744417372a2a140629b5771fdd41ad39876e5ea8576dffb7a92981d84934b4db6be9174cd5911edd4121037d7efd5f020168',
  '307e307c307a30783076300d0609608648016503040202050004307efc45b9f37d86b851006ac02f2c18301af316e42692b14daf974133a2f72b0709c6c2453d7ef4f9a7e0619e3df145f80430dbf83fc3165af88e7783028dc88f2ec1019b6996b0f67262143bf6aff64418600f567d155c98750e91703801ee595705020102',
]
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))

test(`a request is byte for byte what another implementation makes, on the ${backend.name} backend`, () => {
  for (const hex of made) expect(toHex(encodeOcspRequest(ocspSubject(requestedId(bytesOf(hex)))))).toBe(hex)
})

test('a request asks for exactly the certificate that was named', () => {
  const hash = fc.uint8Array({ minLength: 48, maxLength: 48 }).map(toHex)
  const serial = fc
    .uint8Array({ minLength: 1, maxLength: 20 })
    .map(toHex)
    .filter((hex) => ocspSerialForm.test(hex))
  fc.assert(
    fc.property(fc.record({ issuerName: hash, issuerKey: hash, serial }), (subject) => {
      expect(ocspSubject(ocspId(subject))).toEqual(subject)
      expect(requestedId(encodeOcspRequest(subject))).toBe(ocspId(subject))
    }),
  )
})

test.each([
  ['00', true],
  ['41431d480fe5e87274', true],
  ['ff'.repeat(20), true],
  ['ff'.repeat(21), false],
  ['0041', false],
  ['4', false],
  ['4G', false],
  ['', false],
])('%j as a serial number: %s', (text, is) => {
  expect(ocspSerialForm.test(text)).toBe(is)
})
