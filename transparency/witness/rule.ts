/**
 * What belongs in transparency/witness: cosigning another operator's log. The rule is pure; `store/` keeps what was seen,
 * `service/` answers HTTP. It imports nothing of the log's writer: a witness is a process, a key and a folder of its own.
 */
import { equal } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { type AddCheckpoint, parseAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { type Checkpoint, parseCheckpoint } from '#core/tlog/checkpoint.js'
import { emptyRoot, verifyConsistency } from '#core/tlog/merkle.js'
import { verifyNote } from '#core/tlog/note.js'
import type { VerifierKey } from '#core/tlog/vkey.js'

/** The largest tree of a log that this witness has cosigned; size 0 and the empty root before the first. */
export interface SeenTree {
  readonly size: number
  readonly rootHash: Uint8Array
}

/** A refusal, as the protocol spells it; `reason` is for people. */
export type Refusal =
  | { readonly status: 400 | 403 | 404 | 422; readonly reason: string }
  | { readonly status: 409; readonly size: number }

/** A request whose checkpoint a trusted key of its log signed. Nothing is known yet about the tree. */
export interface SignedRequest {
  readonly status: 'signed'
  readonly oldSize: number
  readonly proof: AddCheckpoint['proof']
  readonly tree: Checkpoint
}

/** What is to be recorded, durably, before the cosignature of `checkpointText` leaves the witness. */
export interface Acceptance {
  readonly status: 200
  readonly seen: SeenTree
  readonly checkpointText: string
}

/**
 * The request's parts, if its checkpoint is signed by a trusted key: 400 for bytes that are no request, 404 for a log
 * that is not known, 403 for a signature that is missing or wrong.
 *
 * logs    keys that are trusted; a key's name is its log's origin
 * source  C2SP tlog-witness, "add-checkpoint"
 */
export async function readRequest(body: string, logs: readonly VerifierKey[]): Promise<SignedRequest | Refusal> {
  try {
    const { oldSize, proof, checkpoint } = parseAddCheckpoint(body)
    const tree = parseCheckpoint(checkpoint)
    const keys = logs.filter((key) => key.name === tree.origin)
    if (keys.length === 0) return { status: 404, reason: 'log is not known here' }
    const signatures = await verifyNote(tree.note, keys)
    if (signatures.length === 0) return { status: 403, reason: 'checkpoint is not signed by a trusted key of its log' }
    return { status: 'signed', oldSize, proof, tree }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { status: error.code === 'tlog/signature' ? 403 : 400, reason: `${error.code}: ${error.message}` }
  }
}

/**
 * Whether the tree continues the one that was seen: 400 when it claims to shrink, 409 with the size that was seen when
 * it starts from another, 422 when it is not a continuation.
 *
 * trusts  that `readRequest` returned `request`, and that `seen` is compared and replaced in one step
 * source  C2SP tlog-witness, "add-checkpoint"
 */
export function decideRequest(request: SignedRequest, seen: SeenTree): Acceptance | Refusal {
  const { oldSize, proof, tree } = request
  if (oldSize > tree.size) return { status: 400, reason: `old size ${oldSize} is beyond the checkpoint's ${tree.size}` }
  if (oldSize !== seen.size) return { status: 409, size: seen.size }
  if (tree.size === 0 && !equal(tree.rootHash, emptyRoot)) {
    return { status: 422, reason: 'checkpoint of size 0 has not the root of the empty tree' }
  }
  try {
    verifyConsistency(seen.size, seen.rootHash, tree.size, tree.rootHash, proof)
  } catch (error) {
    if (!isFailure(error)) throw error
    return { status: 422, reason: `${error.code}: ${error.message}` }
  }
  return { status: 200, seen: { size: tree.size, rootHash: tree.rootHash }, checkpointText: tree.note.text }
}
