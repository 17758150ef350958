import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import type { ClientCode, Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { type Bundle, bundledRequestId, bundleShape } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { type DenialEntry, loggedReasonsMax, parseEntry, type ReleaseEntry } from '#core/wire/entries.js'
import { earDigest, nonceDigest } from '#core/wire/leaf.js'
import { ownerOf } from '#core/wire/names.js'
import type { Trust } from '#core/wire/trust-file.js'
import { verifyDirectory } from '#policies/credentials/directory.js'
import { type Borders, noBorders } from '#policies/location/borders.js'
import { verifyLandmarks } from '#policies/location/landmarks.js'
import type { DecisionRecord } from '#policies/record.js'
import { keepersOf } from '#policies/registry/keepers.js'
import { verifyRegistry } from '#policies/registry/signed.js'
import { type Decided, judgeRelease } from '#policies/release/judge.js'
import { verifyReplay } from '#policies/release/replay.js'

/** The steps of judging a decision again, in order. The first two need nobody's anchors. */
export const bundleSteps = [
  ['bundle/form', 'the file has exactly the form of claviger/bundle/v1'],
  ['bundle/entry', 'the log entry is of this request and this owner: its commitments open to them'],
  ['bundle/anchors', 'owner and broker are in the trust file'],
  ['bundle/proof', 'the decision stands in a trusted log under a quorum of witnesses'],
  ['bundle/replay', 'statements, evidence and policy are judged again, offline, at the time of the decision'],
  ['bundle/verdict', 'the verdict reached now is the one that was logged'],
] as const satisfies readonly (readonly [string, string])[]

/** A decision that was made again and came out the same. */
export interface VerifiedBundle {
  readonly bundle: Bundle
  readonly entry: ReleaseEntry | DenialEntry
  readonly inclusion: VerifiedInclusion
  readonly verdict: Decided<AttestationResult>
}

/** model: null where the decision is about nobody's. @throws client/owner-unknown, client/broker-unknown */
export function verifyAnchors(model: string | null, broker: string, trust: Trust): void {
  if (model !== null && !trust.owners.some(({ key }) => thumbprint(key) === ownerOf(model))) {
    throw refuse('client/owner-unknown', `no owner in the trust file has key ${ownerOf(model)}`)
  }
  if (!trust.brokers.some(({ key }) => thumbprint(key) === broker)) {
    throw refuse('client/broker-unknown', `no broker in the trust file has key ${broker}`)
  }
}

function verifyEntry(bundle: Bundle): ReleaseEntry | DenialEntry {
  const entry = parseEntry(fromBase64(bundle.leaf))
  if (entry.kind !== 'release' && entry.kind !== 'renewal' && entry.kind !== 'denial') {
    throw refuse('client/bundle-splice', `entry is a ${entry.kind}, not a decision`)
  }
  const { request, openings } = bundle
  const { binding } = request
  verifyCommitment(entry.tenant, 'tenant', ownerOf(binding.model), openings.tenant)
  verifyCommitment(entry.model, 'model', binding.model, openings.model)
  verifyCommitment(entry.evidence, 'evidence', request.evidence, openings.evidence)
  verifyCommitment(entry.decision, 'decision', bundle.decision, openings.decision)
  const same = entry.at === bundle.at && entry.nonce_digest === nonceDigest(binding.nonce)
  if (!same) throw refuse('client/bundle-splice', 'entry has another time or nonce than the request')
  if (request.requestId !== bundledRequestId)
    throw refuse('client/bundle-splice', 'request has an id, a bundle has none')
  return entry
}

async function replay(bundle: Bundle, trust: Trust, borders: Borders): Promise<Decided<AttestationResult>> {
  const { request, statements, at } = bundle
  const verdict = await judgeRelease<AttestationResult>(
    { request, statements, broker: request.binding.audience, nonce: request.binding.nonce, at },
    {
      borders,
      // Roots that came with the bundle count only where the reader has them too (I19).
      appraise: (evidence, anchors, input) => {
        const simulatedRoots = anchors.simulatedRoots.filter((root) => trust.simulatedRoots.includes(root))
        return appraiseEvidence(evidence, { simulatedRoots, collateralFloors: trust.collateralFloors }, input)
      },
    },
  )
  if (verdict.stage === 'refused')
    throw refuse(
      'client/bundle-verdict',
      `judged again, the request is no decision: ${verdict.message} (${verdict.code})`,
    )
  return verdict
}

/** What facts of credentials rest on was signed by keepers whom the reader believes too, and as many of them as it asks for (I19). */
async function verifyKeepers(
  { statements, establishedUntil, decision }: Decided<AttestationResult>,
  trust: Trust,
): Promise<void> {
  if (statements.sources === null || establishedUntil === null) return
  const { site } = decision.facts ?? {}
  const isTimed = site?.proven === true && site.measuredWithin !== undefined
  const { registry, directory, landmarks } = statements.sources.value
  try {
    await verifyRegistry(registry.document, keepersOf(trust.registries), null)
    await verifyDirectory(directory.document, keepersOf(trust.issuers), null)
    if (isTimed && landmarks !== undefined) await verifyLandmarks(landmarks.document, keepersOf(trust.registries), null)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const hint = 'a key that you believe goes into your trust file by: ./claviger init --registry, --issuer'
    throw refuse('client/keepers', `the owner's registry or directory is none of yours: ${cause.message}`, {
      hint,
      cause,
    })
  }
}

function verifyVerdict(bundle: Bundle, entry: ReleaseEntry | DenialEntry, verdict: Decided<AttestationResult>): void {
  const record = replayed(bundle, verdict)
  if (record.allow !== (entry.kind !== 'denial')) {
    throw refuse(
      'client/bundle-verdict',
      `judged again, the request is ${record.allow ? 'allowed' : 'denied'}; the entry is a ${entry.kind}`,
    )
  }
  if (entry.platform !== verdict.result.platform)
    throw refuse('client/platform', `entry says ${entry.platform}, the evidence is ${verdict.result.platform}`)
  if (entry.kind !== 'denial') {
    verifyReleased(bundle, entry, verdict)
    return
  }
  if (bundle.ear !== null) throw refuse('client/bundle-splice', 'a denial has no attestation result')
  const refusing = record.reasons.slice(0, loggedReasonsMax).map((reason) => reason.id)
  if (JSON.stringify(refusing) !== JSON.stringify(entry.reasons) || entry.policy_digest !== record.policyDigest)
    throw refuse('client/bundle-splice', 'entry names other reasons or another policy than the decision made again')
}

function replayed(bundle: Bundle, verdict: Decided<AttestationResult>): DecisionRecord {
  try {
    return verifyReplay(bundle.decision, verdict)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ClientCode>('client/bundle-verdict', cause.message, { cause })
  }
}

function verifyReleased(bundle: Bundle, entry: ReleaseEntry, verdict: Decided<AttestationResult>): void {
  const { binding } = bundle.request
  const { statements } = verdict
  const expected: readonly (readonly [string, unknown, unknown])[] = [
    ['kind', entry.kind, bundle.request.lease === null ? 'release' : 'renewal'],
    ['lease', entry.lease_id, bundle.request.lease ?? entry.lease_id],
    ['version', entry.version, statements.registration.value.version],
    ['manifest', entry.manifest_digest, statements.registration.value.manifestDigest],
    ['keyset', entry.keyset_digest, binding.keyset_digest],
    ['settings', entry.config_digest, binding.config_digest],
    ['trust statement', entry.trust_digest, statements.trust.digest],
    ['policy', entry.policy_digest, verdict.decision.policyDigest],
    ['reference values', entry.reference_values_digest, statements.referenceValues.digest],
    ['attestation result', entry.ear_digest, bundle.ear === null ? null : earDigest(bundle.ear)],
  ]
  for (const [what, logged, found] of expected) {
    if (logged !== found)
      throw refuse('client/bundle-splice', `entry names another ${what} than the decision made again`)
  }
  // A request that is made again keeps the end that it was given first: never later than a term that begins now.
  const { seconds } = statements.registration.value.lease
  const lasts = entry.lease_expires_at - entry.at
  const ends = [verdict.brokenUntil ?? entry.at + seconds, verdict.establishedUntil ?? Number.MAX_SAFE_INTEGER]
  const most = Math.min(...ends) - entry.at
  if (lasts <= 0 || lasts > most)
    throw refuse('client/bundle-splice', `entry grants ${lasts} seconds, the owner allows ${most}`)
}

/** A decision that fits its entry; whose it is, where it stands and how it was reached is not judged. */
export interface ReadBundle {
  readonly bundle: Bundle
  readonly entry: ReleaseEntry | DenialEntry
}

/** What the file alone shows. @throws client/bundle-splice, commitment/..., entry/..., shape/... */
export async function readBundle(file: Json, steps: Steps): Promise<ReadBundle> {
  const bundle = await steps.step('bundle/form', () => bundleShape(file, 'bundle'))
  return { bundle, entry: await steps.step('bundle/entry', () => verifyEntry(bundle)) }
}

/**
 * A decision of a broker in the reader's trust file, made again offline from what it was made of, with the same outcome.
 *
 * file     JSON as it came, unverified
 * borders  the map, for decisions that rest on round trips of landmarks
 * throws   client/..., and the codes of core, policies and attest for what they find wrong
 */
export async function verifyBundle(
  file: Json,
  trust: Trust,
  steps: Steps,
  borders: Borders = noBorders,
): Promise<VerifiedBundle> {
  const { bundle, entry } = await readBundle(file, steps)
  const { model, audience } = bundle.request.binding
  await steps.step('bundle/anchors', () => verifyAnchors(model, audience, trust))
  const inclusion = await steps.step('bundle/proof', () =>
    verifyTlogProof(bundle.proof, fromBase64(bundle.leaf), { logVkeys: trust.logs, policy: trust.witnessPolicy }),
  )
  const verdict = await steps.step('bundle/replay', async () => {
    const again = await replay(bundle, trust, borders)
    await verifyKeepers(again, trust)
    return again
  })
  await steps.step('bundle/verdict', () => verifyVerdict(bundle, entry, verdict))
  return { bundle, entry, inclusion, verdict }
}
