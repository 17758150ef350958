import { type NitroDocument, parseDocument } from '#attest/nitro/parse.js'
import type { CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'
import { machineEvidenceShape } from '#core/wire/evidence.js'

/** Runs one Nitro case as the service would: envelope, verification, appraisal. */
export const judgeNitro = (input: CaseInput): Promise<Judgement> =>
  judge(input, () => machineEvidenceShape({ kind: 'nitro', document: toBase64(roleOf(input, 'document')) }, 'evidence'))

/**
 * What the case decoded otherwise than the parser, of a document whose signature is bad too. Published documents bind
 * user data and nonces of many lengths; the appraisal compares those of 64 bytes, and here all are compared.
 */
export function nitroDifferences(expected: unknown, input: CaseInput): readonly string[] {
  const wanted = expected as { readonly [name: string]: unknown }
  let document: NitroDocument
  try {
    document = parseDocument(roleOf(input, 'document'))
  } catch (error) {
    if (!isFailure(error)) throw error
    return [`cannot be compared: ${error.message}`]
  }
  const hex = (bytes: Uint8Array | null) => bytes && toHex(bytes)
  const found: Readonly<Record<string, unknown>> = {
    moduleId: document.moduleId,
    timestampMs: document.timestampMs,
    publicKey: hex(document.publicKey),
    userData: hex(document.userData),
    nonce: hex(document.nonce),
    cabundleLength: document.bundle.length,
    rootSha256: toHex(sha256(document.bundle[0]!)),
  }
  const pcrs = (wanted.pcrs ?? {}) as { readonly [index: string]: unknown }
  return [
    ...Object.entries(found).map(([name, value]) => [name, value, wanted[name]] as const),
    ...Object.entries(pcrs).map(([i, pcr]) => [`PCR${i}`, hex(document.pcrs.get(Number(i)) ?? null), pcr] as const),
  ]
    .filter(([, value, want]) => want !== undefined && value !== want)
    .map(([name, value, want]) => `${name} is ${value}, expected ${want}`)
}
