import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { VerifyContext } from '#attest/endorsements/context.js'
import { bodySizeMax, type CollateralItem, isOlder } from '#attest/endorsements/item.js'
import { type CollateralName, formatName, type OcspName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { type Crl, parseCrl } from '#core/x509/crl.js'
import { ccaKeys } from '#test/fakes/cca.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { dcapKeys, dcapRootDigest, dcapSerials } from '#test/fakes/dcap.js'
import { gpuKeys, gpuRootDigest, mintGpuEvidence, single } from '#test/fakes/gpu.js'
import { rimRootDigest } from '#test/fakes/gpu-rim.js'
import { type OcspChange, trailing } from '#test/fakes/ocsp.js'
import { testTime, throwawayKeys } from '#test/fakes/platform.js'
import { answerDocument } from '#test/fakes/responder.js'
import { amdDocuments, intelDocuments, rimDocument, testRimId } from '#test/fakes/vendors.js'

const day = 86_400
const amdRoot = toHex(sha256(throwawayKeys.ark.spki))
const roots = [dcapRootDigest, amdRoot, rimRootDigest, gpuRootDigest]

/** What a document is verified beside: the lists among these documents. */
function beside(items: readonly CollateralItem[], change: Partial<VerifyContext> = {}): VerifyContext {
  const crlOf = (name: CollateralName): Crl | null => {
    const found = items.find((item) => formatName(item.name) === formatName(name))
    return found ? parseCrl(found.body) : null
  }
  return { simulatedRoots: roots, at: testTime, crlOf, ...change }
}
const named = (items: readonly CollateralItem[], kind: CollateralItem['name']['kind']) =>
  items.find((item) => item.name.kind === kind)!

let intel: readonly CollateralItem[]
let amd: readonly CollateralItem[]
beforeAll(async () => {
  intel = (await intelDocuments()).items
  amd = (await amdDocuments()).items
})

describe('genuine documents', () => {
  test("of Intel's kind, each with its time, its edition and its floor", async () => {
    const found = await Promise.all(intel.map((item) => verifyItem(item, beside(intel))))
    expect(found.map(({ label, platform, edition }) => [label, platform, edition])).toEqual([
      ['intel/root-crl', 'simulated', null],
      ['intel/pck-crl/platform', 'simulated', null],
      ['intel/tdx/tcb-info/90c06f000000', 'simulated', 18n],
      ['intel/tdx/qe-identity', 'simulated', 18n],
      ['intel/sgx/tcb-info/90c06f000000', 'simulated', 18n],
      ['intel/sgx/qe-identity', 'simulated', 18n],
    ])
    for (const { issuedAt, validUntil, root } of found) {
      expect([issuedAt, validUntil, root]).toEqual([testTime - day, testTime + 30 * day, dcapRootDigest])
    }
    expect(found[0]!.floor).toEqual({ kind: 'crl', issuer: dcapRootDigest, issuedAtMin: testTime - day })
    expect(found[2]!.floor).toEqual({
      kind: 'tcb-info',
      fmspc: '90c06f000000',
      root: dcapRootDigest,
      tee: 'tdx',
      editionMin: 18,
      issuedAtMin: testTime - day,
    })
  })

  test.each(['Milan', 'Genoa', 'Turin'] as const)("of AMD's kind for %s", async (product) => {
    const { items } = await amdDocuments({ product })
    const found = await Promise.all(items.map((item) => verifyItem(item, beside(items))))
    expect(found.map(({ label }) => label.split('/').slice(0, 4).join('/').slice(0, 22))).toEqual([
      `amd/${product.toLowerCase()}/vcek/ask`,
      `amd/${product.toLowerCase()}/vcek/crl`,
      `amd/${product.toLowerCase()}/vcek/5a5a5a5a`.slice(0, 22),
    ])
    expect(found[1]!.floor).toEqual({ kind: 'amd-crl', list: 'vcek', issuer: amdRoot, issuedAtMin: testTime - day })
    expect([found[0]!.floor, found[2]!.floor]).toEqual([null, null])
  })
})

test("of NVIDIA's kind", async () => {
  const { label, platform, floor, root } = await verifyItem(await rimDocument(), beside([]))
  const seen = { kind: 'nvidia-rim', id: testRimId, root: rimRootDigest, issuedAtMin: expect.any(Number) }
  expect([label, platform, floor, root]).toEqual([`nvidia/rim/${testRimId}`, 'simulated', seen, rimRootDigest])
})

test.each([
  ['ocspDeviceL2', gpuRootDigest, 1],
  ['ocspDeviceL3', gpuRootDigest, 2],
  ['ocspDeviceL4', gpuRootDigest, 3],
  ['ocspRimL2', rimRootDigest, 1],
  ['ocspRimL3', rimRootDigest, 2],
  ['ocspRimL4', rimRootDigest, 3],
])('an answer on %s stands under its root, for as long as it is current', async (role, root, above) => {
  const item = await answerDocument(role)
  const found = await verifyItem(item, beside([]))
  expect(item.chain.length).toBe(above)
  expect(found).toMatchObject({
    label: formatName(item.name),
    platform: 'simulated',
    root,
    revoked: false,
    floor: null,
    edition: null,
    issuedAt: testTime - 3600,
    validUntil: testTime + 20 * 3600,
  })
})

test('an answer that revokes is as genuine as one that does not, and is a floor', async () => {
  const item = await answerDocument('ocspDeviceL4', { status: { reason: 1 } })
  const { kind: _, ...subject } = item.name as OcspName
  expect(await verifyItem(item, beside([]))).toMatchObject({
    revoked: true,
    floor: { kind: 'nvidia-revoked', ...subject, issuedAtMin: testTime - 3600 },
    validUntil: testTime + 20 * 3600,
  })
})

test('an answer that revokes, of a clock that is ahead, is a floor from now on', async () => {
  const item = await answerDocument('ocspDeviceL4', { status: { reason: 1 }, thisUpdate: testTime + 30 })
  const { issuedAt, floor } = await verifyItem(item, beside([]))
  expect([issuedAt, floor?.issuedAtMin]).toEqual([testTime + 30, testTime])
})

test('an answer counts no longer than the certificate of its responder', async () => {
  const item = await answerDocument('ocspDeviceL4', { responder: { notAfter: testTime + 60 } })
  expect((await verifyItem(item, beside([]))).validUntil).toBe(testTime + 60)
})

type Case = readonly [
  code: string,
  what: string,
  item: () => Promise<CollateralItem> | CollateralItem,
  context?: () => Promise<VerifyContext> | VerifyContext,
]
const minted = async (broken: Parameters<typeof intelDocuments>[0], kind: CollateralItem['name']['kind']) =>
  named((await intelDocuments(broken)).items, kind)
const mintedAmd = async (broken: Parameters<typeof amdDocuments>[0], kind: CollateralItem['name']['kind']) =>
  named((await amdDocuments(broken)).items, kind)
const answer = (change: OcspChange) => () => answerDocument('ocspDeviceL4', change)
const cases: readonly Case[] = [
  [
    'gpu/unknown-root',
    'an answer under a root that nobody named',
    answer({}),
    () => beside([], { simulatedRoots: [rimRootDigest] }),
  ],
  ['ocsp/unknown', 'an answer that the certificate is not known', answer({ status: 'unknown' })],
  ['ocsp/expired', 'an answer that is over', answer({ nextUpdate: testTime - 1 })],
  ['ocsp/not-yet-valid', 'an answer of tomorrow', answer({ thisUpdate: testTime + day })],
  ['ocsp/no-next-update', 'an answer that is never over', answer({ nextUpdate: null })],
  ['ocsp/signature', 'an answer that its responder did not sign', answer({ signedBy: gpuKeys.other })],
  [
    'ocsp/signature',
    'an answer that revokes, which its responder did not sign',
    answer({ signedBy: gpuKeys.other, status: { reason: 1 } }),
  ],
  [
    'ocsp/responder',
    'an answer of a responder that another authority appointed',
    answer({ appointedBy: gpuKeys.other }),
  ],
  ['ocsp/responder', 'an answer of a responder that is over', answer({ responder: { notAfter: testTime - 1 } })],
  ['ocsp/not-successful', 'an answer that asks to try later', answer({ responseStatus: 3 })],
  ['ocsp/form', 'an answer with a byte behind it', answer({ bytes: trailing })],
  ['collateral/mismatch', 'an answer on another certificate of the issuer', answer({ serial: 99 })],
  [
    'collateral/mismatch',
    'an answer on a certificate of another issuer',
    async () => ({ ...(await answerDocument('ocspDeviceL4')), chain: (await answerDocument('ocspDeviceL3')).chain }),
  ],
  [
    'collateral/mismatch',
    'an answer under the name of another',
    async () => ({ ...(await answerDocument('ocspDeviceL4')), name: (await answerDocument('ocspDeviceL3')).name }),
  ],
  [
    'collateral/mismatch',
    'an answer without the certificates above the one that it is about',
    async () => ({ ...(await answerDocument('ocspDeviceL4')), chain: [] }),
  ],
  [
    'chain/issuer-name',
    'an answer above which a certificate is missing',
    async () => {
      const item = await answerDocument('ocspDeviceL4')
      return { ...item, chain: [item.chain[0]!, item.chain[2]!] }
    },
  ],
  [
    'gpu/certificate',
    'an answer on what the certificate of a firmware, which is no authority, issued',
    async () => {
      const [firmware, ...more] = (await mintGpuEvidence(single())).devices[0]!.chain.map((text) => fromBase64(text))
      return { ...(await answerDocument('ocspDeviceL4')), chain: [firmware!, more[0]!, more.at(-1)!] }
    },
  ],
  [
    'chain/expired',
    'an answer below a root that is over',
    answer({ thisUpdate: testTime + 1500 * day, nextUpdate: testTime + 3000 * day }),
    () => beside([], { at: testTime + 2000 * day }),
  ],
  [
    'collateral/size',
    'an answer that is larger than an envelope takes',
    async () => ({ ...(await answerDocument('ocspDeviceL4')), body: new Uint8Array(bodySizeMax['nvidia-ocsp'] + 1) }),
  ],
  [
    'gpu/unknown-root',
    'a RIM under a root that nobody named',
    () => rimDocument(),
    () => beside([], { simulatedRoots: [] }),
  ],
  ['collateral/mismatch', 'a RIM of another version', () => rimDocument({ version: '550.90.08' })],
  [
    'gpu/rim-digest',
    'a RIM that was changed',
    () => rimDocument({ afterSigning: (text) => text.replace('GH100', 'GH101') }),
  ],
  [
    'collateral/mismatch',
    'a RIM with certificates beside it',
    async () => ({ ...(await rimDocument()), chain: [new Uint8Array(1)] }),
  ],
  [
    'dcap/unknown-root',
    'a root that nobody named',
    () => named(intel, 'intel-tcb-info'),
    () => beside(intel, { simulatedRoots: [] }),
  ],
  [
    'snp/unknown-root',
    'a root of AMD that nobody named',
    () => named(amd, 'amd-crl'),
    () => beside(amd, { simulatedRoots: [] }),
  ],
  [
    'crl/revoked',
    'a CRL of the root that takes the root itself back',
    () => minted({ rootCrl: { revoked: [dcapSerials.root] } }, 'intel-root-crl'),
  ],
  ['collateral/root-crl-missing', 'no CRL of the root', () => named(intel, 'intel-tcb-info'), () => beside([])],
  [
    'crl/signature',
    'a CRL of somebody else',
    async () => ({ ...named(intel, 'intel-root-crl'), body: flipLast(named(intel, 'intel-root-crl').body) }),
  ],
  [
    'dcap/collateral-signature',
    'TCB info of another signer',
    () => minted({ documentSigner: dcapKeys.other }, 'intel-tcb-info'),
  ],
  [
    'dcap/collateral-not-yet-valid',
    'TCB info of tomorrow',
    () => minted({ tcbInfo: (info) => void (info.issueDate = formatTime(testTime + day)) }, 'intel-tcb-info'),
  ],
  ['crl/not-yet-valid', 'a CRL of tomorrow', () => minted({ rootCrl: { thisUpdate: testTime + 1 } }, 'intel-root-crl')],
  ['crl/expired', 'a CRL of last month', () => minted({ rootCrl: { nextUpdate: testTime - 1 } }, 'intel-root-crl')],
  [
    'collateral/mismatch',
    'TCB info of another family',
    () => minted({ tcbInfo: (info) => void (info.fmspc = '00806F050000') }, 'intel-tcb-info'),
  ],
  [
    'dcap/collateral-kind',
    'TCB info of the other TEE',
    () => ({ ...named(intel, 'intel-tcb-info'), name: { kind: 'intel-tcb-info', tee: 'sgx', fmspc: '90c06f000000' } }),
  ],
  [
    'collateral/mismatch',
    'the list of the other PCK authority',
    () => ({ ...named(intel, 'intel-pck-crl'), name: { kind: 'intel-pck-crl', ca: 'processor' } }),
  ],
  [
    'dcap/certificate-name',
    'a document that a PCK authority signed',
    async () => ({ ...named(intel, 'intel-tcb-info'), chain: named(intel, 'intel-pck-crl').chain }),
  ],
  [
    'dcap/certificate-name',
    'a root of another name',
    () =>
      minted(
        { root: { subject: 'Intel SGX Root', issuer: 'Intel SGX Root' }, rootCrl: { issuer: 'Intel SGX Root' } },
        'intel-root-crl',
      ),
  ],
  [
    'dcap/certificate-name',
    'a PCK authority on another curve',
    () => minted({ ca: { spki: ccaKeys.platform.spki } }, 'intel-pck-crl'),
  ],
  [
    'collateral/mismatch',
    'a root that signs as no root of AMD does, under AMD’s name for its list',
    () => ({ ...named(intel, 'intel-root-crl'), name: { kind: 'amd-crl', product: 'Genoa', key: 'vcek' } }),
  ],
  [
    'crl/revoked',
    'a TCB signer that the root took back',
    () => named(intel, 'intel-tcb-info'),
    async () => beside((await intelDocuments({ rootCrl: { revoked: [dcapSerials.signer] } })).items),
  ],
  [
    'crl/revoked',
    'an ASK that the root took back',
    () => named(amd, 'amd-ask'),
    async () => beside((await amdDocuments({ crl: { revoked: [0x20002] } })).items),
  ],
  [
    'crl/revoked',
    'the VCEK under an ASK that the root took back',
    () => named(amd, 'amd-vcek'),
    async () => beside((await amdDocuments({ crl: { revoked: [0x20002] } })).items),
  ],
  [
    'crl/revoked',
    'a list of AMD’s root that takes the root itself back',
    () => mintedAmd({ crl: { revoked: [0x20000] } }, 'amd-crl'),
  ],
  [
    'crl/signature',
    'a list of AMD’s root by another key',
    () => mintedAmd({ crlSigner: throwawayKeys.ask }, 'amd-crl'),
  ],
  [
    'crl/not-yet-valid',
    'a list of AMD’s of tomorrow',
    () => mintedAmd({ crl: { thisUpdate: testTime + 1 } }, 'amd-crl'),
  ],
  ['crl/expired', 'a list of AMD’s that is over', () => mintedAmd({ crl: { nextUpdate: testTime - 1 } }, 'amd-crl')],
  [
    'collateral/mismatch',
    'a certificate too many',
    () => ({ ...named(amd, 'amd-crl'), chain: [...named(amd, 'amd-crl').chain, ...named(amd, 'amd-crl').chain] }),
  ],
  [
    'collateral/mismatch',
    'the VCEK of another chip',
    () => ({ ...named(amd, 'amd-vcek'), name: { ...vcek(), hwId: '5b'.repeat(64) } }),
  ],
  [
    'collateral/mismatch',
    'the VCEK of another TCB',
    () => ({ ...named(amd, 'amd-vcek'), name: { ...vcek(), tcb: { ...vcek().tcb, microcode: 1 } } }),
  ],
  [
    'collateral/mismatch',
    'an authority of VLEKs for one of VCEKs',
    () => ({ ...named(amd, 'amd-ask'), name: { kind: 'amd-ask', product: 'Genoa', key: 'vlek' } }),
  ],
  [
    'collateral/size',
    'more than an envelope takes',
    () => ({ ...named(amd, 'amd-crl'), body: new Uint8Array(bodySizeMax['amd-crl'] + 1) }),
  ],
  [
    'collateral/size',
    'a long chain',
    () => ({ ...named(amd, 'amd-crl'), chain: Array(4).fill(named(amd, 'amd-crl').chain[0]) }),
  ],
  [
    'chain/expired',
    'a root that is over',
    () => named(amd, 'amd-crl'),
    () => beside(amd, { at: testTime + 2000 * day }),
  ],
]
const vcek = () => named(amd, 'amd-vcek').name as Extract<CollateralName, { readonly kind: 'amd-vcek' }>
const flipLast = (bytes: Uint8Array) => bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte))

for (const [code, what, item, context] of cases) {
  test(`refuses with ${code}: ${what}`, async () => {
    const one = await item()
    expect(await codeOfPromise(verifyItem(one, (await context?.()) ?? beside([...intel, ...amd])))).toBe(code)
  })
}

test('no changed byte is believed, and nothing but a Failure is thrown', async () => {
  const all = [...intel, ...amd, await answerDocument(), await answerDocument('ocspRimL4', { status: { reason: 1 } })]
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...all),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      async (item, at, change, inChain) => {
        const target = inChain ? item.chain[0]! : item.body
        const altered = target.map((byte, i) => (i === at % target.length ? byte ^ change : byte))
        const one = inChain ? { ...item, chain: [altered, ...item.chain.slice(1)] } : { ...item, body: altered }
        try {
          const { floor, issuedAt, validUntil } = await verifyItem(one, beside(all))
          // White space around what is signed may change; what it says may not.
          const good = await verifyItem(item, beside(all))
          expect({ floor, issuedAt, validUntil }).toEqual({
            floor: good.floor,
            issuedAt: good.issuedAt,
            validUntil: good.validUntil,
          })
          expect(inChain).toBe(false)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      },
    ),
    { numRuns: 300 },
  )
})

test.each([
  ['intel-tcb-info', [17n, 20], [18n, 10], true],
  ['intel-tcb-info', [19n, 1], [18n, 10], false],
  ['intel-tcb-info', [18n, 9], [18n, 10], true],
  ['intel-tcb-info', [18n, 10], [18n, 10], false],
  ['intel-root-crl', [null, 9], [null, 10], true],
  ['intel-root-crl', [null, 11], [null, 10], false],
  ['amd-crl', [4n, 11], [5n, 10], true],
  ['amd-crl', [6n, 9], [5n, 10], true],
  ['amd-crl', [null, 11], [5n, 10], true],
  ['amd-crl', [1n, 11], [null, 10], false],
  ['amd-vcek', [null, 9], [null, 10], false],
  ['nvidia-ocsp', [null, 9], [null, 10], true],
  ['nvidia-ocsp', [null, 10], [null, 10], false],
  ['nvidia-ocsp', [null, 11], [null, 10], false],
] as const)('%s %s after %s: older is %s', (kind, [edition, issuedAt], [otherEdition, otherAt], expected) => {
  const of = { revoked: false }
  const other = { ...of, edition: otherEdition, issuedAt: otherAt }
  expect(isOlder(kind, { ...of, edition, issuedAt }, other)).toBe(expected)
})

test.each([
  [9, true, 10, false, true],
  [10, true, 10, false, false],
  [10, false, 10, true, true],
  [10, true, 10, true, false],
  [11, false, 10, true, false],
])(
  'an answer of %s (revoked: %s) after one of %s (revoked: %s): older is %s',
  (issuedAt, revoked, otherAt, other, expected) => {
    const edition = null
    expect(isOlder('nvidia-ocsp', { edition, issuedAt, revoked }, { edition, issuedAt: otherAt, revoked: other })).toBe(
      expected,
    )
  },
)
