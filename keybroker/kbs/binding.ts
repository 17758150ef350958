import { concat, utf8 } from '#core/bytes/bytes.js'
import { sha256, sha384, sha512 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { VerifiedTee } from '#keybroker/kbs/messages.js'
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

/** The 64 bytes of report data of every kind that has such: the digest and 16 zero bytes, compared whole. */
export function kbsReportData(data: RuntimeData): Uint8Array {
  return concat(runtimeDataDigest(data), new Uint8Array(16))
}

// A line of the document's head; what stands below the first table is not the document's own.
const algorithmLine = /^[ \t]*algorithm[ \t]*=[ \t]*(?:"([a-z0-9-]+)"|'([a-z0-9-]+)')[ \t]*(?:#[^\n]*)?$/gm
const hashes: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = { sha256, sha384, sha512 }

/**
 * Where a kind of TEE carries the digest of init-data: the size of the field that whoever starts the guest writes, or a PCR
 * that the guest extends from zero.
 */
const hostFields: Readonly<Record<VerifiedTee, number | 'pcr8'>> = {
  /** HOST_DATA */
  snp: 32,
  /** MRCONFIGID */
  tdx: 48,
  /** CONFIGID */
  sgx: 64,
  'az-snp-vtpm': 'pcr8',
  'az-tdx-vtpm': 'pcr8',
}

/**
 * What evidence has to carry for this init-data: the digest of its text by the algorithm that it names, and zeros up to the
 * size of the field.
 *
 * Other servers cut longer digests; here they are refused, since a binding value is compared whole.
 * throws  kbs/init-data
 * source  guest-components attestation-agent/docs/initdata.md
 */
export function initDataField(tee: VerifiedTee, initData: string): Uint8Array {
  const head = initData.split(/^[ \t]*\[/m, 1)[0]!
  const found = [...head.matchAll(algorithmLine)].map((one) => one[1] ?? one[2])
  if (found.length !== 1) throw new Failure<KbsCode>('kbs/init-data', 'init-data does not name one algorithm')
  const name = found[0]!.replace('-', '')
  const hash = Object.hasOwn(hashes, name) ? hashes[name] : undefined
  const field = hostFields[tee]
  const size = field === 'pcr8' ? 32 : field
  const digest = hash?.(utf8(initData))
  if (digest === undefined || digest.length > size || (field === 'pcr8' && digest.length !== size)) {
    throw new Failure<KbsCode>(
      'kbs/init-data',
      `init-data names ${found[0]}, which does not fit ${size} bytes of ${tee}`,
    )
  }
  if (field === 'pcr8') return sha256(concat(new Uint8Array(size), digest))
  return concat(digest, new Uint8Array(size - digest.length))
}
