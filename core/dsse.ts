import { concat, fromBase64, toBase64, utf8 } from '#core/bytes/bytes.js'
import { ecdsaDerToRaw, ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { type SigningKey, sign, verifySignature } from '#core/crypto/sign.js'
import { base64, list, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { jsonSizeMax } from '#core/limits.js'

/** Failures of reading a signed envelope. */
export type DsseCode = 'dsse/type' | 'dsse/signer'

/** A DSSE envelope (secure-systems-lab/dsse, "protocol.md", v1). `keyid` is the RFC 7638 thumbprint of the key. */
export const envelopeShape = object({
  payloadType: string(),
  payload: base64(undefined, jsonSizeMax * 2),
  signatures: list(object({ keyid: string(), sig: base64(undefined, 1024) }), { min: 1, max: 16 }),
})
export type Envelope = Shaped<typeof envelopeShape>

/** The bytes that are signed. source: DSSE v1, "Signature Definition" (pre-authentication encoding) */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType)
  return concat(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload)
}

/** Signs a payload with each key. ECDSA signatures are DER inside the envelope, as Sigstore's are. */
export async function signEnvelope(
  payloadType: string,
  payload: Uint8Array,
  keys: readonly SigningKey[],
): Promise<Envelope> {
  const message = preAuthenticationEncoding(payloadType, payload)
  const signatures = []
  for (const key of keys) {
    const raw = await sign(key, message)
    signatures.push({ keyid: key.id, sig: toBase64(key.algorithm === 'ES256' ? ecdsaRawToDer(raw) : raw) })
  }
  return { payloadType, payload: toBase64(payload), signatures }
}

/**
 * The payload of an envelope that at least one of `keys` signed, and the names of those that did.
 *
 * Signatures of unknown keys are passed over; a wrong signature under a known key refuses the whole envelope.
 * throws  dsse/type for another payload type, dsse/signer when none of the keys signed, crypto/signature
 */
export async function verifyEnvelope(
  envelope: Envelope,
  payloadType: string,
  keys: readonly SignatureJwk[],
  what: string,
): Promise<{ readonly payload: Uint8Array; readonly signers: readonly string[] }> {
  if (envelope.payloadType !== payloadType) {
    throw new Failure<DsseCode>('dsse/type', `${what} is of type ${envelope.payloadType}, expected ${payloadType}`)
  }
  const payload = fromBase64(envelope.payload)
  const message = preAuthenticationEncoding(payloadType, payload)
  const known = new Map(keys.map((key) => [thumbprint(key), key]))
  const signers = new Set<string>()
  for (const { keyid, sig } of envelope.signatures) {
    const key = known.get(keyid)
    if (!key) continue
    const bytes = fromBase64(sig)
    await verifySignature(key, message, key.kty === 'EC' ? ecdsaDerToRaw(bytes, 32) : bytes, what)
    signers.add(keyid)
  }
  if (signers.size === 0)
    throw new Failure<DsseCode>('dsse/signer', `${what} is not signed by a key that is trusted for it`)
  return { payload, signers: [...signers] }
}
