import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import type { ClientCode, Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { verifyAnchors } from '#client/verify-bundle.js'
import { concat, fromBase64, fromHex, toHex } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { boolean, hex, list, literal, nullable, object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type VerifiedInclusion, verifyTlogProof } from '#core/tlog/verify.js'
import { documentDigest } from '#core/wire/binding.js'
import { type KbsBundle, kbsBundleShape } from '#core/wire/bundle.js'
import { verifyCommitment } from '#core/wire/commitment.js'
import { type KbsEntry, loggedReasonsMax, parseEntry } from '#core/wire/entries.js'
import { modelIdShape, ownerOf } from '#core/wire/names.js'
import type { Trust } from '#core/wire/trust-file.js'
import type { DecisionRecord } from '#policies/record.js'
import { judgeKbs, type KbsVerdict } from '#policies/release/kbs.js'
import { verifyReplay } from '#policies/release/replay.js'

/** The steps of judging a decision of the KBS route, in order. The first three need nobody's anchors. */
export const kbsBundleSteps = [
  ['kbs/form', 'the file has exactly the form of claviger/kbs-bundle/v1'],
  ['kbs/entry', 'the log entry is of this decision: its commitments open to it'],
  ['kbs/token', 'what the guest’s evidence has to carry is what its token says, key and nonce'],
  ['kbs/anchors', 'owner and broker are in the trust file'],
  ['kbs/proof', 'the decision stands in a trusted log under a quorum of witnesses'],
  ['kbs/replay', 'statements, evidence and policy are judged again, offline, at the time of the decision'],
  ['kbs/verdict', 'the verdict reached now is the one that was logged'],
] as const satisfies readonly (readonly [string, string])[]

/** A decision that fits its entry. `model` is null for a resource of the operator. */
export interface ReadKbsBundle {
  readonly bundle: KbsBundle
  readonly entry: KbsEntry
  readonly model: { readonly id: string; readonly version: number } | null
}
type Decided = KbsVerdict<AttestationResult> & { readonly stage: 'decided' }
export interface VerifiedKbsBundle extends ReadKbsBundle {
  readonly inclusion: VerifiedInclusion
  /** null for a resource of the operator: by what it was decided is not in the bundle */
  readonly verdict: Decided | null
}

/** A decision about a resource of the operator: by the operator's own rule, which nobody signed. */
const operatorDecisionShape = object({
  type: literal('claviger/kbs-decision/v1'),
  allow: boolean,
  /** by which of the operator's policies; null for the rule that is built in */
  policy: nullable(object({ id: string({ max: 400 }), digest: hex(32) })),
  reasons: list(string(), { max: loggedReasonsMax }),
})

/** `<owner>/<name>/<version>`, where the bundle brings an owner's statements. */
function modelOf({ statements, evidence, resource, openings }: KbsBundle): ReadKbsBundle['model'] {
  const isOwned = statements !== null
  if (isOwned !== (evidence !== null) || isOwned !== (openings.tenant !== null))
    throw refuse(
      'client/bundle-splice',
      'statements, evidence and opening of the tenant are not all there, or not all absent',
    )
  if (!isOwned) return null
  const at = resource.lastIndexOf('/')
  const version = /^[1-9][0-9]{0,8}$/.test(resource.slice(at + 1)) ? Number(resource.slice(at + 1)) : Number.NaN
  if (Number.isNaN(version)) throw refuse('client/bundle-splice', 'the resource names no version of a model')
  return { id: modelIdShape(resource.slice(0, at), 'resource'), version }
}

function verifyEntry(bundle: KbsBundle): Pick<ReadKbsBundle, 'entry' | 'model'> {
  const entry = parseEntry(fromBase64(bundle.leaf))
  if (entry.kind !== 'kbs') throw refuse('client/bundle-splice', `entry is a ${entry.kind}, not of the KBS route`)
  const { openings, token } = bundle
  const model = modelOf(bundle)
  if ((model === null) !== (entry.tenant === null))
    throw refuse('client/bundle-splice', 'entry names a tenant and the bundle none, or the reverse')
  if (model !== null && entry.tenant !== null && openings.tenant !== null)
    verifyCommitment(entry.tenant, 'tenant', ownerOf(model.id), openings.tenant)
  verifyCommitment(entry.resource, 'resource', bundle.resource, openings.resource)
  verifyCommitment(entry.token, 'token', token, openings.token)
  verifyCommitment(entry.decision, 'decision', bundle.decision, openings.decision)
  if (entry.at !== bundle.at) throw refuse('client/bundle-splice', 'entry has another time than the decision')
  // What another verifier vouches for is not hardware to this broker.
  const said = 'verifier' in token ? 'NOT HARDWARE' : token.claviger_hardware
  if ((entry.platform === 'hardware') !== (said === 'hardware'))
    throw refuse('client/platform', `entry says ${entry.platform}, the token ${said}`)
  if (model !== null && 'verifier' in token)
    throw refuse('client/bundle-splice', 'a model key was decided by the word of another verifier')
  if (model === null) verifyOperatorDecision(bundle, entry)
  return { entry, model }
}

function verifyOperatorDecision({ decision }: KbsBundle, entry: KbsEntry): void {
  const { allow, reasons } = operatorDecisionShape(decision, 'decision')
  if (allow !== entry.allow || reasons.join('\n') !== entry.reasons.join('\n'))
    throw refuse('client/bundle-splice', 'entry names another outcome or other reasons than the decision')
}

/** The token was alive, and its report data binds exactly the key and the nonce that it names (I2). */
function verifyToken({ token, at }: KbsBundle): void {
  // Of another verifier's token the signature is not here, and its report data is for that verifier to know.
  if ('verifier' in token) return
  if (token.iss !== token.aud) throw refuse('client/bundle-splice', 'the token is of one broker for another')
  if (at < token.iat || at >= token.exp) throw refuse('client/bundle-splice', 'the token was not valid at the decision')
  const about = token.submods.cpu0['ear.veraison.annotated-evidence']
  const bound = toHex(concat(sha384(canonicalJson(about.runtime_data_claims)), new Uint8Array(16)))
  if (about.report_data !== bound)
    throw refuse('client/bundle-splice', 'the report data in the token binds another key, nonce or device evidence')
}

async function replay({ bundle, model }: ReadKbsBundle, trust: Trust): Promise<Decided | null> {
  const { evidence, statements, token, at } = bundle
  if (model === null || evidence === null || statements === null || 'verifier' in token) return null
  const about = token.submods.cpu0['ear.veraison.annotated-evidence']
  const verdict = await judgeKbs<AttestationResult>(
    {
      model: model.id,
      version: model.version,
      statements,
      broker: token.iss,
      evidence,
      reportData: fromHex(about.report_data, 64),
      keyDigest: documentDigest(about.runtime_data_claims['tee-pubkey']),
      at,
    },
    {
      // Roots that came with the bundle count only where the reader has them too (I19).
      appraise: (given, anchors, input) => {
        const simulatedRoots = anchors.simulatedRoots.filter((root) => trust.simulatedRoots.includes(root))
        return appraiseEvidence(given, { simulatedRoots, collateralFloors: trust.collateralFloors }, input)
      },
    },
  )
  if (verdict.stage === 'decided') return verdict
  const message = `judged again, the request is no decision: ${verdict.message} (${verdict.code})`
  throw refuse('client/bundle-verdict', message)
}

function replayed(bundle: KbsBundle, verdict: Decided): DecisionRecord {
  try {
    return verifyReplay(bundle.decision, verdict)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ClientCode>('client/bundle-verdict', cause.message, { cause })
  }
}

function verifyVerdict({ bundle, entry, model }: ReadKbsBundle, verdict: Decided): void {
  const record = replayed(bundle, verdict)
  const reasons = record.allow ? [] : record.reasons.map((reason) => reason.id)
  const { registration } = verdict.statements
  const expected: readonly (readonly [string, unknown, unknown])[] = [
    ['outcome', entry.allow, record.allow],
    ['reasons', entry.reasons.join('\n'), reasons.slice(0, loggedReasonsMax).join('\n')],
    ['version', entry.version, model?.version],
    ['manifest', entry.manifest_digest, registration.value.manifestDigest],
    ['policy', entry.policy_digest, record.policyDigest],
    ['platform', entry.platform, verdict.result.platform],
  ]
  for (const [what, logged, found] of expected) {
    if (logged !== found)
      throw refuse('client/bundle-splice', `entry names another ${what} than the decision made again`)
  }
}

const brokerOf = ({ token }: KbsBundle) => ('verifier' in token ? token.broker : token.iss)

/** What the file alone shows. @throws client/bundle-splice, client/platform, commitment/..., entry/..., shape/... */
export async function readKbsBundle(file: Json, steps: Steps): Promise<ReadKbsBundle> {
  const bundle = await steps.step('kbs/form', () => kbsBundleShape(file, 'bundle'))
  const { entry, model } = await steps.step('kbs/entry', () => verifyEntry(bundle))
  await steps.step('kbs/token', () => verifyToken(bundle))
  return { bundle, entry, model }
}

/**
 * A decision of the KBS route by a broker in the reader's trust file. For a model key it is made again offline, with the
 * same outcome; a resource of the operator was decided by what no bundle holds, and its last two steps are not checked.
 *
 * file    JSON as it came, unverified
 * throws  client/..., and the codes of core, policies and attest for what they find wrong
 */
export async function verifyKbsBundle(file: Json, trust: Trust, steps: Steps): Promise<VerifiedKbsBundle> {
  const read = await readKbsBundle(file, steps)
  const { bundle, model } = read
  await steps.step('kbs/anchors', () => verifyAnchors(model?.id ?? null, brokerOf(bundle), trust))
  const inclusion = await steps.step('kbs/proof', () =>
    verifyTlogProof(bundle.proof, fromBase64(bundle.leaf), { logVkeys: trust.logs, policy: trust.witnessPolicy }),
  )
  if (model === null) return { ...read, inclusion, verdict: null }
  const verdict = await steps.step('kbs/replay', () => replay(read, trust))
  await steps.step('kbs/verdict', () => verdict && verifyVerdict(read, verdict))
  return { ...read, inclusion, verdict }
}
