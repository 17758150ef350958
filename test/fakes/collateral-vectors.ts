import { encodeBundle } from '#attest/endorsements/bundle.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { formatName } from '#attest/endorsements/names.js'
import { fromBase64, fromUtf8, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { dcapKeys, dcapRootDigest, dcapSerials } from './dcap.js'
import { gpuKeys, gpuRootDigest, mintGpuEvidence, single } from './gpu.js'
import { rimRootDigest } from './gpu-rim.js'
import type { OcspChange } from './ocsp.js'
import { testTime, throwawayKeys } from './platform.js'
import { answerDocument } from './responder.js'
import { amdDocuments, intelDocuments, rimDocument } from './vendors.js'

/** What a reader of a bundle must find: `expect` for the bundle, and for each of its documents `ok` or a failure code. */
export interface CollateralVector {
  readonly name: string
  readonly bundle: string
  readonly at: number
  readonly simulatedRoots: readonly string[]
  readonly expect: string
  readonly documents: Readonly<Record<string, string>>
}

const amdRoot = toHex(sha256(throwawayKeys.ark.spki))
const simulatedRoots = [dcapRootDigest, amdRoot, rimRootDigest, gpuRootDigest]
const ok = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, 'ok']))
const intelNames = ['intel/root-crl', 'intel/pck-crl/platform', 'intel/tdx/qe-identity', 'intel/sgx/qe-identity']
const tcbInfos = ['intel/tdx/tcb-info/90c06f000000', 'intel/sgx/tcb-info/90c06f000000']

/** Minted anew each time, with random signatures: the files in test/vectors/collateral were made by it once. */
export async function mintCollateralVectors(): Promise<readonly CollateralVector[]> {
  const firmware = fromBase64((await mintGpuEvidence(single())).devices[0]!.chain[0]!)
  const { items: intel } = await intelDocuments()
  const { items: amd } = await amdDocuments()
  const common = { at: testTime, simulatedRoots, expect: 'ok' }
  const text = (items: Parameters<typeof encodeBundle>[0]) => fromUtf8(encodeBundle(items))
  const intelText = text(intel)
  const vcek = `amd/genoa/vcek/${'5a'.repeat(64)}/`
  const vcekLabel = intelText && text(amd).match(new RegExp(`${vcek}[0-9.]+`))![0]
  const broken = (name: string, expect: string, bundle: string) => ({ ...common, name, bundle, expect, documents: {} })
  const forged = await intelDocuments({ documentSigner: dcapKeys.other })
  const revoked = await intelDocuments({ rootCrl: { revoked: [dcapSerials.signer] } })
  const signed = (code: string) => Object.fromEntries([...intelNames.slice(2), ...tcbInfos].map((name) => [name, code]))
  const answers = [await answerDocument('ocspDeviceL4'), await answerDocument('ocspRimL4')]
  const revoking = await answerDocument('ocspDeviceL4', { status: { reason: 1 } })
  const [one, other] = answers as [CollateralItem, CollateralItem]
  const answer = (change: OcspChange) => answerDocument('ocspDeviceL4', change)
  const bad: Readonly<Record<string, readonly [string, CollateralItem]>> = {
    'answer-that-is-over': ['ocsp/expired', await answer({ nextUpdate: testTime - 1 })],
    'answer-of-tomorrow': ['ocsp/not-yet-valid', await answer({ thisUpdate: testTime + 86_400 })],
    'answer-that-does-not-know': ['ocsp/unknown', await answer({ status: 'unknown' })],
    'answer-of-another-signer': ['ocsp/signature', await answer({ signedBy: gpuKeys.other })],
    'revoking-answer-of-another-signer': [
      'ocsp/signature',
      await answer({ signedBy: gpuKeys.other, status: { reason: 1 } }),
    ],
    'answer-of-another-authority': ['ocsp/responder', await answer({ appointedBy: gpuKeys.other })],
    'answer-to-try-later': ['ocsp/not-successful', await answer({ responseStatus: 3 })],
    'answer-on-another-certificate': ['collateral/mismatch', { ...one, name: other.name }],
    'answer-without-what-stands-above': ['collateral/mismatch', { ...one, chain: [] }],
    'answer-below-what-is-no-authority': [
      'gpu/certificate',
      { ...one, chain: [firmware, ...one.chain.slice(0, 1), one.chain.at(-1)!] },
    ],
  }
  return [
    { ...common, name: 'intel', bundle: intelText, documents: ok(...intelNames, ...tcbInfos) },
    { ...common, name: 'amd', bundle: text(amd), documents: ok('amd/genoa/vcek/ask', 'amd/genoa/vcek/crl', vcekLabel) },
    {
      ...common,
      name: 'rim',
      bundle: text([await rimDocument()]),
      documents: ok('nvidia/rim/NV_GPU_DRIVER_GH100_550.90.07'),
    },
    {
      ...common,
      name: 'documents-of-another-signer',
      bundle: text(forged.items),
      documents: { ...ok(...intelNames.slice(0, 2)), ...signed('dcap/collateral-signature') },
    },
    {
      ...common,
      name: 'revoked-signer',
      bundle: text(revoked.items),
      documents: { ...ok(...intelNames.slice(0, 2)), ...signed('crl/revoked') },
    },
    {
      ...common,
      name: 'without-the-list-of-the-root',
      bundle: text(intel.filter(({ name }) => name.kind !== 'intel-root-crl')),
      documents: { 'intel/pck-crl/platform': 'collateral/root-crl-missing', ...signed('collateral/root-crl-missing') },
    },
    {
      ...common,
      name: 'renamed',
      bundle: intelText.replace('intel/tdx/tcb-info/90c06f000000', 'intel/tdx/tcb-info/00806f050000'),
      documents: { ...ok(...intelNames, tcbInfos[1]!), 'intel/tdx/tcb-info/00806f050000': 'collateral/mismatch' },
    },
    {
      ...common,
      name: 'nobodys-roots',
      simulatedRoots: [],
      bundle: text(amd.slice(0, 1)),
      documents: { 'amd/genoa/vcek/ask': 'snp/unknown-root' },
    },
    {
      ...common,
      name: 'answers',
      bundle: text(answers),
      documents: ok(...answers.map(({ name }) => formatName(name))),
    },
    {
      ...common,
      name: 'answer-that-revokes',
      bundle: text([revoking]),
      documents: ok(formatName(revoking.name)),
    },
    ...Object.entries(bad).map(([name, [expected, item]]) => ({
      ...common,
      name,
      bundle: text([item]),
      documents: { [formatName(item.name)]: expected },
    })),
    broken('another-format', 'collateral/bundle-form', text([]).replace('/1', '/2')),
    broken('twice', 'collateral/bundle-form', text([amd[0]!, amd[0]!])),
    broken('unknown-name', 'collateral/name', text(amd.slice(0, 1)).replace('vcek/ask', 'vcek/ark')),
    broken('too-large', 'collateral/size', text([{ ...amd[0]!, body: new Uint8Array(8193) }])),
  ]
}
