import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type {
  ReferenceValues,
  SnpReferenceValues,
  TdxReferenceValues,
  VtpmReferenceValues,
} from '#core/wire/reference-values.js'
import { azureReportData, mintAzureEvidence } from './azure.js'
import { type AzureCase, azureCases } from './azure-cases.js'
import { dcapRootDigest, mintDcap } from './dcap.js'
import { testTdxValues } from './dcap-vectors.js'
import { testReferenceValues, testRootDigest, testTime } from './platform.js'

/** Reference values that a good minted virtual machine meets. */
export function testAzureValues(
  overrides: Partial<VtpmReferenceValues> = {},
  hardware: AzureCase['hardware'] = {},
): ReferenceValues {
  const pcrs = Object.fromEntries([4, 7].map((i) => [String(i), [toHex(new Uint8Array(32).fill(i + 1))]]))
  const vtpm = { pcrs, requireSecureBoot: true, allowConsole: false, ...overrides } as VtpmReferenceValues
  const { snp } = testReferenceValues(hardware as Partial<SnpReferenceValues>)
  const { tdx } = testTdxValues(hardware as Partial<TdxReferenceValues>)
  return { 'azure-snp': { ...vtpm, snp: snp! }, 'azure-tdx': { ...vtpm, tdx: tdx! } }
}

const names: Readonly<Record<string, string>> = {
  hclReport: 'hcl-report.bin',
  tpmQuoteMessage: 'tpm-quote.msg',
  tpmQuoteSignature: 'tpm-quote.sig',
  pcrs: 'pcrs-sha256.json',
  vcek: 'vcek.pem',
  vlek: 'vlek.pem',
  certChain: 'ask-ark.pem',
  crl: 'root.crl',
  tdQuote: 'td-quote.bin',
  tcbInfo: 'tcb-info.json',
  qeIdentity: 'qe-identity.json',
  tcbSigningChain: 'tcb-signing-chain.pem',
  pckCrl: 'pck.crl',
  rootCaCrl: 'root-ca.crl',
  referenceValues: 'reference-values.json',
}

const pem = (...certificates: readonly Uint8Array[]) =>
  utf8(certificates.map((der) => encodePem(der, 'CERTIFICATE')).join(''))

/** Of the hardware beneath where a case has values of it, else of both kinds, so that cases share the file. */
function valuesOf({ values, hardware, broken }: AzureCase): ReferenceValues {
  if (values === null) return {}
  const both = testAzureValues(values, hardware)
  if (!hardware || Object.keys(hardware).length === 0) return both
  const kind = `azure-${broken.hardware ?? 'snp'}` as const
  return { [kind]: both[kind] }
}

/** The files of one minted case, as in a published one; values of PCRs by index. */
async function filesOf(one: AzureCase): Promise<ReadonlyMap<string, Uint8Array>> {
  const evidence = await mintAzureEvidence(one.broken)
  const pcrs = Object.entries(evidence.pcrs).map(([index, value]) => [index, toHex(fromBase64(value))])
  const files = new Map<string, Uint8Array>([
    ['hclReport', fromBase64(evidence.hclReport)],
    ['tpmQuoteMessage', fromBase64(evidence.tpmQuote)],
    ['tpmQuoteSignature', fromBase64(evidence.tpmSignature)],
    ['pcrs', canonicalJson(Object.fromEntries(pcrs))],
    ['referenceValues', canonicalJson(valuesOf(one))],
  ])
  if (evidence.kind === 'azure-snp') {
    files.set(one.broken.snp?.cspId === undefined ? 'vcek' : 'vlek', pem(fromBase64(evidence.vek)))
    files.set('certChain', pem(fromBase64(evidence.ask), fromBase64(evidence.ark)))
    if (evidence.crl !== null) files.set('crl', fromBase64(evidence.crl))
    return files
  }
  const { tcbInfo, qeIdentity, tcbInfoSigner, pckCrl, rootCrl } = evidence.collateral
  const { root } = await mintDcap(one.broken.tdx)
  files.set('tdQuote', fromBase64(evidence.quote))
  files.set('tcbInfo', fromBase64(tcbInfo))
  files.set('qeIdentity', fromBase64(qeIdentity))
  files.set('tcbSigningChain', pem(fromBase64(tcbInfoSigner), root))
  files.set('pckCrl', fromBase64(pckCrl))
  files.set('rootCaCrl', fromBase64(rootCrl))
  return files
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintAzureVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of azureCases) {
    const files: Record<string, string> = {}
    for (const [role, bytes] of await filesOf(one)) {
      const digest = `${role} ${toHex(sha256(bytes))}`
      const path = known.get(digest) ?? `${one.name}/${names[role]}`
      known.set(digest, path)
      out.set(path, bytes)
      files[role] = path.startsWith(`${one.name}/`) ? names[role]! : `../${path}`
    }
    out.set(`${one.name}/case.json`, utf8(`${JSON.stringify(caseJson(one, files), null, 2)}\n`))
  }
  return out
}

function caseJson(one: AzureCase, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'azure-vtpm',
    product: one.broken.hardware === 'tdx' ? 'TDX' : 'Genoa',
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/azure-vectors.ts with the keys of test/fakes/azure-keys.json',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(azureReportData),
    ...(one.nonce === undefined ? {} : { nonce: toHex(one.nonce) }),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    simulatedRoots: one.unknownRoot ? [] : [testRootDigest, dcapRootDigest],
    tenantClass: one.tenantClass ?? 'development',
  }
}
