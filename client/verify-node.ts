import { verifyGrantBroker } from '#client/broker-proof.js'
import { appraiseByReader, verifyAudience, verifyBinding, verifyFresh } from '#client/node-evidence.js'
import {
  grantsOf,
  verifyBeatOf,
  verifyDeclared,
  verifyEarOf,
  verifyGrantsTogether,
  verifyLeaseOf,
} from '#client/node-grant.js'
import type { NodeTrust, VerifiedGrant, VerifiedNode } from '#client/node-trust.js'
import type { Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { documentDigest } from '#core/wire/binding.js'
import type { ReleaseEntry } from '#core/wire/entries.js'
import { keysetDigest, verifyKeysetRoles } from '#core/wire/keyset.js'
import { verifyReleaseLeaf } from '#core/wire/leaf.js'
import type { Lease } from '#core/wire/lease.js'
import { ownerOf } from '#core/wire/names.js'
import { type NodeDocument, nodeDocumentShape } from '#core/wire/node-document.js'
import { weakenings } from '#core/wire/runtime-config.js'
import { type Signed, type Statement, verifyStatement } from '#core/wire/statements.js'
import { independentCosigners } from '#core/wire/witnesses.js'
/** The steps of judging a node, in order; the ids are the same in CLI, JSON and documentation. */
export const nodeSteps = [
  ['node/form', 'the document has exactly the form of claviger/node/v1'],
  ['node/owner', 'the model is one of an owner in the trust file, whose trust statement the node obeys'],
  ['node/keyset', 'one keyset, one role a key, is named by evidence, lease and log entry'],
  ['node/binding', 'the evidence says keyset, settings, trust statement and broker'],
  ['node/evidence', 'the evidence is genuine and fits a runtime in the trust file'],
  ['node/fresh', 'fresh evidence answers this nonce for the same keyset'],
  [
    'node/lease',
    'each lease is a trusted broker’s, for this model, keyset and trust statement; enough brokers granted one',
  ],
  ['node/ear', 'the attestation result is a trusted verifier’s, for this keyset and evidence'],
  ['node/leaf', 'the log entry is the entry of this release, field by field'],
  ['node/proof', 'the entry stands in a trusted log under a quorum of witnesses'],
  ['node/host', 'place and operator are what the host signed'],
  ['node/broker', 'a broker of whom the trust file demands evidence proved itself to this node'],
  ['node/beat', 'the broker vouched for the lease recently, by this clock'],
  ['node/policy', 'the node satisfies the client’s own policy'],
] as const satisfies readonly (readonly [string, string])[]

async function verifyOwner(document: NodeDocument, input: NodeTrust): Promise<Signed<Statement<'trust'>>> {
  if (document.config.model !== input.policy.model) {
    throw refuse('client/model', `node serves ${document.config.model}, expected ${input.policy.model}`)
  }
  const owner = ownerOf(input.policy.model)
  const keys: SignatureJwk[] = input.trust.owners.map((one) => one.key).filter((key) => thumbprint(key) === owner)
  if (keys.length === 0) throw refuse('client/owner-unknown', `no owner in the trust file has key ${owner}`)
  const statement = await verifyStatement('trust', document.trust, keys)
  if (statement.value.tenant !== owner) throw refuse('client/trust-splice', 'trust statement is of another owner')
  return statement
}

function verifyClientPolicy(node: Omit<VerifiedNode, 'ear'>, input: NodeTrust): void {
  const { policy } = input
  const { lease } = node
  if (policy.manifests !== null && !policy.manifests.includes(lease.manifestDigest)) {
    throw refuse('client/manifest', `node serves manifest ${lease.manifestDigest}, which the client does not accept`)
  }
  if (lease.version < policy.versionMin)
    throw refuse('client/version', `node serves version ${lease.version}, at least ${policy.versionMin} is asked for`)
  if (policy.countries !== null) {
    const country = node.declared?.place?.country
    if (country === undefined || !policy.countries.includes(country)) {
      throw refuse('client/place', `place is ${country ?? 'not stated'}, accepted are ${policy.countries.join(', ')}`)
    }
  }
  if (node.independentWitnesses.length < policy.witnessesMin) {
    throw refuse(
      'client/witnesses',
      `${node.independentWitnesses.length} independent witnesses, at least ${policy.witnessesMin} are asked for`,
    )
  }
  if (node.platform === 'simulated' && !policy.dangerousAllowSimulated) {
    throw refuse('client/simulated', 'evidence is simulated: NOT HARDWARE', {
      hint: 'add --dangerous-allow-simulated to accept a simulated node, for development only',
    })
  }
}

/**
 * A node that satisfies the reader's own trust file and policy, at the reader's own time.
 *
 * document  JSON as it came, unverified
 * throws    client/..., and the codes of core and attest for what they find wrong
 */
export async function verifyNode(document: Json, input: NodeTrust, steps: Steps): Promise<VerifiedNode> {
  const node = await steps.step('node/form', () => nodeDocumentShape(document, 'node'))
  // Where several brokers hold the key, each step is taken for each of their grants.
  const grants = grantsOf(node)
  const statements = await steps.step('node/owner', () => each(grants, (one) => verifyOwner(one, input)))
  const statement = statements[0]!
  await steps.step('node/keyset', () => {
    verifyKeysetRoles(node.keyset)
    if (input.at > node.keyset.notAfter) throw refuse('client/keyset-expired', 'keyset has expired by this clock')
  })
  await steps.step('node/binding', () => {
    for (const [at, one] of grants.entries()) {
      verifyBinding(one.release, one, statements[at]!, input)
      verifyAudience(one, statements[at]!, input)
    }
    if (documentDigest(node.weakenings) !== documentDigest(weakenings(node.config))) {
      throw refuse('client/weakenings', 'the document lists other weakening settings than the evidence binds')
    }
  })
  const { result, title, platform } = await steps.step('node/evidence', () => appraiseAll(grants, statements, input))
  await steps.step('node/fresh', () => verifyFresh(node, statement, platform, input))
  const leases = await steps.step('node/lease', async () => {
    const all = await each(grants, (one, at) => verifyLeaseOf(one, statements[at]!, input))
    verifyGrantsTogether(node, all)
    return all
  })
  const _lease = leases[0]!
  const ears = await steps.step('node/ear', () =>
    each(grants, (one, at) => verifyEarOf(one, leases[at]!.issuedAt, platform, input)),
  )
  const entries = await steps.step('node/leaf', () => each(grants, (one, at) => verifyLeafOf(one, leases[at]!)))
  const log = { logVkeys: input.trust.logs, policy: input.trust.witnessPolicy }
  const inclusions = await steps.step('node/proof', () =>
    each(grants, (one) => verifyTlogProof(one.proof, fromBase64(one.leaf), log, input.at)),
  )
  const declared = await steps.step(
    'node/host',
    async () => (await each(grants, (one, at) => verifyDeclared(one, leases[at]!)))[0]!,
  )
  const standings = await steps.step('node/broker', () =>
    each(grants, (one, at) => verifyGrantBroker(one, leases[at]!, statements[at]!.value.class, input)),
  )
  const beats = await steps.step('node/beat', () => each(grants, (one, at) => verifyBeatOf(one, leases[at]!, input)))
  const verified = grants.map(
    (one, at): VerifiedGrant => ({
      lease: leases[at]!,
      beat: beats[at]!,
      entry: entries[at]!,
      inclusion: inclusions[at]!,
      leafHash: toHex(hashLeaf(fromBase64(one.leaf))),
      standing: standings[at]!,
      independentWitnesses: independentCosigners(inclusions[at]!.cosigners, input.trust.independentWitnesses),
    }),
  )
  const [first, ...others] = verified as [VerifiedGrant, ...VerifiedGrant[]]
  const established = {
    document: node,
    keysetDigest: keysetDigest(node.keyset),
    trustStatement: statement,
    result,
    runtime: title,
    ear: ears[0]!,
    ...first,
    others,
    declared,
    platform,
  }
  await steps.step('node/policy', () => {
    for (const { entry, lease: granted, independentWitnesses } of verified) {
      if (entry.platform !== platform || granted.platform !== platform) {
        throw refuse('client/platform', `entry says ${entry.platform}, the evidence is ${platform}`)
      }
      verifyClientPolicy({ ...established, lease: granted, independentWitnesses }, input)
    }
  })
  return established
}

/** The same for each, in order. */
async function each<T>(
  grants: readonly NodeDocument[],
  work: (one: NodeDocument, at: number) => T | Promise<T>,
): Promise<readonly T[]> {
  const out: T[] = []
  for (const [at, one] of grants.entries()) out.push(await work(one, at))
  return out
}

/** The evidence of each grant: of the same runtime, on a machine that is no less than that of the first. */
async function appraiseAll(
  grants: readonly NodeDocument[],
  statements: readonly Signed<Statement<'trust'>>[],
  input: NodeTrust,
) {
  const all = await each(grants, (one, at) => appraiseByReader(one.release, input, statements[at]!.value.class))
  const first = all[0]!
  const other = all.find(({ platform, title }) => platform !== first.platform || title !== first.title)
  if (other)
    throw refuse(
      'client/platform',
      `evidence for one broker is ${first.platform} ${first.title}, for another ${other.platform} ${other.title}`,
    )
  return first
}

function verifyLeafOf(node: NodeDocument, lease: Lease): ReleaseEntry {
  const { release, ear, decision, openings } = node
  const facts = { tenant: lease.tenant, binding: release.binding, evidence: release.evidence, lease, ear }
  return verifyReleaseLeaf(fromBase64(node.leaf), { ...facts, decision, openings })
}
