/**
 * What belongs in runtime: what runs inside the TEE. Files beside this one are pure; network, device, engine process,
 * clock and randomness are the ports below, and edges (attester, engine, service) fill them.
 */
import type { Ed25519Jwk, XwingJwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import type { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Binding } from '#core/wire/binding.js'
import type { AppraiseBroker, BrokerProof } from '#core/wire/broker-proof.js'
import type { FinalAnswer, FinalRequest } from '#core/wire/counter.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { Challenge, ChallengeRequest, ReleaseAnswer, ReleaseRequest, Renewal } from '#core/wire/release.js'
import type { Presented } from '#core/wire/sources.js'
import type { InferenceEngine, ModelMetadata } from '#runtime/api/engine.js'

/** Failures of speaking with the broker. */
export type BrokerCode =
  /** no answer, or one that says to come again: tried again while the lease lives */
  | 'broker/unreachable'
  /** the broker decided against it; `detail.denial` holds its reasons, unread. Key use ends now */
  | 'broker/denied'
  /** no sign of life for this lease as it is: the owner changed its terms, and a renewal brings those of now */
  | 'broker/lease-stale'
  /** it says that it runs outside a TEE, and has no evidence */
  | 'broker/unattested'
  /** the broker refused the request as such */
  | 'broker/refused'
  /** the answer is not one */
  | 'broker/answer'

/** Failures of a session with the broker. */
export type SessionCode =
  /** the challenge is from another broker than the one that the settings pin: its nonce may be relayed */
  | 'session/broker'
  | 'session/challenge-expired'
  /** a release without a key, or a renewal with one */
  | 'session/key'
  /** the keyset has reached its end: a new node must be started */
  | 'session/keyset-expired'
  /** the engine's process ended by itself */
  | 'session/engine'
  /** fewer brokers of a split key granted their share than have to agree, or one of those who hold it is not there */
  | 'session/quorum'
  /** a broker's share is not the one that the owner committed to: the broker is named, and counts for nothing */
  | 'session/share'
  /** the session was ended by whoever started it */
  | 'session/stopped'

/** The key broker as a node sees it. @throws Failure<BrokerCode> */
export interface Broker {
  /** Its document with evidence that answers the node's own nonce. nonce: base64url of 32 bytes */
  prove(nonce: string): Promise<BrokerProof>
  /** renewal: of the lease that is to be renewed; null for a first release. timed: asks for a ticket for landmarks too */
  challenge(model: string, renewal: Renewal | null, timed?: ChallengeRequest['timed']): Promise<Challenge>
  release(request: ReleaseRequest): Promise<ReleaseAnswer>
  renew(request: ReleaseRequest): Promise<ReleaseAnswer>
  /** The last word on a lease: what it left unused is the owner's again. */
  finish(request: Omit<FinalRequest, 'version'>): Promise<FinalAnswer>
  /** nonce: base64url of 32 bytes, the node's own */
  beat(lease: string, nonce: string): Promise<Envelope>
}

/** What makes evidence. It signs report data that only the session composes. */
export interface Attester {
  readonly platform: 'hardware' | 'simulated'
  /** reportData 64 bytes */
  attest(reportData: Uint8Array): Promise<Evidence>
}

/** What was sealed to the engine's process: encapsulated key, then ciphertext. */
export interface SealedKey {
  readonly sealed: Uint8Array
  readonly info: Uint8Array
}
/** A whole key, or shares of one that is split: each by its index in the manifest's quorum, from 1. */
export type LoadKey = SealedKey | { readonly shares: readonly (SealedKey & { readonly index: number })[] }

/** The model's process, as far as the session needs it. */
export interface SessionEngine extends InferenceEngine {
  /** made in the process; its private half never leaves it */
  readonly releaseKey: XwingJwk
  load(
    request: {
      readonly folder: string
      readonly manifestBytes: Uint8Array
      readonly aad: Uint8Array
      readonly threads: number
    } & LoadKey,
  ): Promise<ModelMetadata>
  /** true when the process has exited */
  unload(): Promise<void>
  readonly ended: Promise<Failure>
}

/** Two clocks, neither of which is believed alone: the host can set the first and stop both (I15). */
export interface Clocks {
  now(): UnixSeconds
  /** milliseconds that only go forward */
  elapsedMs(): number
}

/** A broker of a split key, with the owner's trust statement that it keeps: verify it. */
export interface FoundBroker {
  /** thumbprint of its key, by its own word */
  readonly id: string
  readonly broker: Broker
  readonly trust: Envelope
}

/** The key of this node that landmarks time, and how it is timed. */
export interface Timing {
  readonly key: Ed25519Jwk
  /** names of the landmarks that are asked */
  readonly landmarks: readonly string[]
  /** Receipts of those that gave one, for this ticket. */
  beTimed(ticket: Envelope): Promise<readonly Envelope[]>
}

export interface SessionPorts extends Clocks {
  readonly broker: Broker
  /** of a key that is split: those of its brokers that can be called, by their thumbprints */
  readonly brokers?: ReadonlyMap<string, Broker>
  /**
   * Of a key that is split: every broker that answers by now, those of the start among them or not. It tells by itself what it is that
   * others do not answer, and never fails for it. Absent where nobody looks again.
   */
  findBrokers?(): Promise<readonly FoundBroker[]>
  readonly attester: Attester
  /** the verifier, for evidence of brokers: this process knows no kind of evidence */
  readonly appraiseBroker: AppraiseBroker
  /** what the host presents with the request that this binding is of; absent where it presents nothing */
  readonly present?: ((binding: Binding) => Promise<Omit<Presented, 'timed'>>) | undefined
  /** lets landmarks time the node before each request in which the host presents anything; absent where none does */
  readonly timing?: Timing | undefined
  startEngine(): Promise<SessionEngine>
  random(size: number): Uint8Array
  /** returns after so many milliseconds */
  pause(ms: number): Promise<void>
  /** tells what the session is doing: codes, counts and digests, never a secret or a body */
  report(event: SessionEvent): void
}

/** `step` names what was done, for progress; `trouble` is a failure that the session survives for now. */
export type SessionEvent =
  | { readonly kind: 'step'; readonly step: SessionStep; readonly text: string }
  | { readonly kind: 'trouble'; readonly failure: Failure }
  | { readonly kind: 'ended'; readonly failure: Failure }
export type SessionStep =
  | 'engine'
  | 'keyset'
  | 'challenge'
  | 'evidence'
  | 'release'
  | 'verify'
  | 'load'
  | 'renewal'
  | 'beat'
  | 'final'
