import { concat, toBase64Url } from '#core/bytes/bytes.js'
import { sha256, sha384 } from '#core/crypto/hash.js'
import { labelled, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { base64Url, hex, literal, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type BrokerDocument, verifyBrokerDocument } from '#core/wire/broker-document.js'
import { type BrokerDemand, type BrokerStanding, standingOf } from '#core/wire/broker-standing.js'
import { type MachineEvidence, machineEvidenceShape } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import { apiVersion } from '#core/wire/release.js'
import { payloadDigest } from '#core/wire/statements.js'

/** Failures of what a broker shows of itself (I16). Each means: nothing is sent to it, and no key of it is used. */
export type BrokerProofCode =
  /** evidence of it is demanded, and it shows none */
  | 'broker-proof/absent'
  /** the evidence is another broker's */
  | 'broker-proof/broker'
  /** the evidence answers another nonce: it is of another time, or for somebody else */
  | 'broker-proof/nonce'
  /** the evidence binds another document, with other keys, than the one beside it */
  | 'broker-proof/document'
  /** the evidence is not genuine, or does not bind what stands beside it */
  | 'broker-proof/evidence'
  /** the evidence is genuine, and what runs there is not what is demanded */
  | 'broker-proof/values'
  /** the evidence is simulated, and whoever demands it is a production tenant */
  | 'broker-proof/simulated'
  /** the document says another standing than the evidence has */
  | 'broker-proof/standing'
  /** its operator can use the key that model keys are kept under, or somebody whom the asker does not know */
  | 'broker-proof/kek'

/**
 * What a broker's evidence says. It binds the whole document, and so every key that the broker has: none of them can be
 * exchanged on the way, and none is at home anywhere else.
 */
export const brokerBindingShape = object({
  purpose: literal('claviger.broker.v1'),
  /** thumbprint of the broker's key */
  broker: thumbprintShape,
  /** the asker's */
  nonce: base64Url(32),
  /** SHA-256 of the payload of the document beside it */
  document_digest: hex(32),
})
export type BrokerBinding = Shaped<typeof brokerBindingShape>

/** `POST /v1/broker/evidence`: asks for evidence that answers a nonce. */
export const brokerProofRequestShape = object({ version: literal(apiVersion), nonce: base64Url(32) })

/** A broker's document with evidence for it. */
export const brokerProofShape = object({
  binding: brokerBindingShape,
  document: envelopeShape,
  evidence: machineEvidenceShape,
})
export type BrokerProof = Shaped<typeof brokerProofShape>

export const brokerProofAnswerShape = object({ version: literal(apiVersion), proof: brokerProofShape })

/** The 64 bytes of report data: SHA-384 of the canonical JSON, then 16 zero bytes. No binding of a node has this purpose. */
export function brokerReportDataOf(binding: BrokerBinding): Uint8Array {
  return concat(sha384(canonicalJson(binding)), new Uint8Array(16))
}

/**
 * The nonce that a node asks with. It is made of the node's keyset, which is new, so that whoever verifies the node later
 * sees that the broker proved itself to this node, and after it began.
 *
 * salt  base64url of 32 random bytes, new each time
 */
export function brokerNonceOf(keysetDigest: string, salt: string): string {
  const parts = canonicalJson({ keyset_digest: keysetDigest, salt })
  return toBase64Url(sha256(labelled('claviger/broker-nonce/v1', parts)))
}

/** What the verifier says of a broker's evidence: a value, whatever it is. */
export interface AppraisedBroker {
  readonly platform: 'hardware' | 'simulated' | 'unverified'
  /** the first thing that is wrong; null when every reference value is met */
  readonly refused: { readonly id: string; readonly expected: string; readonly found: string } | null
}

/** The verifier, as a port: those who ask know no kind of evidence. */
export type AppraiseBroker = (
  evidence: MachineEvidence,
  about: {
    readonly reportData: Uint8Array
    readonly values: ReferenceValues
    readonly simulatedRoots: readonly string[]
    readonly tenantClass: 'production' | 'development'
    readonly at: UnixSeconds
  },
) => Promise<AppraisedBroker>

/** What whoever asks knows by itself. */
export interface ExpectedBroker {
  /** thumbprint of the broker's key */
  readonly broker: string
  /** base64url of 32 bytes: the asker's own */
  readonly nonce: string
  readonly demand: BrokerDemand
  /** roots that stand for no vendor: evidence under any other root is nobody's, and under these never hardware */
  readonly simulatedRoots: readonly string[]
  readonly tenantClass: 'production' | 'development'
  readonly at: UnixSeconds
}

/** A broker that proved itself: can only be made by `verifyBrokerProof`. */
export interface ProvenBroker {
  readonly document: BrokerDocument
  readonly platform: 'hardware' | 'simulated'
  readonly standing: BrokerStanding
}

const refuse = (code: BrokerProofCode, message: string, hint?: string) =>
  new Failure<BrokerProofCode>(code, message, hint === undefined ? {} : { detail: { hint } })

/**
 * The broker of that key runs in the TEE that is demanded, now, and has the keys of its document there.
 *
 * trusts  that `appraise` is the verifier, and that the asker made the nonce
 * throws  broker-proof/..., broker/key, dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyBrokerProof(
  proof: BrokerProof,
  expected: ExpectedBroker,
  appraise: AppraiseBroker,
): Promise<ProvenBroker> {
  const { binding, evidence } = proof
  const { broker, demand, at, tenantClass } = expected
  if (binding.broker !== broker)
    throw refuse('broker-proof/broker', `evidence is of broker ${binding.broker}, expected ${broker}`) // 1 whose
  if (binding.nonce !== expected.nonce)
    throw refuse('broker-proof/nonce', 'evidence answers another nonce: it is not fresh, or was made for another') // 2 when
  const document = await verifyBrokerDocument(proof.document, broker) // 3 the document is signed by the broker
  if (payloadDigest(proof.document) !== binding.document_digest)
    throw refuse('broker-proof/document', 'evidence binds another document of the broker, with other keys') // 4 which keys
  const { simulatedRoots } = expected
  const reportData = brokerReportDataOf(binding)
  const asked = { reportData, values: demand.values, simulatedRoots, tenantClass, at }
  const { platform, refused } = await appraise(evidence, asked) // 5 evidence, under the asker's reference values
  if (platform === 'simulated' && tenantClass !== 'development')
    throw refuse('broker-proof/simulated', 'evidence of the broker is simulated: NOT HARDWARE') // 6 never for production (I6)
  if (platform === 'unverified' || refused !== null) throw refusedEvidence(platform, refused)
  const standing = standingOf(platform)
  if (document.standing !== standing)
    throw refuse('broker-proof/standing', `the broker says ${document.standing}, its evidence says ${standing}`) // 7
  verifyKekDemand(document, demand) // 8 who else has the key that model keys are kept under
  return { document, platform, standing }
}

function verifyKekDemand({ kek, kekModel }: BrokerDocument, { allowOperatorKek, keks }: BrokerDemand): void {
  if (allowOperatorKek) return
  if (kek === 'KEK HELD BY OPERATOR')
    throw refuse('broker-proof/kek', "the broker's operator can use the key that model keys are kept under")
  if (kekModel !== undefined && keks?.includes(kekModel) === true) return
  const named = keks?.join(', ') ?? 'none'
  const message = `model keys are kept under ${kekModel ?? 'a key without a name'}, of those that may be: ${named}`
  const hint =
    "its owner has it too: if you know who that is, and it is not the broker's operator, name it: init --broker-kek ID"
  throw refuse('broker-proof/kek', message, hint)
}

function refusedEvidence(platform: AppraisedBroker['platform'], refused: AppraisedBroker['refused']): Failure {
  const what =
    refused === null ? 'it does not verify' : `${refused.id}: expected ${refused.expected}, found ${refused.found}`
  if (platform === 'unverified' || refused?.id === 'report-data')
    return refuse('broker-proof/evidence', `evidence of the broker is refused: ${what}`)
  return refuse('broker-proof/values', `the broker is not what is demanded: ${what}`)
}

/** The proof of the broker whose key this is, by itself for what it holds: of none it says so. @throws broker-proof/absent */
export function insistOnProof(proof: BrokerProof | null | undefined, broker: string): BrokerProof {
  if (proof != null) return proof
  throw refuse(
    'broker-proof/absent',
    `UNATTESTED BROKER: ${broker} shows no evidence, and evidence of it is demanded`,
    'have its operator start it in its TEE again; only whoever demands it can demand it no more',
  )
}

/** The binding of a document for a nonce. */
export function brokerBindingOf(document: BrokerDocument, documentDigest: string, nonce: string): BrokerBinding {
  return { purpose: 'claviger.broker.v1', broker: thumbprint(document.key), nonce, document_digest: documentDigest }
}
