import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { certificateSizeMax, crlSizeMax } from '#core/limits.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { parseCrl, verifyCrl, verifyNotRevoked } from '#core/x509/crl.js'
import { LinkCache } from '#core/x509/links.js'
import { backend } from '#crypto-backend'
import {
  basicConstraints,
  keyUsage,
  type MintCertificate,
  mintCertificate,
  mintCrl,
} from '#runtime/attester/simulated/certificate.js'
import { codeOf } from '../../fakes/code-of.js'
import { testTime as at, throwawayKeys } from '../../fakes/platform.js'

const dates = { notBefore: at - 1000, notAfter: at + 1000 }
const rootFields: MintCertificate = {
  ...dates,
  serial: 1,
  issuer: 'root',
  subject: 'root',
  spki: throwawayKeys.ark.spki,
  extensions: [basicConstraints(), keyUsage(true)],
}
const leafFields: MintCertificate = {
  ...dates,
  serial: 0x80,
  issuer: 'root',
  subject: 'leaf',
  spki: throwawayKeys.chip.spki,
  extensions: [],
}
let rootDer: Uint8Array
let leafDer: Uint8Array
let root: Certificate
let leaf: Certificate
beforeAll(async () => {
  rootDer = await mintCertificate(rootFields, throwawayKeys.ark)
  leafDer = await mintCertificate(leafFields, throwawayKeys.ark)
  root = parseCertificate(rootDer)
  leaf = parseCertificate(leafDer)
})
const swap = (der: Uint8Array, from: string, to: string) => fromHex(toHex(der).replace(from, to))

describe('what a caller answers for', () => {
  const purpose = { oid: '2.5.29.37', critical: true, value: new Uint8Array([0x30, 0]) }

  test('a critical extension is accepted where the caller heeds it, and no other', async () => {
    const der = await mintCertificate({ ...leafFields, extensions: [purpose] }, throwawayKeys.ark)
    expect(codeOf(() => parseCertificate(der))).toBe('x509/critical-extension')
    expect(codeOf(() => parseCertificate(der, 'leaf', { heeds: ['2.5.29.36'] }))).toBe('x509/critical-extension')
    expect(parseCertificate(der, 'leaf', { heeds: [purpose.oid] }).extensions.get(purpose.oid)?.critical).toBe(true)
  })

  test('GeneralizedTime before 2050 is accepted where the caller says so, and says the same time', () => {
    const spelled = (text: string) => toHex(utf8(text))
    const short = new Date(dates.notAfter * 1000)
      .toISOString()
      .replace(/[-:T]|\.\d+/g, '')
      .slice(2)
    // Two more bytes in the time, in the validity, in the signed part and in the certificate.
    const longer = (der: Uint8Array) => {
      const hex = toHex(der).replace(`170d${spelled(short)}`, `180f${spelled(`20${short}`)}`)
      return hex.replace(/^3082(....)3082(....)/, (_, a: string, b: string) => {
        const more = (one: string) => (Number.parseInt(one, 16) + 2).toString(16).padStart(4, '0')
        return `3082${more(a)}3082${more(b)}`
      })
    }
    const der = fromHex(longer(leafDer).replace('301e170d', '3020170d'))
    expect(codeOf(() => parseCertificate(der))).toBe('x509/form')
    expect(parseCertificate(der, 'leaf', { times: 'any' }).notAfter).toBe(leaf.notAfter)
  })
})

describe(`certificates on the ${backend.name} backend`, () => {
  test('reads what was minted, as views of the signed bytes', () => {
    expect(leaf).toMatchObject({ ...dates, isCa: false, keyUsage: undefined, algorithm: 'RSA-PSS-SHA384' })
    expect(toHex(leaf.serial)).toBe('80')
    expect(commonName(leaf.subject)).toBe('leaf')
    expect(root).toMatchObject({ isCa: true, pathLengthMax: undefined })
    expect(root.keyUsage).toEqual({ digitalSignature: false, certSign: true, crlSign: true })
    expect(toHex(leaf.der)).toContain(toHex(leaf.tbs))
  })

  test.each([
    ['x509/size', () => new Uint8Array(certificateSizeMax + 1)],
    ['x509/form', () => rootDer.subarray(0, rootDer.length - 1)],
    ['x509/form', () => new Uint8Array([...rootDer, 0])],
    ['x509/version', () => swap(rootDer, 'a003020102', 'a003020100')],
    ['x509/algorithm', () => swap(rootDer, 'f70d01010a', 'f70d010105')],
    // the same key algorithm, with a salt of another length
    ['x509/algorithm', () => swap(rootDer, 'a203020130', 'a203020120')],
  ])('refuses with %s', (code, der) => {
    expect(() => parseCertificate(der())).toThrowError(expect.objectContaining({ code }))
  })

  test('any bytes, and any certificate with changed bytes, are read or refused by a Failure', () => {
    const read = (bytes: Uint8Array) => {
      for (const parse of [() => commonName(parseCertificate(bytes).subject), () => parseCrl(bytes)]) {
        try {
          parse()
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), read))
    const changes = fc.array(fc.tuple(fc.nat(rootDer.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(changes, (list) => {
        const bytes = rootDer.slice()
        for (const [i, byte] of list) bytes[i] = byte
        read(bytes)
      }),
    )
  })
})

describe(`chains on the ${backend.name} backend`, () => {
  const names = ['leaf', 'root']
  test('accepts a leaf under its root, at both ends of its time', async () => {
    for (const when of [at, dates.notBefore, dates.notAfter]) await verifyChain([leaf, root], names, when)
  })

  test('refuses every flipped bit of what is signed, and of the signature', async () => {
    const start = toHex(leafDer).indexOf(toHex(leaf.tbs)) / 2
    for (let i = start; i < leafDer.length; i += 37) {
      const bytes = leafDer.slice()
      bytes[i]! ^= 0x10
      const outcome = await Promise.resolve()
        .then(() => verifyChain([parseCertificate(bytes), root], names, at))
        .then(
          () => 'accepted',
          (error) => (isFailure(error) ? 'refused' : error),
        )
      expect(outcome, `byte ${i}`).toBe('refused')
    }
  })

  test.each([
    ['chain/length', () => [root], at],
    ['chain/length', () => Array.from({ length: 9 }, () => root), at],
    ['chain/not-yet-valid', () => [leaf, root], dates.notBefore - 1],
    ['chain/expired', () => [leaf, root], dates.notAfter + 1],
    ['chain/not-a-ca', () => [leaf, leaf], at],
    ['chain/issuer-name', () => [{ ...leaf, issuer: leaf.subject }, root], at],
    ['chain/path-length', () => [leaf, root, { ...root, pathLengthMax: 0 }], at],
    [
      'chain/key-usage',
      () => [leaf, { ...root, keyUsage: { digitalSignature: true, certSign: false, crlSign: true } }],
      at,
    ],
    ['chain/signature', () => [{ ...leaf, tbs: root.tbs }, root], at],
    ['chain/signature', () => [leaf, { ...root, spki: throwawayKeys.other.spki }], at],
    // a root that did not issue itself proves nothing
    ['chain/signature', () => [leaf, { ...root, signature: leaf.signature }], at],
  ])('refuses with %s', async (code, chain, when) => {
    await expect(verifyChain(chain(), names, when)).rejects.toMatchObject({ code })
  })

  test('a remembered link spares the signature, and nothing else', async () => {
    const links = new LinkCache(2)
    await verifyChain([leaf, root], names, at, links)
    await verifyChain([leaf, root], names, at, links)
    await expect(verifyChain([leaf, root], names, dates.notAfter + 1, links)).rejects.toMatchObject({
      code: 'chain/expired',
    })
    const altered = leafDer.slice()
    altered[altered.length - 1]! ^= 1
    await expect(verifyChain([parseCertificate(altered), root], names, at, links)).rejects.toMatchObject({
      code: 'chain/signature',
    })
  })

  test('forgets the link that was used least lately', () => {
    const links = new LinkCache(2)
    links.add('a')
    links.add('b')
    expect(links.has('a')).toBe(true)
    links.add('c')
    expect([links.has('a'), links.has('b'), links.has('c')]).toEqual([true, false, true])
  })
})

describe(`CRLs on the ${backend.name} backend`, () => {
  const crl = (fields: Partial<Parameters<typeof mintCrl>[0]> = {}, signer = throwawayKeys.ark) =>
    mintCrl({ issuer: 'root', thisUpdate: at - 10, nextUpdate: at + 10, revoked: [7], ...fields }, signer)

  test('accepts a current list that does not name the certificate', async () => {
    const list = parseCrl(await crl())
    await verifyCrl(list, root, at)
    verifyNotRevoked(leaf, list, 'leaf')
  })

  test('accepts an empty list', async () => {
    const list = parseCrl(await crl({ revoked: [] }))
    expect(list.revoked.size).toBe(0)
  })

  test.each([
    [[2, 1, 7], 7n],
    [[2, 3, 0, 0xff, 0xff], 0xffffn],
    [[2, 20, ...Array<number>(20).fill(0x7f)], BigInt(`0x${'7f'.repeat(20)}`)],
  ])('reads the number of a list, %s', async (value, number) => {
    const extensions = [{ oid: '2.5.29.20', critical: false, value: new Uint8Array(value) }]
    expect(parseCrl(await crl({ extensions })).number).toBe(number)
    expect(parseCrl(await crl({ extensions: [{ ...extensions[0]!, oid: '2.5.29.35' }] })).number).toBeNull()
  })

  test.each([[[2, 21, ...Array<number>(21).fill(1)]], [[2, 1, 0xff]], [[4, 1, 1]]])(
    'refuses a number that is none, %j',
    async (value) => {
      const list = await crl({ extensions: [{ oid: '2.5.29.20', critical: false, value: new Uint8Array(value) }] })
      expect(() => parseCrl(list)).toThrowError(expect.objectContaining({ code: 'crl/form' }))
    },
  )

  test('refuses a revoked certificate', async () => {
    const list = parseCrl(await crl({ revoked: [7, 0x80] }))
    expect(() => verifyNotRevoked(leaf, list, 'leaf')).toThrowError(expect.objectContaining({ code: 'crl/revoked' }))
  })

  test('reads every entry of many that are alike', async () => {
    const serials = Array.from({ length: 6 }, (_, i) => 0x61 + i)
    const list = await crl({ revoked: serials })
    expect([...parseCrl(list).revoked]).toEqual(serials.map((serial) => serial.toString(16)))
    for (const serial of serials) {
      const entry = toHex(list).indexOf(`0201${serial.toString(16)}170d`) / 2
      // In turn: the tag of the date, a digit of it, and its last letter.
      for (const [ahead, byte] of [
        [3, 0x16],
        [5, 0x3a],
        [17, 0x59],
      ] as const) {
        const changed = list.with(entry + ahead, byte)
        expect(() => parseCrl(changed)).toThrowError(expect.objectContaining({ code: 'crl/form' }))
      }
    }
  })

  test.each([
    ['crl/size', async () => new Uint8Array(crlSizeMax + 1)],
    ['crl/form', async () => new Uint8Array([...(await crl()), 0])],
    ['crl/no-next-update', () => crl({ nextUpdate: null })],
    [
      'crl/critical-extension',
      () => crl({ extensions: [{ oid: '2.5.29.27', critical: true, value: new Uint8Array([2, 1, 1]) }] }),
    ],
  ])('refuses to read with %s', async (code, der) => {
    const bytes = await der()
    expect(() => parseCrl(bytes)).toThrowError(expect.objectContaining({ code }))
  })

  test.each([
    ['crl/issuer-name', () => crl({ issuer: 'other' }), () => root, at],
    [
      'crl/key-usage',
      () => crl(),
      () => ({ ...root, keyUsage: { digitalSignature: false, certSign: true, crlSign: false } }),
      at,
    ],
    ['crl/not-yet-valid', () => crl(), () => root, at - 11],
    ['crl/expired', () => crl(), () => root, at + 11],
    ['crl/signature', () => crl({}, throwawayKeys.other), () => root, at],
  ] as const)('refuses to believe with %s', async (code, der, issuer, when) => {
    await expect(verifyCrl(parseCrl(await der()), issuer(), when)).rejects.toMatchObject({ code })
  })
})
