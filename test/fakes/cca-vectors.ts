import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { CcaReferenceValues, ReferenceValues } from '#core/wire/reference-values.js'
import { ccaComponents, ccaKeyDigests, ccaReportData, mintCca } from './cca.js'
import { type CcaCase, ccaCases } from './cca-cases.js'
import { testTime } from './platform.js'

/** Reference values that a good minted realm meets. */
export function testCcaValues(overrides: Partial<CcaReferenceValues> = {}): ReferenceValues {
  const hex = (value: number) => toHex(new Uint8Array(32).fill(value))
  const components = ccaComponents.map(([type, measurement, signer]) => ({
    type,
    measurement: hex(measurement),
    signerId: hex(signer),
  }))
  const platforms = [{ implementationId: hex(0x11), components }]
  return { cca: { initialMeasurements: [hex(0xab)], platforms, ...overrides } as CcaReferenceValues }
}

const names: Readonly<Record<string, string>> = {
  token: 'token.cbor',
  platformKey: 'cpak-pub.pem',
  referenceValues: 'reference-values.json',
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintCcaVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of ccaCases) {
    const { token, platformKey } = await mintCca(one.broken)
    const parts = {
      token,
      platformKey: utf8(encodePem(platformKey, 'PUBLIC KEY')),
      referenceValues: canonicalJson(one.values === null ? {} : testCcaValues(one.values)),
    }
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

function caseJson(one: CcaCase, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'arm-cca',
    product: 'Arm CCA',
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/cca-vectors.ts with the keys of test/fakes/cca-keys.json',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(one.reportData ?? ccaReportData),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    simulatedRoots: one.unknownKey ? [] : ccaKeyDigests,
    tenantClass: one.tenantClass ?? 'development',
  }
}
