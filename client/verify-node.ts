import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import type { ClientCode, Steps } from '#client/steps.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { type Binding, documentDigest, noDevicesDigest, reportDataOf } from '#core/wire/binding.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import { type Ear, verifyEar } from '#core/wire/ear.js'
import type { ReleaseEntry } from '#core/wire/entries.js'
import { keysetDigest, releaseKeyThumbprint, verifyKeysetRoles } from '#core/wire/keyset.js'
import { evidenceDigest, verifyReleaseLeaf } from '#core/wire/leaf.js'
import { type Beat, type Declared, type Lease, verifyBeat, verifyLease } from '#core/wire/lease.js'
import { ownerOf } from '#core/wire/names.js'
import { type BoundEvidence, type NodeDocument, nodeDocumentShape } from '#core/wire/node-document.js'
import { weakenings } from '#core/wire/runtime-config.js'
import { type Signed, type Statement, verifyHostStatement, verifyStatement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { independentCosigners } from '#core/wire/witnesses.js'

/** The steps of judging a node, in order; the ids are the same in CLI, JSON and documentation. */
export const nodeSteps = [
  ['node/form', 'the document has exactly the form of claviger/node/v1'],
  ['node/owner', 'the model is one of an owner in the trust file, whose trust statement the node obeys'],
  ['node/keyset', 'one keyset, one role a key, is named by evidence, lease and log entry'],
  ['node/binding', 'the evidence says keyset, settings, trust statement and broker'],
  ['node/evidence', 'the evidence is genuine and fits a runtime in the trust file'],
  ['node/fresh', 'fresh evidence answers this nonce for the same keyset'],

  ['node/lease', 'the lease is a trusted broker’s, for this model, keyset and trust statement'],
  ['node/ear', 'the attestation result is a trusted verifier’s, for this keyset and evidence'],
  ['node/leaf', 'the log entry is the entry of this release, field by field'],
  ['node/proof', 'the entry stands in a trusted log under a quorum of witnesses'],
  ['node/host', 'place and operator are what the host signed'],
  ['node/beat', 'the broker vouched for the lease recently, by this clock'],
  ['node/policy', 'the node satisfies the client’s own policy'],
] as const satisfies readonly (readonly [string, string])[]

/** What to judge a node by. Everything is the reader's own; nothing comes from the node. */
export interface NodeTrust {
  readonly trust: Trust
  readonly policy: ClientPolicy
  /** base64url of 32 bytes that the caller sent, or null for a document that is judged without asking the node */
  readonly nonce: string | null
  /** the reader's clock; for a receipt, the broker's time in it */
  readonly at: UnixSeconds
}

/** A node that was judged good: can only be made by `verifyNode`. */
export interface VerifiedNode {
  readonly document: NodeDocument
  readonly keysetDigest: string
  readonly trustStatement: Signed<Statement<'trust'>>
  readonly result: AttestationResult
  /** the title of the runtime in the trust file that the measurement fits */
  readonly runtime: string
  readonly ear: Ear
  readonly lease: Lease
  readonly beat: Beat
  readonly entry: ReleaseEntry
  readonly inclusion: VerifiedInclusion
  readonly leafHash: string
  /** cosigners that the reader counts as independent */
  readonly independentWitnesses: readonly string[]
  readonly declared: Declared | null
  readonly platform: 'hardware' | 'simulated'
}

const refuse = (code: ClientCode, message: string, hint?: string) =>
  new Failure<ClientCode>(code, message, hint === undefined ? {} : { detail: { hint } })

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

function verifyBinding(
  bound: Binding,
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  input: NodeTrust,
): void {
  if (bound.model !== input.policy.model) throw refuse('client/model', 'evidence names another model')
  if (bound.keyset_digest !== keysetDigest(document.keyset))
    throw refuse('client/keyset-splice', 'evidence names another keyset')
  if (bound.config_digest !== documentDigest(document.config))
    throw refuse('client/config-splice', 'evidence names other settings')
  if (bound.trust_digest !== statement.digest)
    throw refuse('client/trust-splice', 'evidence names another trust statement')
  if (bound.devices_digest !== noDevicesDigest)
    throw refuse('client/devices', 'evidence names devices, the document has none')
}

/** The broker of the release must be one that the owner and the reader both believe. */
function verifyAudience(document: NodeDocument, statement: Signed<Statement<'trust'>>, input: NodeTrust): void {
  const { binding } = document.release
  if (binding.purpose === 'claviger.node.v1') throw refuse('client/purpose', 'evidence was not made for a release')
  const audience = binding.audience
  if (audience !== document.config.broker)
    throw refuse('client/audience', 'evidence was made for another broker than the node obeys')
  if (!statement.value.brokers.some((key) => thumbprint(key) === audience)) {
    throw refuse('client/audience', 'evidence was made for a broker that the owner does not name')
  }
  if (!input.trust.brokers.some(({ key }) => thumbprint(key) === audience)) {
    throw refuse('client/broker-unknown', `no broker in the trust file has key ${audience}`)
  }
}

/** Judges evidence by the reader's own runtimes: an owner's approval is information, not the reader's verdict. */
async function appraiseByReader(
  bound: BoundEvidence,
  input: NodeTrust,
): Promise<{
  readonly result: AttestationResult
  readonly title: string
  readonly platform: 'hardware' | 'simulated'
}> {
  const expectedReportData = reportDataOf(bound.binding)
  let last: AttestationResult | undefined
  for (const runtime of input.trust.runtimes) {
    const result = await appraiseEvidence(
      bound.evidence,
      { simulatedRoots: input.trust.simulatedRoots, collateralFloors: input.trust.collateralFloors },
      // Simulated evidence is judged like any other, and then refused by `node/policy` unless the caller allows it.
      { expectedReportData, referenceValues: runtime.values, tenantClass: 'development', at: input.at },
    )
    const { platform } = result
    if (platform !== 'unverified' && (result.status === 'affirming' || result.status === 'warning')) {
      return { result, title: runtime.title, platform }
    }
    last = result
  }
  const failed = last?.checks.find((check) => check.status === 'contraindicated' || check.status === 'none')
  throw refuse(
    failed?.id.includes('measurement') ? 'client/measurement' : 'client/evidence',
    failed
      ? `evidence is refused at ${failed.id}: expected ${failed.expected}, found ${failed.found}`
      : 'no runtime in the trust file',
    'the trust file lists the runtimes that you accept; add one only if you know who built it and from what',
  )
}

async function verifyFresh(
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  input: NodeTrust,
): Promise<void> {
  if (input.nonce === null) return
  const { fresh } = document
  if (fresh === null) throw refuse('client/fresh-missing', 'node sent no evidence for the nonce')
  if (fresh.binding.purpose !== 'claviger.node.v1' || fresh.binding.audience !== 'client') {
    throw refuse('client/purpose', 'fresh evidence was made for another purpose')
  }
  if (fresh.binding.nonce !== input.nonce) throw refuse('client/nonce', 'fresh evidence answers another nonce')
  verifyBinding(fresh.binding, document, statement, input)
  await appraiseByReader(fresh, input)
}

/** The one broker that the node obeys, where the reader believes it: another trusted broker cannot speak for it. */
function brokerKeys(document: NodeDocument, { trust }: NodeTrust) {
  return trust.brokers.map(({ key }) => key).filter((key) => thumbprint(key) === document.config.broker)
}

async function verifyLeaseOf(
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  input: NodeTrust,
): Promise<Lease> {
  const lease = await verifyLease(document.lease, brokerKeys(document, input))
  const same =
    lease.broker === document.config.broker &&
    lease.tenant === ownerOf(input.policy.model) &&
    lease.model === input.policy.model &&
    lease.keysetDigest === keysetDigest(document.keyset) &&
    lease.trustDigest === statement.digest
  if (!same) throw refuse('client/lease-splice', 'lease is for another broker, model, keyset or trust statement')
  if (input.at > lease.expiresAt) throw refuse('client/lease-expired', 'lease has expired by this clock')
  return lease
}

async function verifyDeclared(document: NodeDocument, lease: Lease): Promise<Declared | null> {
  const { host } = document
  if (host === null) {
    if (lease.declared !== null || document.config.hostStatement !== null) {
      throw refuse('client/host-splice', 'lease or settings name a host statement that the document lacks')
    }
    return null
  }
  const statement = await verifyHostStatement(host.statement, host.key)
  const { declared } = lease
  const same =
    declared !== null &&
    document.config.hostStatement === statement.digest &&
    declared.statementDigest === statement.digest &&
    declared.issuer === thumbprint(host.key) &&
    declared.host === statement.value.host &&
    declared.issuedAt === statement.value.issuedAt &&
    documentDigest([declared.place, declared.operator]) ===
      documentDigest([statement.value.place, statement.value.operator])
  if (!same) throw refuse('client/host-splice', 'lease says another place or operator than the host signed')
  return declared
}

async function verifyBeatOf(document: NodeDocument, lease: Lease, input: NodeTrust): Promise<Beat> {
  const beat = await verifyBeat(document.beat, brokerKeys(document, input))
  if (beat.lease !== lease.id) throw refuse('client/beat-splice', 'beat is for another lease')
  const age = input.at - beat.at
  const oldest = Math.min(input.policy.beatAgeSecondsMax, lease.expiresAt - lease.issuedAt)
  if (age > oldest || age < -clockSkewSeconds || input.at > beat.expiresAt + clockSkewSeconds) {
    throw refuse('client/beat-stale', `last beat is ${age} s old by this clock, at most ${oldest} s are accepted`)
  }
  return beat
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
    throw refuse(
      'client/simulated',
      'evidence is simulated: NOT HARDWARE',
      'add --dangerous-allow-simulated to accept a simulated node, for development only',
    )
  }
}

async function verifyEarOf(document: NodeDocument, entryAt: UnixSeconds, input: NodeTrust): Promise<Ear> {
  const ear = await verifyEar(
    document.ear,
    input.trust.verifiers.map(({ key }) => key),
    { audience: document.config.broker, at: entryAt },
  )
  if (
    ear.keysetDigest !== keysetDigest(document.keyset) ||
    ear.keyThumbprint !== releaseKeyThumbprint(document.keyset) ||
    ear.digests.evidence !== evidenceDigest(document.release.evidence)
  ) {
    throw refuse('client/ear-splice', 'attestation result is for another keyset or other evidence')
  }
  return ear
}

/**
 * A node that satisfies the reader's own trust file and policy, at the reader's own time.
 *
 * document  JSON as it came, unverified
 * throws    client/..., and the codes of core and attest for what they find wrong
 */
export async function verifyNode(document: Json, input: NodeTrust, steps: Steps): Promise<VerifiedNode> {
  const node = await steps.step('node/form', () => nodeDocumentShape(document, 'node'))
  const statement = await steps.step('node/owner', () => verifyOwner(node, input))
  await steps.step('node/keyset', () => {
    verifyKeysetRoles(node.keyset)
    if (input.at > node.keyset.notAfter) throw refuse('client/keyset-expired', 'keyset has expired by this clock')
  })
  await steps.step('node/binding', () => {
    verifyBinding(node.release.binding, node, statement, input)
    verifyAudience(node, statement, input)
    if (documentDigest(node.weakenings) !== documentDigest(weakenings(node.config))) {
      throw refuse('client/weakenings', 'the document lists other weakening settings than the evidence binds')
    }
  })
  const { result, title, platform } = await steps.step('node/evidence', () => appraiseByReader(node.release, input))
  await steps.step('node/fresh', () => verifyFresh(node, statement, input))
  const leaf = fromBase64(node.leaf)
  const lease = await steps.step('node/lease', () => verifyLeaseOf(node, statement, input))
  const ear = await steps.step('node/ear', () => verifyEarOf(node, lease.issuedAt, input))
  const entry = await steps.step('node/leaf', () => {
    const facts = {
      tenant: lease.tenant,
      binding: node.release.binding,
      evidence: node.release.evidence,
      lease,
      ear: node.ear,
    }
    return verifyReleaseLeaf(leaf, { ...facts, decision: node.decision, openings: node.openings })
  })
  const inclusion = await steps.step('node/proof', () =>
    verifyTlogProof(node.proof, leaf, { logVkeys: input.trust.logs, policy: input.trust.witnessPolicy }, input.at),
  )
  const declared = await steps.step('node/host', () => verifyDeclared(node, lease))
  const beat = await steps.step('node/beat', () => verifyBeatOf(node, lease, input))
  const established = {
    document: node,
    keysetDigest: keysetDigest(node.keyset),
    trustStatement: statement,
    result,
    runtime: title,
    ear,
    lease,
    beat,
    entry,
    inclusion,
    leafHash: toHex(hashLeaf(leaf)),
    independentWitnesses: independentCosigners(inclusion.cosigners, input.trust.independentWitnesses),
    declared,
    platform,
  }
  await steps.step('node/policy', () => {
    if (entry.platform !== platform || lease.platform !== platform) {
      throw refuse('client/platform', `entry says ${entry.platform}, the evidence is ${platform}`)
    }
    verifyClientPolicy(established, input)
  })
  return established
}
