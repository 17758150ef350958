import { generateSigningKey } from '#core/crypto/sign.js'
import { addSignatures, signCheckpoint } from '#core/tlog/checkpoint.js'
import { cosign } from '#core/tlog/cosignature.js'
import { hashLeaf, hashNode } from '#core/tlog/merkle.js'
import { encodeTlogProof } from '#core/tlog/proof.js'
import { computeRoot, type NodeId, proveInclusion, type ReadNodes } from '#core/tlog/prove.js'
import { encodeVkey, makeNoteSigner, type NoteSigner } from '#core/tlog/vkey.js'

/** Hashes of whole subtrees of a list of leaves, computed anew for each question. */
export function nodesOfLeaves(leaves: readonly Uint8Array[]): ReadNodes {
  const hash = ({ level, index }: NodeId): Uint8Array =>
    level === 0
      ? hashLeaf(leaves[index]!)
      : hashNode(hash({ level: level - 1, index: index * 2 }), hash({ level: level - 1, index: index * 2 + 1 }))
  return async (nodes) => nodes.map(hash)
}

export async function newSigner(name: string, use: 'log' | 'cosigner'): Promise<NoteSigner> {
  const { key } = await generateSigningKey('Ed25519')
  return makeNoteSigner(name, use, key)
}

export interface Sample {
  readonly leaf: Uint8Array
  readonly proof: string
  readonly trust: { readonly logVkeys: readonly string[]; readonly policy: string }
}

/** A valid proof of entry `index` of `leaves`, cosigned by two witnesses of which one is asked for. */
export async function sampleProof(leaves: readonly Uint8Array[], index: number, time = 1_700_000_000): Promise<Sample> {
  const log = await newSigner('log.example/one', 'log')
  const witnesses = [await newSigner('witness.example/a', 'cosigner'), await newSigner('witness.example/b', 'cosigner')]
  const read = nodesOfLeaves(leaves)
  const head = { origin: 'log.example/one', size: leaves.length, rootHash: await computeRoot(leaves.length, read) }
  const note = await signCheckpoint(head, log)
  const lines = []
  for (const witness of witnesses) lines.push(await cosign(note.text, time, witness))
  const hashes = await proveInclusion(index, leaves.length, read)
  return {
    leaf: leaves[index]!,
    proof: encodeTlogProof({ index, hashes, checkpoint: addSignatures(note, lines) }),
    trust: {
      logVkeys: [encodeVkey(log.verifier)],
      policy: [
        ...witnesses.map((one, i) => `witness w${i} ${encodeVkey(one.verifier)}`),
        'group all-of-them all w0 w1',
        'quorum all-of-them',
        '',
      ].join('\n'),
    },
  }
}
