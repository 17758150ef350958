import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import { testReferenceValues, testTime } from './platform.js'
import { mintEvidence, mintedReportData } from './snp.js'
import { anchorsOf, type SnpCase, snpCases } from './snp-cases.js'

/** The files of one minted case, as in a published one. */
async function filesOf(one: SnpCase): Promise<ReadonlyMap<string, Uint8Array>> {
  const evidence = await mintEvidence(one.broken)
  const pem = (...certificates: readonly string[]) =>
    utf8(certificates.map((text) => encodePem(fromBase64(text), 'CERTIFICATE')).join(''))
  const files = new Map<string, Uint8Array>([
    ['report', fromBase64(evidence.report)],
    [one.broken.cspId === undefined ? 'vcek' : 'vlek', pem(evidence.vek)],
    ['certChain', pem(evidence.ask, evidence.ark)],
    ['referenceValues', canonicalJson(one.values === null ? {} : testReferenceValues(one.values))],
  ])
  if (evidence.crl !== null) files.set('crl', fromBase64(evidence.crl))
  return files
}

const names: Readonly<Record<string, string>> = {
  report: 'report.bin',
  vcek: 'vcek.pem',
  vlek: 'vlek.pem',
  certChain: 'ask-ark.pem',
  crl: 'root.crl',
  referenceValues: 'reference-values.json',
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of snpCases) {
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

function caseJson(one: SnpCase, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'sev-snp',
    product: one.broken.product ?? 'Genoa',
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/snp-vectors.ts with the keys of test/fakes/throwaway-keys.json',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(one.reportData ?? mintedReportData),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    ...anchorsOf(one),
    tenantClass: one.tenantClass ?? 'development',
  }
}
