import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type Checkpoint, parseCheckpoint } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { hashLeaf, verifyInclusion } from '#core/tlog/merkle.js'
import { verifyNote } from '#core/tlog/note.js'
import { type Cosigner, parsePolicy, type TlogPolicy, verifyQuorum } from '#core/tlog/policy.js'
import { parseTlogProof } from '#core/tlog/proof.js'
import { parseVkey, type VerifierKey } from '#core/tlog/vkey.js'

/** Whom a reader believes about a log. Comes from the reader's own trust file, never with the proof. */
export interface LogTrust {
  /** vkeys of the logs; the name of each is its log's origin */
  readonly logVkeys: readonly string[]
  /** C2SP tlog-policy; where it lists logs, a log must stand there and in `logVkeys` */
  readonly policy: string
}

/** A tree that a trusted log signed and a quorum of trusted witnesses saw. */
export interface VerifiedCheckpoint {
  readonly origin: string
  readonly treeSize: number
  readonly rootHash: Uint8Array
  /** the trusted witnesses that cosigned; empty only where the reader's policy says `quorum none` */
  readonly cosigners: readonly Cosigner[]
}

/** An entry's place in such a tree. */
export interface VerifiedInclusion extends VerifiedCheckpoint {
  readonly index: number
}

function parseTrust(trust: LogTrust): { readonly logs: readonly VerifierKey[]; readonly policy: TlogPolicy } {
  const policy = parsePolicy(trust.policy)
  const logs = trust.logVkeys.map(parseVkey)
  for (const log of logs) {
    if (log.use !== 'log') throw new Failure<TlogCode>('tlog/vkey', `key ${log.name} is a witness's, expected a log's`)
    if (policy.witnesses.some(({ key }) => key.publicKey.x === log.publicKey.x)) {
      throw new Failure<TlogCode>('tlog/policy', `log ${log.name} and a witness have the same key`)
    }
  }
  const listed = (log: VerifierKey) =>
    policy.logs.some((one) => one.id === log.id && one.publicKey.x === log.publicKey.x)
  return { logs: policy.logs.length === 0 ? logs : logs.filter(listed), policy }
}

async function verifyTree(tree: Checkpoint, trust: LogTrust, at?: UnixSeconds): Promise<VerifiedCheckpoint> {
  const { logs, policy } = parseTrust(trust)
  if (tree.extensions.length > 0) {
    throw new Failure<TlogCode>('tlog/extension', 'checkpoint has lines that no witness vouches for')
  }
  const own = logs.filter((key) => key.name === tree.origin)
  const signatures = await verifyNote(tree.note, [...own, ...policy.witnesses.map((witness) => witness.key)])
  if (!signatures.some((one) => one.key.use === 'log')) {
    const known = own.length === 0 ? 'is not one that is trusted' : 'is not signed by its trusted key'
    throw new Failure<TlogCode>('tlog/unknown-log', `log ${JSON.stringify(tree.origin)} ${known}`)
  }
  const cosigners = verifyQuorum(policy, signatures, at === undefined ? undefined : at + clockSkewSeconds)
  return { origin: tree.origin, treeSize: tree.size, rootHash: tree.rootHash, cosigners }
}

/**
 * The checkpoint is one that a trusted log signed and a quorum of trusted witnesses cosigned.
 *
 * at      cosignatures later than this, with the usual allowance, do not count; absent: every time counts
 * throws  tlog/note, tlog/checkpoint, tlog/extension, tlog/vkey, tlog/policy, tlog/signature, tlog/cosignature,
 *         tlog/unknown-log, tlog/quorum
 */
export async function verifyCheckpoint(text: string, trust: LogTrust, at?: UnixSeconds): Promise<VerifiedCheckpoint> {
  return verifyTree(parseCheckpoint(text), trust, at)
}

/**
 * `leaf` stands in a trusted log, at the returned index, under a checkpoint that a quorum of trusted witnesses cosigned.
 *
 * leaf    the entry's bytes, rebuilt by the caller from its own values
 * at      cosignatures later than this, with the usual allowance, do not count; absent: every time counts
 * throws  tlog/proof, tlog/range, tlog/proof-length, tlog/root-mismatch, and what `verifyCheckpoint` throws
 * source  C2SP tlog-proof, "Verifying a tlog proof"
 */
export async function verifyTlogProof(
  proofText: string,
  leaf: Uint8Array,
  trust: LogTrust,
  at?: UnixSeconds,
): Promise<VerifiedInclusion> {
  const proof = parseTlogProof(proofText) // structure
  const leafHash = hashLeaf(leaf) // 1 the leaf hash
  const tree = await verifyTree(proof.tree, trust, at) // 2 origin and log's signature, 3 cosignatures
  verifyInclusion(leafHash, proof.index, tree.treeSize, proof.hashes, tree.rootHash) // 4 inclusion
  return { ...tree, index: proof.index }
}
