import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { amdSource } from '#attest/collateral/fetch/amd.js'
import { baseUrl, request } from '#attest/collateral/fetch/http.js'
import { intelSource } from '#attest/collateral/fetch/intel.js'
import { nvidiaSource } from '#attest/collateral/fetch/nvidia.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import type { OcspName } from '#attest/endorsements/names.js'
import { fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { encodePem } from '#core/encoding/pem.js'
import { parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspId } from '#core/x509/ocsp-request.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { answerDocument, serveOcsp } from '#test/fakes/responder.js'
import {
  amdDocuments,
  floods,
  gives,
  hangs,
  intelDocuments,
  isCut,
  rimDocument,
  serveAmd,
  serveIntel,
  serveRim,
  stalls,
  startVendor,
  status,
  testFmspc,
  testRimId,
  type VendorServer,
  vcekName,
} from '#test/fakes/vendors.js'

let vendor: VendorServer
let other: VendorServer
let intel: Awaited<ReturnType<typeof intelDocuments>>
beforeAll(async () => {
  vendor = await startVendor()
  other = await startVendor()
  other.answers.set('*', gives('secret'))
  intel = await intelDocuments()
  serveIntel(vendor, intel.items)
})
afterAll(async () => {
  await vendor.close()
  await other.close()
})

// Long enough for a machine that is busy: only those who wait for a timeout have a short one.
const http = { fetch, timeoutMs: 20_000 }
const impatient = { fetch, timeoutMs: 200 }
const get = (path: string, bodySizeMax = 100) => request(http, { url: new URL(path, vendor.url), bodySizeMax })

describe('one request', () => {
  test('gives a whole body within its bound', async () => {
    vendor.answers.set('/ok', gives('x'.repeat(100), { 'X-Chain': 'a' }))
    const answer = await get('/ok')
    expect(fromUtf8(answer.body)).toBe('x'.repeat(100))
    expect(answer.header('x-chain')).toBe('a')
  })

  test('follows the origin that was chosen to another path of its own', async () => {
    vendor.answers.set('/old', status(302, { location: '/ok' }))
    expect((await get('/old')).body.length).toBe(100)
  })

  test('posts what it is given', async () => {
    const post = { body: utf8('question'), contentType: 'application/ocsp-request' }
    await request(http, { url: new URL('/ok', vendor.url), bodySizeMax: 100, post })
    expect(fromUtf8(vendor.bodies.get('/ok')!)).toBe('question')
  })

  test.each([
    ['collateral/timeout', 'no answer', hangs],
    ['collateral/timeout', 'an answer that stalls', stalls],
    ['collateral/unreachable', 'an answer that is cut', isCut],
    ['collateral/too-large', 'an answer without end', floods],
    ['collateral/too-large', 'one byte too many', gives('x'.repeat(101))],
    ['collateral/not-found', '404', status(404)],
    ['collateral/not-found', '400', status(400)],
    ['collateral/rate-limited', '429', status(429)],
    ['collateral/refused', '500', status(500)],
    ['collateral/refused', '204', status(204)],
    ['collateral/redirect', 'a redirect to nowhere', status(302)],
    ['collateral/redirect', 'a redirect to itself', status(302, { location: '/trouble' })],
  ] as const)('ends with %s after %s', async (code, _what, answer) => {
    vendor.answers.set('/trouble', answer)
    const options = code === 'collateral/timeout' ? impatient : http
    const asked = request(options, { url: new URL('/trouble', vendor.url), bodySizeMax: 100 })
    expect(await codeOfPromise(asked)).toBe(code)
  })

  test('does not follow to another host, which is not asked', async () => {
    vendor.answers.set('/trouble', status(302, { location: `${other.url}/secret` }))
    expect(await codeOfPromise(get('/trouble'))).toBe('collateral/redirect')
    expect(other.asked.size).toBe(0)
  })

  test('ends with collateral/unreachable where nobody listens', async () => {
    const gone = await startVendor()
    await gone.close()
    expect(await codeOfPromise(request(http, { url: new URL(gone.url), bodySizeMax: 1 }))).toBe(
      'collateral/unreachable',
    )
  })

  test.each([
    ['120', 120],
    ['999999', 3600],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['-1', undefined],
  ])('keeps what Retry-After says: %s', async (value, seconds) => {
    vendor.answers.set('/trouble', status(429, { 'retry-after': value }))
    await expect(get('/trouble')).rejects.toMatchObject({ detail: seconds && { retryAfterSeconds: seconds } })
  })

  test.each(['file:///etc', 'ftp://a', 'http://u:p@a/', 'https://a/?q=1', 'nothing', ''])(
    '%j is no service',
    (text) => {
      expect(codeOf(() => baseUrl(text))).toBe('collateral/content')
    },
  )
})

describe("Intel's service", () => {
  const source = (more = {}) => intelSource(http, { url: vendor.url, rootCertificate: intel.root, ...more })

  test('gives each document with the certificates above it', async () => {
    for (const item of intel.items) expect(await source()(item.name as never)).toEqual(item)
  })

  test('is asked at a path below a mirror', async () => {
    vendor.answers.set(
      '/pccs/tdx/certification/v4/qe/identity',
      vendor.answers.get('/tdx/certification/v4/qe/identity')!,
    )
    const found = await intelSource(http, { url: `${vendor.url}/pccs`, rootCertificate: intel.root })({
      kind: 'intel-qe-identity',
      tee: 'tdx',
    })
    expect(found.body.length).toBeGreaterThan(100)
  })

  test('the CRL of the root is read as DER, hex or PEM', async () => {
    const { body } = intel.items[0]!
    const forms = [body, utf8(toHex(body)), utf8(`"${toHex(body).toUpperCase()}"\n`), utf8(encodePem(body, 'X509 CRL'))]
    for (const form of forms) {
      vendor.answers.set('/root.der', gives(form))
      const found = await source({ rootCrlUrl: `${vendor.url}/root.der` })({ kind: 'intel-root-crl' })
      expect(found).toEqual({ name: { kind: 'intel-root-crl' }, body, chain: [intel.root] })
    }
  })

  test.each([
    ['no chain', {}],
    ['a chain that is no PEM', { 'TCB-Info-Issuer-Chain': 'x' }],
    ['a chain that is badly encoded', { 'TCB-Info-Issuer-Chain': '%' }],
    ['a chain that is too long', { 'TCB-Info-Issuer-Chain': 'x'.repeat(15_000) }],
  ])('refuses %s', async (_what, headers) => {
    vendor.answers.set('/sgx/certification/v4/tcb?fmspc=000000000000', gives('{}', headers))
    const found = source()({ kind: 'intel-tcb-info', tee: 'sgx', fmspc: '000000000000' })
    expect(await codeOfPromise(found)).toBe('collateral/content')
  })

  test('refuses a CRL that is none', async () => {
    vendor.answers.set('/root.der', gives('<html>'))
    const found = source({ rootCrlUrl: `${vendor.url}/root.der` })({ kind: 'intel-root-crl' })
    expect(await codeOfPromise(found)).toBe('collateral/content')
  })

  test('says that it has no such family', async () => {
    const found = source()({ kind: 'intel-tcb-info', tee: 'tdx', fmspc: testFmspc.replace('9', '8') })
    expect(await codeOfPromise(found)).toBe('collateral/not-found')
  })
})

describe("AMD's service", () => {
  const held = (items: readonly CollateralItem[]) => [items[0]!.body, ...items[0]!.chain]

  test.each(['Milan', 'Genoa', 'Turin'] as const)('gives each document of %s', async (product) => {
    const { items } = await amdDocuments({ product })
    serveAmd(vendor, items)
    const source = amdSource(http, { url: vendor.url })
    for (const item of items) expect(await source(item.name as never, held(items))).toEqual(item)
  })

  test('a chain of one certificate, or of none, is refused', async () => {
    const { items } = await amdDocuments()
    const name = { kind: 'amd-ask', product: 'Milan', key: 'vlek' } as const
    const source = amdSource(http, { url: vendor.url })
    for (const body of [encodePem(items[0]!.body, 'CERTIFICATE'), 'x']) {
      vendor.answers.set('/vlek/v1/Milan/cert_chain', gives(body))
      expect(await codeOfPromise(source(name, []))).toBe('collateral/content')
    }
  })

  test('a document whose authority is not at hand is refused', async () => {
    serveAmd(vendor, (await amdDocuments()).items)
    const { items } = await amdDocuments()
    const [ask, ark] = held(items) as [Uint8Array, Uint8Array]
    const source = amdSource(http, { url: vendor.url })
    for (const name of [vcekName('Genoa'), { kind: 'amd-crl', product: 'Genoa', key: 'vcek' } as const])
      for (const chain of [[], [ask], [ask, ark, ark]])
        expect(await codeOfPromise(source(name, chain)), `${name.kind} ${chain.length}`).toBe('collateral/content')
  })
})

describe("NVIDIA's services", () => {
  const source = () => nvidiaSource(http, { rimUrl: vendor.url, ocspUrl: vendor.url })

  test('give a RIM by its id', async () => {
    const rim = await rimDocument()
    serveRim(vendor, rim)
    expect(await source()(rim.name as never, [])).toEqual(rim)
  })

  test.each([
    ['is about another id', { id: 'NV_OTHER' }, 'about another RIM'],
    ['says another digest', { sha256: '00'.repeat(32) }, 'the answer says another'],
    ['says a digest that is none', { sha256: 'x' }, 'no RIM in JSON'],
    ['holds no RIM', { rim: 1 }, 'holds no RIM'],
    ['holds no base64', { rim: '*' }, 'no RIM in JSON'],
  ])('an answer that %s is refused, and why is said', async (_what, change, why) => {
    const rim = await rimDocument()
    serveRim(vendor, rim, change)
    await expect(source()(rim.name as never, [])).rejects.toMatchObject({
      code: 'collateral/content',
      message: expect.stringContaining(why),
    })
  })

  test.each(['null', '<html>', '[]', '{"id":1}'])('%s is no answer', async (text) => {
    vendor.answers.set(`/v1/rim/${testRimId}`, gives(text))
    expect(await codeOfPromise(source()({ kind: 'nvidia-rim', id: testRimId }, []))).toBe('collateral/content')
  })

  test('a responder is asked by POST on one certificate by SHA-384, without a nonce, and its answer comes as it is', async () => {
    const { asked } = await serveOcsp(vendor)
    for (const role of ['ocspDeviceL2', 'ocspDeviceL3', 'ocspDeviceL4', 'ocspRimL4']) {
      const { name, chain } = await answerDocument(role)
      const item = await source()(name as OcspName, chain)
      expect([parseOcsp(item.body).id, item.name, item.chain]).toEqual([ocspId(name as OcspName), name, chain])
      expect(asked.get(role)).toBe(1)
    }
  })

  test('a mirror is asked at its path, and never who a certificate or an answer names', async () => {
    const { name, chain } = await answerDocument()
    for (const path of ['/mirror/ocsp', '/mirror/ocsp/']) {
      const { asked } = await serveOcsp(vendor, undefined, path)
      await nvidiaSource(http, { ocspUrl: `${vendor.url}${path}` })(name as OcspName, chain)
      expect(asked.get('ocspDeviceL4')).toBe(1)
    }
    vendor.answers.set('/', status(302, { location: `${other.url}/ocsp` }))
    expect(await codeOfPromise(source()(name as OcspName, chain))).toBe('collateral/redirect')
    expect(other.asked.size).toBe(0)
  })

  test.each([
    ['collateral/content', 'an answer of another type', gives('answer', { 'content-type': 'text/html' })],
    ['collateral/content', 'an answer of no type', gives('answer')],
    ['collateral/too-large', 'more than an envelope takes', gives('x'.repeat(8193))],
    ['collateral/too-large', 'an answer without end', floods],
    ['collateral/timeout', 'no answer', hangs],
    ['collateral/timeout', 'an answer that stalls', stalls],
    ['collateral/refused', '500', status(500)],
    ['collateral/rate-limited', '429', status(429)],
    ['collateral/not-found', '404', status(404)],
  ] as const)('%s after %s', async (code, _what, answer) => {
    const responder = await serveOcsp(vendor)
    await responder.says('ocspDeviceL4', answer)
    const { name, chain } = await answerDocument()
    const options = code === 'collateral/timeout' ? impatient : http
    const asked = nvidiaSource(options, { ocspUrl: vendor.url })(name as OcspName, chain)
    expect(await codeOfPromise(asked)).toBe(code)
  })

  test('without the certificates above the one that it is about nobody is asked', async () => {
    const { asked } = await serveOcsp(vendor)
    const { name } = await answerDocument()
    expect(await codeOfPromise(source()(name as OcspName, []))).toBe('collateral/content')
    expect(asked.size).toBe(0)
  })
})
