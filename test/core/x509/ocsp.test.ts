import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { concat } from '#core/bytes/bytes.js'
import { ocspSizeMax } from '#core/limits.js'
import { type Certificate, parseCertificate } from '#core/x509/certificate.js'
import { LinkCache } from '#core/x509/links.js'
import { verifyOcsp } from '#core/x509/ocsp.js'
import { certificateId, parseOcsp } from '#core/x509/ocsp-answer.js'
import { backend } from '#crypto-backend'
import { basicConstraints, keyUsage } from '#runtime/attester/simulated/certificate.js'
import { codeOf } from '../../fakes/code-of.js'
import { gpuKeys } from '../../fakes/gpu.js'
import { mintOcsp } from '../../fakes/ocsp.js'
import { mintP384, p384Name } from '../../fakes/p384.js'
import { testTime as at } from '../../fakes/platform.js'

const name = p384Name('authority')
const subject = { issuerName: name, issuer: gpuKeys.root, serial: 0x80 }
let issuer: Certificate
let certificate: Certificate
let good: Uint8Array
beforeAll(async () => {
  const dates = { notBefore: at - 1000, notAfter: at + 1000 }
  const fields = { ...dates, serial: 1, issuer: name, subject: name, spki: gpuKeys.root.spki }
  const authority = { ...fields, extensions: [basicConstraints(), keyUsage(true)] }
  issuer = parseCertificate(await mintP384(authority, gpuKeys.root))
  const leaf = { ...fields, serial: 0x80, subject: p384Name('leaf'), spki: gpuKeys.brom.spki, extensions: [] }
  certificate = parseCertificate(await mintP384({ ...leaf, extensions: [keyUsage(false)] }, gpuKeys.root))
  good = await mintOcsp(subject)
})
const rejection = (work: Promise<unknown>) => expect(work).rejects

describe(`OCSP answers on the ${backend.name} backend`, () => {
  test('a good answer is about its certificate and nothing else', async () => {
    const answer = parseOcsp(good)
    expect(answer.id).toBe(certificateId(certificate, issuer))
    expect(answer.id).not.toBe(certificateId(issuer, issuer))
    expect(answer).toMatchObject({ status: 'good', algorithm: 'ES384', thisUpdate: at - 3600 })
    await verifyOcsp(answer, issuer, at)
  })

  test('a revoked one says since when and why', async () => {
    const answer = parseOcsp(await mintOcsp(subject, { status: { reason: 6 } }))
    expect(answer.status).toEqual({ revokedAt: at - 86_400, reason: 'certificateHold' })
    await rejection(verifyOcsp(answer, issuer, at)).toMatchObject({ code: 'ocsp/revoked' })
  })

  test('refuses more bytes than its bound', () => {
    expect(codeOf(() => parseOcsp(new Uint8Array(ocspSizeMax + 1)))).toBe('ocsp/size')
  })

  test.each([
    ['ocsp/not-yet-valid', -3661],
    ['ocsp/expired', 20 * 3600 + 1],
  ])('%s one second beyond its window, and not inside', async (code, offset) => {
    const answer = parseOcsp(good)
    await rejection(verifyOcsp(answer, issuer, at + offset)).toMatchObject({ code })
    await verifyOcsp(answer, issuer, at + offset - Math.sign(offset))
  })

  test('remembers signatures, but not dates, and nothing of another issuer', async () => {
    const links = new LinkCache()
    const answer = parseOcsp(good)
    await verifyOcsp(answer, issuer, at, 'answer', links)
    await verifyOcsp(answer, issuer, at, 'answer', links)
    await rejection(verifyOcsp(answer, issuer, at + 86_400, 'answer', links)).toMatchObject({ code: 'ocsp/expired' })
    const other = { ...issuer, spki: gpuKeys.other.spki }
    await rejection(verifyOcsp(answer, other, at, 'answer', links)).toMatchObject({ code: 'ocsp/responder' })
  })

  test('no changed bit of what is signed is accepted', async () => {
    const { tbs } = parseOcsp(good)
    const from = tbs.byteOffset - good.byteOffset
    await fc.assert(
      fc.asyncProperty(fc.nat(tbs.length - 1), fc.nat(7), async (index, bit) => {
        const bytes = good.slice()
        bytes[from + index]! ^= 1 << bit
        const verify = async () => verifyOcsp(parseOcsp(bytes), issuer, at)
        await rejection(verify()).toMatchObject({ name: 'Failure' })
      }),
      { numRuns: 200 },
    )
  })

  test('on any bytes only a Failure is thrown', () => {
    const near = fc
      .record({
        changes: fc.array(fc.tuple(fc.nat(1200), fc.nat(255)), { maxLength: 4 }),
        size: fc.nat(1200),
        more: fc.uint8Array({ maxLength: 8 }),
      })
      .map(({ changes, size, more }) => {
        const bytes = good.slice(0, size < 200 ? size : good.length)
        for (const [index, value] of changes) if (index < bytes.length) bytes[index] = value
        return concat(bytes, more)
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 500 }), near), (bytes) => {
        codeOf(() => parseOcsp(bytes))
      }),
      { numRuns: 2000 },
    )
  })
})
