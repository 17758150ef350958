import type { VerifiedGrant, VerifiedNode } from '#client/node-trust.js'
import type { VerifiedReceipt } from '#client/verify-receipt.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { formatTime } from '#core/time.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { Evidence, MachineEvidence } from '#core/wire/evidence.js'
import type { Lease } from '#core/wire/lease.js'
import { ownerOf } from '#core/wire/names.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Who vouches for a fact. Never one colour for everything. */
export type Source =
  | 'hardware-proven'
  | 'simulated'
  | 'verifier-derived'
  | 'witness-attested'
  /** by the log alone, or with cosigners that the reader does not count as independent */
  | 'log-signed'
  | 'owner-signed'
  | 'broker-signed'
  | 'node-signed'
  | 'declared'
  | 'not stated'

/** One line of the answer card. */
export interface CardFact {
  readonly label: string
  readonly value: string
  readonly source: Source
}

/** The answer card: one sentence, then each of its facts with who vouches for it. */
export interface Card {
  readonly sentence: string
  readonly facts: readonly CardFact[]
  readonly notHardware: boolean
}

/** `acme/whisper` where the trust file names the owner, else the owner's key digest. */
export function displayModel(model: string, trust: Trust): string {
  const owner = trust.owners.find(({ key }) => thumbprint(key) === ownerOf(model))
  return owner ? `${owner.alias}/${model.slice(44)}` : model
}

function witnessText(node: VerifiedNode): string {
  const count = node.independentWitnesses.length
  const others = node.inclusion.cosigners.length - count
  return `${count} independent ${count === 1 ? 'witness' : 'witnesses'}${others > 0 ? ` (${others} of the same operator)` : ''}`
}

/** Vendor and technology of each kind of machine. */
const machineNames: Readonly<Record<MachineEvidence['kind'], readonly [string, string]>> = {
  snp: ['AMD', 'SEV-SNP'],
  tdx: ['Intel', 'TDX'],
  sgx: ['Intel', 'SGX'],
  nitro: ['AWS', 'Nitro Enclaves'],
  'azure-snp': ['AMD', 'SEV-SNP behind the vTPM of an Azure confidential VM'],
  'azure-tdx': ['Intel', 'TDX behind the vTPM of an Azure confidential VM'],
  cca: ['Arm', 'CCA'],
}

/**
 * What the evidence is of, in words: of a machine, and of the devices that it binds.
 *
 * trusts  that `evidence` was verified, with `platform` for its outcome
 */
export function teeText(evidence: Evidence, platform: VerifiedNode['platform']): string {
  const isComposite = evidence.kind === 'composite'
  const [vendor, name] = machineNames[isComposite ? evidence.cpu.kind : evidence.kind]
  const count = isComposite ? evidence.devices.reduce((sum, one) => sum + one.devices.length, 0) : 0
  const devices = isComposite ? ` with ${count} NVIDIA ${count === 1 ? 'device' : 'devices'}` : ''
  return platform === 'hardware' ? `${vendor} ${name}${devices}` : `SIMULATED ${name}${devices} (NOT HARDWARE)`
}

const teeOf = (node: VerifiedNode) => teeText(node.document.release.evidence, node.platform)

function brokerText({ lease, standing }: Pick<VerifiedGrant, 'lease' | 'standing'>, trust: Trust): string {
  const broker = trust.brokers.find(({ key }) => thumbprint(key) === lease.broker)
  return `${broker?.alias ?? lease.broker} (${standing})`
}

/** Who vouches for what the broker is: nobody but itself, unless it proved it. */
const standingSources: Readonly<Record<BrokerStanding, Source>> = {
  'UNATTESTED BROKER': 'broker-signed',
  'ATTESTED BROKER': 'hardware-proven',
  'SIMULATED BROKER (NOT HARDWARE)': 'simulated',
}

/** Who had to agree, where several brokers hold the key; and who controls each, as the owner declares. */
function quorumFacts(node: VerifiedNode, trust: Trust): readonly CardFact[] {
  const { quorum } = node.lease
  if (quorum === undefined) return []
  const controllerOf = ({ lease }: Pick<VerifiedGrant, 'lease'>) =>
    quorum.shares.find(({ broker }) => broker === lease.broker)?.controller ?? null
  const grants = [node, ...node.others]
  const stated = grants.map((one) => `${brokerText(one, trust)}, ${controllerOf(one) ?? 'controller not stated'}`)
  return [
    {
      label: 'quorum',
      value: `${grants.length} of ${quorum.shares.length} brokers granted, any ${quorum.threshold} have to: ${stated.join('; ')}`,
      source: 'broker-signed',
    },
    ...node.others.map(
      (one): CardFact => ({
        label: 'log entry',
        value: `#${one.inclusion.index} of ${one.inclusion.origin}, leaf ${one.leafHash}, by ${brokerText(one, trust)}`,
        source: one.independentWitnesses.length > 0 ? 'witness-attested' : 'log-signed',
      }),
    ),
  ]
}

/** The facts of a node, each with its source. */
export function nodeFacts(node: VerifiedNode, trust: Trust): readonly CardFact[] {
  const { lease, declared } = node
  const proven: Source = node.platform === 'hardware' ? 'hardware-proven' : 'simulated'
  const stated: Source = declared === null ? 'not stated' : 'declared'
  const basis =
    declared === null
      ? ''
      : `, ${declared.basis} by ${declared.host}, grade ${declared.grade}, ${formatTime(declared.issuedAt)}`
  return [
    { label: 'model', value: `${displayModel(lease.model, trust)} v${lease.version}`, source: 'owner-signed' },
    { label: 'manifest', value: `sha256 ${lease.manifestDigest}`, source: 'owner-signed' },
    { label: 'node', value: declared?.host ?? 'not stated', source: stated },
    { label: 'keyset', value: `sha256 ${node.keysetDigest}`, source: proven },
    {
      label: 'place',
      value: declared?.place ? `${declared.place.country}${basis}` : 'not stated',
      source: declared?.place ? stated : 'not stated',
    },
    {
      label: 'operator',
      value: declared?.operator
        ? `${declared.operator.legalName} (${declared.operator.country})${basis}`
        : 'not stated',
      source: declared?.operator ? stated : 'not stated',
    },
    { label: 'TEE', value: teeOf(node), source: proven },
    { label: 'runtime', value: node.runtime, source: 'verifier-derived' },
    {
      label: 'policy',
      value: `${lease.policy.name} v${lease.policy.sequence}, sha256 ${lease.policy.digest}${acceptsText(lease)}`,
      source: 'owner-signed',
    },
    { label: 'broker', value: brokerText(node, trust), source: standingSources[node.standing] },
    {
      label: 'log entry',
      value: `#${node.inclusion.index} of ${node.inclusion.origin}, leaf ${node.leafHash}`,
      source: node.independentWitnesses.length > 0 ? 'witness-attested' : 'log-signed',
    },
    ...quorumFacts(node, trust),
    { label: 'witnesses', value: witnessText(node), source: 'verifier-derived' },
    {
      label: 'lease',
      value: `until ${formatTime(lease.expiresAt)}, time ${lease.time}, last beat ${formatTime(node.beat.at)}`,
      source: 'broker-signed',
    },
    { label: 'weakened by', value: node.document.weakenings.join('; ') || 'nothing', source: proven },
  ]
}

/** What the owner signed that the policy leaves open. */
const acceptsText = ({ policy }: Lease) => (policy.accepts === undefined ? '' : `, accepts: ${policy.accepts}`)

/** The entries of the other brokers, where several hold the key. */
function othersText(node: VerifiedNode, trust: Trust): string {
  return node.others.map((one) => ` and as #${one.inclusion.index} by broker ${brokerText(one, trust)}`).join('')
}

/** The card of one answer. */
export function answerCard({ receipt, node }: VerifiedReceipt, trust: Trust): Card {
  const { lease, declared } = node
  const where = declared?.place ? `place ${declared.place.country}` : 'place: not stated'
  const who = declared?.operator ? `operator ${declared.operator.legalName}` : 'operator: not stated'
  const by = declared === null ? '' : ' as declared by the host'
  const sentence =
    `Answered by model ${displayModel(lease.model, trust)} v${lease.version} (manifest sha256 ${lease.manifestDigest.slice(0, 16)}…) ` +
    `on node ${declared?.host ?? node.keysetDigest.slice(0, 16)}, ${where} and ${who}${by}, inside ${teeOf(node)}, ` +
    `policy ${lease.policy.name} v${lease.policy.sequence}${acceptsText(lease)}, released as log entry #${node.inclusion.index} ` +
    `by broker ${brokerText(node, trust)}${othersText(node, trust)}, ${witnessText(node)}.`
  const facts: readonly CardFact[] = [
    ...nodeFacts(node, trust),
    { label: 'request', value: `${receipt.route}, commitment ${receipt.request}`, source: 'node-signed' },
    { label: 'response', value: `status ${receipt.status}, commitment ${receipt.response}`, source: 'node-signed' },
    {
      label: 'usage',
      value: `${receipt.usage.inputUnits} ${receipt.usage.unit} in, ${receipt.usage.outputUnits} out`,
      source: 'node-signed',
    },
  ]
  return { sentence, facts, notHardware: node.platform !== 'hardware' }
}
