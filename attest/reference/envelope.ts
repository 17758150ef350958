import type { Publisher, ReferenceCode } from '#attest/reference/provenance.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { ecdsaDerToRaw } from '#core/crypto/ecdsa.js'
import { jwkToSpki } from '#core/crypto/jwk.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { preAuthenticationEncoding } from '#core/dsse.js'
import type { Json } from '#core/encoding/json.js'
import { base64, list, object, optional, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { jsonSizeMax } from '#core/limits.js'

/** As others write it: a key id is a hint, may be absent and is never read. source: DSSE v1, "envelope.md" */
const foreignEnvelope = object({
  payloadType: string(),
  payload: base64(undefined, jsonSizeMax * 2),
  signatures: list(object({ keyid: optional(string()), sig: base64(undefined, 1024) }), { min: 1, max: 16 }),
})

export interface SignedPayload {
  readonly payloadType: string
  readonly payload: Uint8Array
  readonly publisher: Publisher
}

/**
 * The payload of an envelope that one of the publishers signed. Every signature is tried under every key, since others do
 * not name keys as we do.
 *
 * throws  reference/form, reference/publisher
 */
export async function verifyPublished(document: Json, publishers: readonly Publisher[]): Promise<SignedPayload> {
  const { payloadType, payload: text, signatures } = readEnvelope(document)
  const payload = fromBase64(text)
  const message = preAuthenticationEncoding(payloadType, payload)
  for (const publisher of publishers)
    for (const { sig } of signatures)
      if (await isSignedBy(publisher, message, fromBase64(sig))) return { payloadType, payload, publisher }
  throw new Failure<ReferenceCode>('reference/publisher', 'reference values are signed by no publisher that is trusted')
}

function readEnvelope(document: Json) {
  try {
    return foreignEnvelope(document, 'envelope')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ReferenceCode>('reference/form', `no signed envelope: ${cause.message}`, { cause })
  }
}

async function isSignedBy({ key }: Publisher, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    const algorithm = key.kty === 'OKP' ? 'Ed25519' : key.crv === 'P-384' ? 'ES384' : 'ES256'
    const raw = key.kty === 'OKP' ? signature : ecdsaDerToRaw(signature, key.crv === 'P-384' ? 48 : 32)
    await verifySpkiSignature(algorithm, jwkToSpki(key), message, raw, 'envelope')
    return true
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}
