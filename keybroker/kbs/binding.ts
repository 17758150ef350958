import { concat, utf8 } from '#core/bytes/bytes.js'
import { sha256, sha384 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { TeeKey } from '#keybroker/kbs/tee-key.js'

export interface RuntimeData {
  /** the session's nonce, as text */
  readonly nonce: string
  readonly teeKey: TeeKey
  /** as it came, "" for none */
  readonly additionalEvidence: string
}

/**
 * What the primary evidence has to carry: SHA-384 over the canonical JSON of nonce, key and device evidence, 48 bytes.
 * The member for device evidence is there when there is none.
 *
 * source  trustee attestation-service/src/lib.rs and guest-components kbs_protocol/src/client/rcar_client.rs; RFC 8785
 */
export function runtimeDataDigest(data: RuntimeData): Uint8Array {
  return sha384(
    canonicalJson({
      'additional-evidence': data.additionalEvidence,
      nonce: data.nonce,
      'tee-pubkey': data.teeKey,
    }),
  )
}

/** The 64 bytes of report data of an SEV-SNP report: the digest and 16 zero bytes, compared whole. */
export function snpReportData(data: RuntimeData): Uint8Array {
  return concat(runtimeDataDigest(data), new Uint8Array(16))
}

// A line of the document's head; what stands below the first table is not the document's own.
const algorithmLine = /^[ \t]*algorithm[ \t]*=[ \t]*(?:"([a-z0-9-]+)"|'([a-z0-9-]+)')[ \t]*(?:#[^\n]*)?$/gm

/**
 * What HOST_DATA of an SEV-SNP report has to be for this init-data: SHA-256 over its text, 32 bytes.
 *
 * Other servers cut longer digests to 32 bytes; here they are refused, since a binding value is compared whole.
 * throws  kbs/init-data
 * source  guest-components attestation-agent/docs/initdata.md
 */
export function snpHostData(initData: string): Uint8Array {
  const head = initData.split(/^[ \t]*\[/m, 1)[0]!
  const found = [...head.matchAll(algorithmLine)].map((one) => one[1] ?? one[2])
  if (found.length !== 1) throw new Failure<KbsCode>('kbs/init-data', 'init-data does not name one algorithm')
  if (found[0] !== 'sha256' && found[0] !== 'sha-256') {
    const message = `init-data names ${found[0]}, only sha256 fits an SEV-SNP report whole`
    throw new Failure<KbsCode>('kbs/init-data', message)
  }
  return sha256(utf8(initData))
}
