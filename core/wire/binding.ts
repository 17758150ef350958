import { concat, utf8 } from '#core/bytes/bytes.js'
import { sha256, sha256Hex, sha384 } from '#core/crypto/hash.js'
import { canonicalJson, canonicalText } from '#core/encoding/json.js'
import { base64Url, hex, object, oneOf, type Shaped, string } from '#core/encoding/shape.js'
import type { Evidence } from '#core/wire/evidence.js'
import { modelIdShape } from '#core/wire/names.js'

/**
 * What a node's evidence says on our own paths (TRUST 3). The nonce is the challenger's; the audience is the
 * challenger's key thumbprint, or `client` for a document that any client may ask for.
 */
export const bindingShape = object({
  purpose: oneOf('claviger.release.v1', 'claviger.renew.v1', 'claviger.node.v1', 'claviger.qualify.v1'),
  audience: string({ form: /^([A-Za-z0-9_-]{43}|client)$/ }),
  model: modelIdShape,
  nonce: base64Url(32),
  keyset_digest: hex(32),
  devices_digest: hex(32),
  config_digest: hex(32),
  trust_digest: hex(32),
})
export type Binding = Shaped<typeof bindingShape>

/** Lowercase hex of SHA-256 over the canonical JSON of a document of ours. */
export function documentDigest(document: unknown): string {
  return sha256Hex(canonicalText(document))
}

/** The digest of "no devices": a node without accelerators says so. */
export const noDevicesDigest = documentDigest([])

/** The digest that a binding has to name for this evidence: of exactly the devices in it. */
export function devicesDigestOf(evidence: Evidence): string {
  return evidence.kind === 'composite' ? documentDigest(evidence.devices) : noDevicesDigest
}

/** The 64 bytes of report data: SHA-384 of the canonical JSON, then 16 zero bytes. */
export function reportDataOf(binding: Binding): Uint8Array {
  return concat(sha384(canonicalJson(binding)), new Uint8Array(16))
}

/** What is hashed before report data into the extra data of a TPM quote. */
const tpmExtraDataLabel = utf8('claviger.tpm.v1\0')

/**
 * The 32 bytes of extra data by which a TPM quote binds 64 bytes of report data: SHA-256 of a label and these bytes. A TPM
 * takes at most a digest and two bytes, and those of Azure know none longer than 48.
 *
 * source  docs/spec/evidence-azure.md, "Extra data"; TCG TPM 2.0 Library Part 2, "TPM2B_DATA"
 */
export function tpmExtraDataOf(reportData: Uint8Array): Uint8Array {
  return sha256(concat(tpmExtraDataLabel, reportData))
}

/**
 * The report data that devices are asked with: those of the same binding, in which there are no devices yet, since the
 * digest of what they answer can only be taken once they have.
 */
export function deviceReportDataOf(binding: Binding): Uint8Array {
  return reportDataOf({ ...binding, devices_digest: noDevicesDigest })
}

const deviceNonceLabel = utf8('claviger.device-nonce.v1\0')

/**
 * The 32 bytes that devices beside a machine have to answer, from the 64 bytes of deviceReportDataOf: SHA-256 over a label
 * and those bytes, so that neither can be passed off as the other.
 */
export function deviceNonceOf(reportData: Uint8Array): Uint8Array {
  return sha256(concat(deviceNonceLabel, reportData))
}
