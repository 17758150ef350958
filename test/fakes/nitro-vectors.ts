import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { formatTime } from '#core/time.js'
import type { NitroReferenceValues, ReferenceValues } from '#core/wire/reference-values.js'
import { mintNitro, nitroReportData, nitroRootDigest } from './nitro.js'
import { type NitroCase, nitroCases } from './nitro-cases.js'
import { testTime } from './platform.js'

/** Reference values that a good minted enclave meets. */
export function testNitroValues(overrides: Partial<NitroReferenceValues> = {}): ReferenceValues {
  const images = [{ pcr0: 'a0'.repeat(48), pcr1: 'a1'.repeat(48), pcr2: 'a2'.repeat(48) }]
  return { nitro: { images, documentAgeSecondsMax: 300, ...overrides } as NitroReferenceValues }
}

const names: Readonly<Record<string, string>> = {
  document: 'document.cbor',
  referenceValues: 'reference-values.json',
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintNitroVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of nitroCases) {
    const values = one.values === null ? {} : testNitroValues(one.values)
    const parts = { document: await mintNitro(one.broken), referenceValues: canonicalJson(values) }
    const files: Record<string, string> = {}
    for (const [role, bytes] of Object.entries(parts)) {
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

function caseJson(one: NitroCase, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'nitro',
    product: 'AWS Nitro Enclaves',
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/nitro-vectors.ts with the keys of test/fakes/nitro-keys.json',
    files,
    validAt: formatTime(one.at ?? testTime),
    reportData: toHex(one.reportData ?? nitroReportData),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    simulatedRoots: one.unknownRoot ? [] : [nitroRootDigest],
    tenantClass: one.tenantClass ?? 'development',
  }
}
