import { concat, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { Writer } from '#core/bytes/writer.js'
import { sign } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { TlogCode } from '#core/tlog/failures.js'
import type { NoteSignature, NoteSigner } from '#core/tlog/vkey.js'

/**
 * The bytes that a witness signs: "at this time, the largest tree that I have seen of this log is this one".
 *
 * source  C2SP tlog-cosignature, "Ed25519 signed message"
 */
export function cosignedMessage(time: UnixSeconds, checkpointText: string): Uint8Array {
  return utf8(`cosignature/v1\ntime ${time}\n${checkpointText}`)
}

/** Time and Ed25519 signature of a cosignature's 72 bytes. @throws tlog/cosignature */
export function parseCosignature(blob: Uint8Array): { readonly time: UnixSeconds; readonly signature: Uint8Array } {
  if (blob.length !== 72) {
    throw new Failure<TlogCode>('tlog/cosignature', `cosignature has ${blob.length} bytes, expected 72`)
  }
  const reader = new Reader(blob)
  const time = reader.u64be()
  // The witness protocol forbids time zero; our times end at 2^53.
  if (time === 0n || time > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Failure<TlogCode>('tlog/cosignature', 'cosignature has a time that is zero or beyond 2^53')
  }
  return { time: Number(time), signature: reader.bytes(64) }
}

/**
 * A witness's signature of a checkpoint's text.
 *
 * trusts  that the caller has recorded this tree as the largest it has seen
 */
export async function cosign(checkpointText: string, time: UnixSeconds, signer: NoteSigner): Promise<NoteSignature> {
  const signature = await sign(signer.key, cosignedMessage(time, checkpointText))
  const blob = concat(new Writer().u64be(BigInt(time)).done(), signature)
  return { name: signer.verifier.name, id: signer.verifier.id, signature: blob }
}
