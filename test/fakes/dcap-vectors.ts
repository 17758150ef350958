import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { ReferenceValues, SgxReferenceValues, TdxReferenceValues } from '#core/wire/reference-values.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { dcapReportData, dcapRootDigest, mintDcap } from './dcap.js'
import { type DcapCase, sgxCases, tdxCases } from './dcap-cases.js'
import { testTime } from './platform.js'

/** Reference values that a good minted TD meets. */
export function testTdxValues(overrides: Partial<TdxReferenceValues> = {}): ReferenceValues {
  const tdx = {
    tcbEvaluationDataNumberMin: 18,
    mrTds: ['ab'.repeat(48)],
    requireSeptVeDisable: true,
    allowMigration: false,
    allowPerfmon: false,
    eventLog: 'when-given',
    ...overrides,
  }
  return { tdx: tdx as TdxReferenceValues }
}

/** Reference values that a good minted enclave meets. */
export function testSgxValues(overrides: Partial<SgxReferenceValues> = {}): ReferenceValues {
  const sgx = { tcbEvaluationDataNumberMin: 18, mrEnclaves: ['ab'.repeat(32)], ...overrides }
  return { sgx: sgx as SgxReferenceValues }
}

const names: Readonly<Record<string, string>> = {
  quote: 'quote.bin',
  tcbInfo: 'tcb-info.json',
  qeIdentity: 'qe-identity.json',
  tcbSigningChain: 'tcb-signing-chain.pem',
  pckCrl: 'pck.crl',
  rootCaCrl: 'root.crl',
  eventLog: 'event-log.bin',
  referenceValues: 'reference-values.json',
}

async function filesOf(kind: 'tdx' | 'sgx', one: DcapCase): Promise<ReadonlyMap<string, Uint8Array>> {
  const parts = await mintDcap(one.broken)
  const overrides = one.values ?? {}
  const values = kind === 'tdx' ? testTdxValues(overrides) : testSgxValues(overrides)
  const files = new Map<string, Uint8Array>([
    ['quote', parts.quote],
    ['tcbInfo', parts.tcbInfo],
    ['qeIdentity', parts.qeIdentity],
    ['tcbSigningChain', utf8([parts.signer, parts.root].map((one) => encodePem(one, 'CERTIFICATE')).join(''))],
    ['pckCrl', parts.pckCrl],
    ['rootCaCrl', parts.rootCrl],
    ['referenceValues', canonicalJson(one.values === null ? {} : values)],
  ])
  if (parts.eventLog) files.set('eventLog', parts.eventLog)
  return files
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintDcapVectors(kind: 'tdx' | 'sgx'): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of kind === 'tdx' ? tdxCases : sgxCases) {
    const files: Record<string, string> = {}
    for (const [role, bytes] of await filesOf(kind, one)) {
      const digest = `${role} ${toHex(sha256(bytes))}`
      const path = known.get(digest) ?? `${one.name}/${names[role]}`
      known.set(digest, path)
      out.set(path, bytes)
      files[role] = path.startsWith(`${one.name}/`) ? names[role]! : `../${path}`
    }
    out.set(`${one.name}/case.json`, utf8(`${JSON.stringify(caseJson(kind, one, files), null, 2)}\n`))
  }
  return out
}

function caseJson(kind: 'tdx' | 'sgx', one: DcapCase, files: Readonly<Record<string, string>>): unknown {
  const crlFloor: readonly CollateralFloor[] =
    one.floorAt === undefined ? [] : [{ kind: 'crl', issuer: dcapRootDigest, issuedAtMin: one.floorAt }]
  const collateralFloors = [...crlFloor, ...(one.floors ?? [])]
  return {
    tee: kind,
    product: kind === 'tdx' ? 'TDX' : 'SGX',
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/dcap-vectors.ts with the keys of test/fakes/dcap-keys.json',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(one.reportData ?? dcapReportData),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    simulatedRoots: one.unknownRoot ? [] : [dcapRootDigest],
    ...(collateralFloors.length === 0 ? {} : { collateralFloors }),
    tenantClass: one.tenantClass ?? 'development',
  }
}
