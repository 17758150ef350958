import { judged } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { type ReceiptTrust, receiptSteps, verifyReceipt } from '#client/verify-receipt.js'
import { fromBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey, type RecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import type { UnixSeconds } from '#core/time.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { encodeVkey } from '#core/tlog/vkey.js'
import { type Binding, documentDigest, noDevicesDigest, reportDataOf } from '#core/wire/binding.js'
import { brokerNonceOf } from '#core/wire/broker-proof.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import { commitBody } from '#core/wire/inner.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import { type BoundEvidence, type NodeDocument, nodeDocumentShape } from '#core/wire/node-document.js'
import { type Receipt, type ReceiptFile, signReceipt } from '#core/wire/receipt.js'
import { apiVersion, type HostDeclaration, type ReleaseRequest } from '#core/wire/release.js'
import { type RuntimeConfig, weakenings } from '#core/wire/runtime-config.js'
import { payloadDigest, signHostStatement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import type { SimulatedPlatform } from '#runtime/attester/simulated/platform.js'
import { BrokerDouble, budgetOf } from '#test/fakes/broker-double.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '#test/fakes/platform.js'

/** What a document of a node is made of, where a test wants something else than an honest node says. */
export interface MintOptions {
  readonly platform?: SimulatedPlatform
  readonly config?: Partial<RuntimeConfig>
  readonly keyset?: Partial<Keyset>
  readonly binding?: Partial<Binding>
  readonly host?: HostDeclaration | null
  /** the request as the broker sees it, after the evidence was made */
  readonly request?: (request: ReleaseRequest) => ReleaseRequest
}

/** A node's document with the keys that its keyset names. */
export interface MintedNode {
  readonly document: NodeDocument
  readonly receiptKey: SigningKey
  readonly requestKey: RecipientKey
  readonly platform: SimulatedPlatform
}

/** The trust file of a reader who believes this broker, and all that it needs to. */
export function trustIn(broker: BrokerDouble, changes: Partial<Trust> = {}): Trust {
  return {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: testTime,
    expiresAt: testTime + 86_400,
    owners: [{ alias: 'acme', key: broker.owner.publicKey }],
    brokers: [{ alias: 'broker', key: broker.key.publicKey as Ed25519Jwk }],
    verifiers: [{ alias: 'verifier', key: broker.verifier.publicKey }],
    logs: [encodeVkey(broker.log.signer.verifier)],
    witnessPolicy: broker.log.policy,
    independentWitnesses: ['w1'],
    runtimes: [{ title: 'the test runtime', values: testReferenceValues() }],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [testRootDigest],
    ...changes,
  }
}

export function policyFor(model: string, changes: Partial<ClientPolicy> = {}): ClientPolicy {
  return {
    type: 'claviger/client-policy/v1',
    model,
    manifests: null,
    versionMin: 1,
    countries: null,
    beatAgeSecondsMax: 60,
    witnessesMin: 0,
    dangerousAllowSimulated: true,
    ...changes,
  }
}

export async function hostDeclaration(country: string | null): Promise<HostDeclaration> {
  const { key } = await generateSigningKey('Ed25519')
  const statement = await signHostStatement(
    {
      type: 'claviger/statement/host/v1',
      host: 'rack-7',
      place: country === null ? null : { country },
      operator: { legalName: 'Example GmbH', country: country ?? 'DE' },
      issuedAt: testTime,
    },
    key,
  )
  return { statement, key: key.publicKey }
}

/** A node's document: true keys, true (simulated) evidence, released, leased and logged by the broker. */
export async function mintNode(broker: BrokerDouble, options: MintOptions = {}): Promise<MintedNode> {
  const platform = options.platform ?? (await testPlatform())
  const { key: receiptKey } = await generateSigningKey('Ed25519')
  const requestKey = await generateRecipientKey()
  const host = options.host === undefined ? await hostDeclaration('DE') : options.host
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: (await generateHybridKey()).publicKey,
    request: requestKey.publicKey,
    receipt: receiptKey.publicKey as Ed25519Jwk,
    tls: null,
    landmark: null,
    notAfter: testTime + 86_400,
    ...options.keyset,
  }
  const config: RuntimeConfig = {
    type: 'claviger/runtime-config/v1',
    model: broker.model,
    broker: broker.id,
    otherBrokers: undefined,
    purpose: undefined,
    hostStatement: host && payloadDigest(host.statement),
    dangerousAllowInspection: false,
    dangerousAllowPlain: false,
    dangerousAllowSimulated: true,
    engineConfinement: 'unconfined',
    leaks: [],
    requestSizeMax: 1_000_000,
    ...options.config,
  }
  const binding: Binding = {
    purpose: 'claviger.release.v1',
    audience: broker.id,
    model: broker.model,
    nonce: toBase64Url(randomBytes(32)),
    keyset_digest: keysetDigest(keyset),
    devices_digest: noDevicesDigest,
    config_digest: documentDigest(config),
    trust_digest: payloadDigest(broker.trust),
    ...options.binding,
  }
  const evidence = await platform.attest(reportDataOf(binding))
  const asked: ReleaseRequest = {
    version: apiVersion,
    requestId: toHex(randomBytes(16)),
    binding,
    evidence,
    keyset,
    config,
    modelVersion: 1,
    manifestDigest: broker.manifestDigest,
    host,
    lease: null,
    counter: undefined,
    presented: undefined,
  }
  const answer = await broker.answer(options.request?.(asked) ?? asked)
  const { leaf, openings, decision, proof, lease, beat, ear } = answer
  const document = {
    type: 'claviger/node/v1',
    keyset,
    config,
    trust: broker.trust,
    release: { binding, evidence },
    ...{ ear, leaf, openings, decision, proof, lease, beat, host },
    ...(broker.attester === null ? {} : { broker: await proofTo(broker, keyset) }),
    fresh: null,
    budgetLeft: budgetOf(100),
    weakenings: weakenings(config),
  }
  return { document: nodeDocumentShape(asJson(document), 'node'), receiptKey, requestKey, platform }
}

/** How a broker proves itself to a node with this keyset. */
export async function proofTo(broker: BrokerDouble, keyset: Keyset) {
  const salt = toBase64Url(randomBytes(32))
  return { salt, proof: await broker.prove(brokerNonceOf(keysetDigest(keyset), salt)) }
}

/** Evidence of the same node for a caller's nonce. */
export async function freshEvidence(
  { document, platform }: MintedNode,
  nonce: string,
  changes: Partial<Binding> = {},
): Promise<BoundEvidence> {
  const binding: Binding = {
    ...document.release.binding,
    purpose: 'claviger.node.v1',
    audience: 'client',
    nonce,
    ...changes,
  }
  return { binding, evidence: await platform.attest(reportDataOf(binding)) }
}

export const requestBody = utf8('what was asked')
export const responseBody = utf8('what was answered')

/** The receipt of one answer of a minted node, signed with its receipt key. */
export async function mintReceipt(
  { document, receiptKey }: MintedNode,
  changes: Partial<Receipt> = {},
  key = receiptKey,
): Promise<ReceiptFile> {
  const lease = payloadOf(document.lease)
  const beat = payloadOf(document.beat)
  const openings = { request: toBase64Url(randomBytes(32)), response: toBase64Url(randomBytes(32)) }
  const receipt: Receipt = {
    type: 'claviger/receipt/v1',
    id: toHex(randomBytes(16)),
    requestId: toHex(randomBytes(16)),
    model: lease.model,
    version: lease.version,
    manifestDigest: lease.manifestDigest,
    keysetDigest: lease.keysetDigest,
    trustDigest: lease.trustDigest,
    policyDigest: lease.policy.digest,
    accepts: lease.policy.accepts,
    leafHash: toHex(hashLeaf(fromBase64(document.leaf))),
    entryIndex: Number(/^index ([0-9]+)$/m.exec(document.proof)?.[1]),
    leaseId: lease.id,
    beatAt: beat.at,
    beat: document.beat,
    others: undefined,
    route: 'POST /v1/audio/transcriptions',
    status: 200,
    request: commitBody('request', requestBody, openings.request),
    response: commitBody('response', responseBody, openings.response),
    clientPolicy: policyFor(lease.model),
    caller: null,
    usage: { requests: 1, inputBytes: 14, inputUnits: 7, outputUnits: 3, unit: 'audio-ms-and-tokens' },
    broker: 'UNATTESTED BROKER',
    platform: 'simulated',
    notHardware: true,
    weakenings: document.weakenings,
    ...changes,
  }
  return { type: 'claviger/receipt-file/v1', receipt: await signReceipt(receipt, key), node: document, openings }
}

/** What an envelope says, unverified; for tests, which signed it. */

export function payloadOf(envelope: { readonly payload: string }): ReturnType<typeof JSON.parse> {
  return JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8'))
}

/** A value as it is read from a file. */
export function asJson(value: unknown): Json {
  return parseJson(canonicalJson(value))
}

/** How a reader judges a node: `ok`, or the code of what ended it. */
export async function codeOfNode(
  document: unknown,
  given: { trust: Trust; policy: ClientPolicy; nonce?: string | null; at?: UnixSeconds },
): Promise<string> {
  const input = { nonce: null, at: testTime, ...given }
  const verdict = await judged(nodeSteps, (steps) => verifyNode(asJson(document), input, steps))
  return verdict.ok ? 'ok' : verdict.failure.code
}

/** How a reader judges a receipt: `ok`, or the code of what ended it. */
export async function codeOfReceipt(
  file: unknown,
  given: Partial<ReceiptTrust> & Pick<ReceiptTrust, 'trust'>,
): Promise<string> {
  const input = { policy: null, dangerousAllowSimulated: true, bodies: null, ...given }
  const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(file), input, steps))
  return verdict.ok ? 'ok' : verdict.failure.code
}

export function newBroker(): Promise<BrokerDouble> {
  return BrokerDouble.create(() => testTime)
}
