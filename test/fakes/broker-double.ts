import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import { fromBase64, toBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey, hpkeSeal } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, thumbprint, type X25519Jwk, type XwingJwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import type { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { addSignatures, signCheckpoint } from '#core/tlog/checkpoint.js'
import { cosign } from '#core/tlog/cosignature.js'
import { hashLeaf, hashNode } from '#core/tlog/merkle.js'
import { encodeTlogProof } from '#core/tlog/proof.js'
import { computeRoot, type NodeId, proveInclusion } from '#core/tlog/prove.js'
import { encodeVkey, makeNoteSigner, type NoteSigner } from '#core/tlog/vkey.js'
import { documentDigest, reportDataOf } from '#core/wire/binding.js'
import { type BrokerDocument, signBrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerProof } from '#core/wire/broker-proof.js'
import type { Budget } from '#core/wire/budget.js'
import { commit } from '#core/wire/commitment.js'
import { claimedCounter } from '#core/wire/counter.js'
import { encodeEntry, type ReleaseEntry } from '#core/wire/entries.js'
import { releaseKeyThumbprint } from '#core/wire/keyset.js'
import { earDigest, evidenceDigest, nonceDigest } from '#core/wire/leaf.js'
import { type Beat, type Lease, signBeat, signLease } from '#core/wire/lease.js'
import { apiVersion, type ReleaseAnswer, type ReleaseRequest, releaseAad, releaseInfo } from '#core/wire/release.js'
import { payloadDigest, type Statement, signStatement, verifyHostStatement } from '#core/wire/statements.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { ownStanding, proveBroker } from '#keybroker/proof.js'
import type { Broker, BrokerCode } from '#runtime/ports.js'
import { testReferenceValues, testRootDigest } from './platform.js'

async function ed25519(): Promise<SigningKey> {
  return (await generateSigningKey('Ed25519')).key
}
const publicOf = (key: SigningKey) => key.publicKey as Ed25519Jwk

/** A log in memory: true tree, true checkpoints, true cosignatures. */
export class LogDouble {
  readonly signer: NoteSigner
  readonly witness: NoteSigner
  readonly #leaves: Uint8Array[] = []

  constructor(signer: NoteSigner, witness: NoteSigner) {
    this.signer = signer
    this.witness = witness
  }

  static async create(name = 'log.example/1'): Promise<LogDouble> {
    return new LogDouble(
      makeNoteSigner(name, 'log', await ed25519()),
      makeNoteSigner('witness.example/1', 'cosigner', await ed25519()),
    )
  }

  get policy(): string {
    return `witness w1 ${encodeVkey(this.witness.verifier)}\nquorum w1\n`
  }

  #node = ({ level, index }: NodeId): Uint8Array =>
    level === 0
      ? hashLeaf(this.#leaves[index]!)
      : hashNode(
          this.#node({ level: level - 1, index: index * 2 }),
          this.#node({ level: level - 1, index: index * 2 + 1 }),
        )

  /** The proof text of a new leaf. `isWitnessed` false leaves the cosignature out. */
  async append(leaf: Uint8Array, at: UnixSeconds, isWitnessed = true): Promise<string> {
    const index = this.#leaves.push(leaf) - 1
    const size = this.#leaves.length
    const read = async (nodes: readonly NodeId[]) => nodes.map(this.#node)
    const note = await signCheckpoint(
      { origin: this.signer.verifier.name, size, rootHash: await computeRoot(size, read) },
      this.signer,
    )
    const cosignatures = isWitnessed ? [await cosign(note.text, at, this.witness)] : []
    const hashes = await proveInclusion(index, size, read)
    return encodeTlogProof({ hashes, index, checkpoint: addSignatures(note, cosignatures) })
  }
}

/** A budget of so many requests, and of more bytes and units than they take. */
export function budgetOf(requests: number): Budget {
  return { requests, inputBytes: 1_000_000_000, workUnits: 1_000_000_000 }
}

/** Where a test reaches into an otherwise honest broker. Each is applied before its result is signed. */
export interface Tampering {
  lease?: (lease: Lease) => Lease
  beat?: (beat: Beat) => Beat
  entry?: (entry: ReleaseEntry) => ReleaseEntry
  leaf?: (leaf: Uint8Array) => Uint8Array
  request?: (request: ReleaseRequest) => ReleaseRequest
  /** what the attestation result is about, beside what was released */
  earOf?: (request: ReleaseRequest) => ReleaseRequest
  earAt?: UnixSeconds
  earNonce?: string
  earKey?: SigningKey
  leaseKey?: SigningKey
  beatKey?: SigningKey
  isWitnessed?: boolean
  log?: LogDouble
  answer?: (answer: ReleaseAnswer) => ReleaseAnswer
  challengeBroker?: string
  proof?: (proof: BrokerProof) => BrokerProof | Promise<BrokerProof>
  challengeExpiresAt?: UnixSeconds
  /** what every call throws instead */
  fails?: Failure<BrokerCode>
}

/** An owner with its statements, and a broker that obeys them: everything is signed, logged and proved truly. */
export class BrokerDouble {
  readonly owner: SigningKey
  readonly key: SigningKey
  readonly verifier: SigningKey
  readonly log: LogDouble
  readonly model: string
  readonly manifestDigest: string
  readonly tenantOpening = toBase64Url(randomBytes(32))
  readonly calls: string[] = []
  readonly requests: ReleaseRequest[] = []
  /** last words that were heard */
  readonly finals: number[] = []
  tampering: Tampering = {}
  /** the brokers among whom the key is split */
  quorum: Lease['quorum']
  lease = { seconds: 600, budget: budgetOf(100) }
  beatSeconds = 60
  callers: Lease['callers'] = 'any'
  /** what everything that it signs says of the node's machine */
  platform: Lease['platform'] = 'simulated'
  referenceValues = testReferenceValues()
  dek = randomBytes(32)
  wrapping: X25519Jwk | undefined
  wrappingHybrid: XwingJwk | undefined
  now: () => UnixSeconds
  trust!: Envelope
  /** what it makes evidence of itself with; null: it is unattested */
  attester: BrokerAttester | null = null
  /** what it says of itself in leases, entries and its document */
  get standing() {
    return ownStanding(this.attester)
  }

  private constructor(
    keys: { owner: SigningKey; key: SigningKey; verifier: SigningKey },
    log: LogDouble,
    now: () => UnixSeconds,
  ) {
    this.owner = keys.owner
    this.key = keys.key
    this.verifier = keys.verifier
    this.log = log
    this.now = now
    this.model = `${keys.owner.id}/whisper`
    this.manifestDigest = 'cd'.repeat(32)
  }

  /** as: whose broker it is; null for a new owner's */
  static async create(now: () => UnixSeconds, as: SigningKey | null = null): Promise<BrokerDouble> {
    const owner = as ?? (await generateSigningKey('ES256')).key // model-signing knows no Ed25519
    const keys = { owner, key: await ed25519(), verifier: await ed25519() }
    const broker = new BrokerDouble(keys, await LogDouble.create(), now)
    broker.trust = await broker.signTrust({})
    return broker
  }

  /** The owner's trust statement, with some members changed. */
  async signTrust(changes: Partial<Statement<'trust'>>, key = this.owner): Promise<Envelope> {
    const statement: Statement<'trust'> = {
      type: 'claviger/statement/trust/v1',
      tenant: this.owner.id,
      sequence: 1,
      previous: null,
      issuedAt: this.now(),
      class: 'development',
      brokers: [publicOf(this.key)],
      verifiers: [this.verifier.publicKey],
      logs: [encodeVkey(this.log.signer.verifier)],
      witnessPolicy: this.log.policy,
      simulatedRoots: [testRootDigest],
      independentWitnesses: [],
      ...changes,
    }
    return signStatement('trust', statement, key)
  }

  get id(): string {
    return thumbprint(publicOf(this.key))
  }

  async #appraise(request: ReleaseRequest) {
    const result = await appraiseEvidence(
      request.evidence,
      { simulatedRoots: [testRootDigest] },
      {
        expectedReportData: reportDataOf(request.binding),
        referenceValues: this.referenceValues,
        tenantClass: 'development',
        at: this.tampering.earAt ?? this.now(),
      },
    )
    return { ...result, platform: this.platform }
  }

  async #ear(request: ReleaseRequest): Promise<string> {
    const about = this.tampering.earOf?.(request) ?? request
    const input = {
      issuer: 'verifier.example',
      audience: this.id,
      nonce: this.tampering.earNonce ?? request.binding.nonce,
      id: toBase64Url(randomBytes(16)),
      keyThumbprint: releaseKeyThumbprint(about.keyset),
      keysetDigest: about.binding.keyset_digest,
      build: '0',
    }
    const result = await this.#appraise(request)
    const digests = { ...result.digests, evidence: evidenceDigest(about.evidence) }
    return issueEar({ ...result, digests }, input, this.tampering.earKey ?? this.verifier)
  }

  async #declared(request: ReleaseRequest): Promise<Lease['declared']> {
    if (request.host === null) return null
    const { value, digest } = await verifyHostStatement(request.host.statement, request.host.key)
    const { place, operator, host, issuedAt } = value
    const issuer = thumbprint(request.host.key)
    return { place, operator, host, basis: 'declared', grade: 'L0', issuer, issuedAt, statementDigest: digest }
  }

  async #lease(request: ReleaseRequest): Promise<Lease> {
    const at = this.now()
    const lease: Lease = {
      type: 'claviger/lease/v1',
      id: request.lease ?? toHex(randomBytes(16)),
      broker: this.id,
      tenant: this.owner.id,
      model: this.model,
      version: request.modelVersion,
      manifestDigest: request.manifestDigest,
      keysetDigest: request.binding.keyset_digest,
      trustDigest: payloadDigest(this.trust),
      issuedAt: at,
      expiresAt: at + this.lease.seconds,
      budget: this.lease.budget,
      policy: { name: 'open', sequence: 1, digest: 'ef'.repeat(32), accepts: undefined },
      callers: this.callers,
      declared: await this.#declared(request),
      time: 'host-influenced',
      platform: this.platform,
      standing: this.standing,
      quorum: this.quorum,
    }
    return this.tampering.lease?.(lease) ?? lease
  }

  #beat(lease: Pick<Lease, 'id' | 'expiresAt'>, nonce: string): Promise<Envelope> {
    const at = this.now()
    const expiresAt = Math.min(at + this.beatSeconds, lease.expiresAt)
    const beat: Beat = { type: 'claviger/beat/v1', lease: lease.id, nonce, at, expiresAt }
    return signBeat(this.tampering.beat?.(beat) ?? beat, this.tampering.beatKey ?? this.key)
  }

  /** The answer of an honest broker to a request, with whatever the test changed on the way. */
  async answer(given: ReleaseRequest): Promise<ReleaseAnswer> {
    const request = this.tampering.request?.(given) ?? given
    const { binding, evidence } = request
    const lease = await this.#lease(request)
    const ear = await this.#ear(request)
    const openings = {
      tenant: this.tenantOpening,
      model: toBase64Url(randomBytes(32)),
      evidence: toBase64Url(randomBytes(32)),
      decision: toBase64Url(randomBytes(32)),
    }
    const decision = { effect: 'allow' }
    const honest: ReleaseEntry = {
      kind: request.lease === null ? 'release' : 'renewal',
      type: 'claviger/entry/v1',
      at: this.now(),
      tenant: commit('tenant', this.owner.id, openings.tenant),
      model: commit('model', this.model, openings.model),
      state_index: 0,
      nonce_digest: nonceDigest(binding.nonce),
      evidence: commit('evidence', evidence, openings.evidence),
      decision: commit('decision', decision, openings.decision),
      platform: this.platform,
      broker: this.standing,
      version: lease.version,
      manifest_digest: lease.manifestDigest,
      keyset_digest: binding.keyset_digest,
      config_digest: binding.config_digest,
      trust_digest: binding.trust_digest,
      policy_digest: lease.policy.digest,
      reference_values_digest: documentDigest(this.referenceValues),
      ear_digest: earDigest(ear),
      lease_id: lease.id,
      lease_expires_at: lease.expiresAt,
      route: 'v1',
    }
    const encoded = encodeEntry(this.tampering.entry?.(honest) ?? honest)
    const leaf = this.tampering.leaf?.(encoded) ?? encoded
    const log = this.tampering.log ?? this.log
    const proof = await log.append(leaf, this.now(), this.tampering.isWitnessed ?? true)
    const info = releaseInfo(hashLeaf(leaf))
    const wrapped =
      request.lease === null
        ? toBase64(await hpkeSeal(request.keyset.release, info, releaseAad(request.manifestDigest), this.dek))
        : null
    const answer: ReleaseAnswer = {
      version: apiVersion,
      leaf: toBase64(leaf),
      openings,
      decision,
      proof,
      lease: await signLease(lease, this.tampering.leaseKey ?? this.key),
      beat: await this.#beat(lease, binding.nonce),
      ear,
      renewalToken: toBase64Url(randomBytes(32)),
      wrapped,
    }
    return this.tampering.answer?.(answer) ?? answer
  }

  /** Its document, with some members changed. */
  async document(changes: Partial<BrokerDocument> = {}, key = this.key) {
    const document: BrokerDocument = {
      type: 'claviger/broker/v1',
      key: publicOf(this.key),
      wrapping: (this.wrapping ??= (await generateRecipientKey()).publicKey),
      wrappingHybrid: (this.wrappingHybrid ??= (await generateHybridKey()).publicKey),
      verifiers: [this.verifier.publicKey],
      logs: [encodeVkey(this.log.signer.verifier)],
      witnessPolicy: this.log.policy,
      standing: this.standing,
      kek: 'KEK HELD BY OPERATOR',
      kekBroker: undefined,
      kekModel: undefined,
      issuedAt: this.now(),
      ...changes,
    }
    return { document, envelope: await signBrokerDocument(document, key) }
  }

  /** Evidence of itself that answers a nonce. @throws broker/unattested */
  async prove(nonce: string): Promise<BrokerProof> {
    const proof = await proveBroker(this.attester, await this.document(), nonce)
    return (await this.tampering.proof?.(proof)) ?? proof
  }

  /** The broker as a node calls it. */
  port(): Broker {
    const called = (name: string) => {
      this.calls.push(name)
      if (this.tampering.fails) throw this.tampering.fails
    }
    const granted = async (name: string, request: ReleaseRequest) => {
      called(name)
      this.requests.push(request)
      return this.answer(request)
    }
    return {
      prove: async (nonce) => {
        called('prove')
        return this.prove(nonce)
      },
      challenge: async () => {
        called('challenge')
        const expiresAt = this.tampering.challengeExpiresAt ?? this.now() + 120
        const broker = this.tampering.challengeBroker ?? this.id
        return { version: apiVersion, broker, nonce: toBase64Url(randomBytes(32)), expiresAt, ticket: undefined }
      },
      release: (request) => granted('release', request),
      renew: (request) => granted('renew', request),
      finish: async ({ counter }) => {
        called('finish')
        const { lease, inferences } = claimedCounter(fromBase64(counter.payload))
        this.finals.push(inferences)
        return { version: apiVersion, lease, used: inferences, returned: 0 }
      },
      beat: async (lease, nonce) => {
        called('beat')
        return this.#beat({ id: lease, expiresAt: this.now() + this.lease.seconds }, nonce)
      },
    }
  }
}
