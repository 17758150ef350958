import { setTimeout as pause } from 'node:timers/promises'
import { type NodeBrokers, openBrokers } from '#cli/start-brokers.js'
import { brokerAppraiser } from '#client/broker-proof.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Envelope } from '#core/dsse.js'
import { manifestDigest, type VerifiedManifest } from '#core/sealed/manifest.js'
import type { HostDeclaration } from '#core/wire/release.js'
import { readHostState } from '#runtime/engine/host-state.js'
import { findLeaks } from '#runtime/leaks.js'
import type { NodeSettings } from '#runtime/own-values.js'
import type { Attester, SessionEngine, SessionEvent, SessionPorts, Timing } from '#runtime/ports.js'
import type { Session } from '#runtime/session.js'
import { startSession } from '#runtime/start-session.js'

/** A sealed folder whose manifest was verified. */
export interface Sealed {
  readonly folder: string
  readonly manifestBytes: Uint8Array
  readonly manifest: VerifiedManifest
}

/** What whoever asks for a key is set to. */
export interface NodeSettingOptions {
  /** thumbprint of the broker's key; null when the trust statement lists one broker */
  readonly broker: string | null
  readonly host: HostDeclaration | null
  readonly purpose?: string | undefined
  readonly dangerousAllowSimulated: boolean
  readonly dangerousAllowInspection: boolean
  readonly dangerousAllowPlain: boolean
}

export interface NodeSessionOptions extends NodeSettingOptions {
  /** one, or several where several hold the key */
  readonly urls: readonly string[]
  /** the owner's trust statement; null to ask the broker for it */
  readonly trust: Envelope | null
  readonly attester: Attester
  /** what the host presents with each request; absent: nothing */
  readonly present?: SessionPorts['present']
  /** makes the key that landmarks time; absent: none times this node */
  readonly openTiming?: (() => Promise<Timing>) | undefined
  readonly threads: number
  report(event: SessionEvent): void
}

/** What a node of these options is set to: the same for whoever asks whether it would get the key. */
export async function settingsOf(
  options: NodeSettingOptions,
  { manifest, manifestBytes }: Sealed,
  brokers: NodeBrokers,
): Promise<NodeSettings> {
  return {
    model: manifest.model.id,
    modelVersion: manifest.model.version,
    manifestDigest: manifestDigest(manifestBytes),
    ownerKey: manifest.owner,
    trust: brokers.trust,
    broker: options.broker,
    ...(brokers.quorum === undefined ? {} : { quorum: brokers.quorum }),
    host: options.host,
    purpose: options.purpose,
    dangerousAllowInspection: options.dangerousAllowInspection,
    dangerousAllowPlain: options.dangerousAllowPlain,
    dangerousAllowSimulated: options.dangerousAllowSimulated,
    engineConfinement: 'unconfined',
    leaks: findLeaks(await readHostState()),
  }
}

/** A session with the brokers at these addresses, whose key `startEngine` holds. @throws node/brokers, and what startSession throws */
export async function openNodeSession(
  options: NodeSessionOptions,
  sealed: Sealed,
  startEngine: () => Promise<SessionEngine>,
): Promise<Session> {
  const { manifest, manifestBytes, folder } = sealed
  const brokers = await openBrokers(options.urls, manifest, options.trust, options.report)
  return startSession(
    { settings: await settingsOf(options, sealed, brokers), folder, manifestBytes, threads: options.threads },
    {
      broker: brokers.broker,
      ...(brokers.brokers === undefined ? {} : { brokers: brokers.brokers }),
      ...(brokers.findBrokers === undefined ? {} : { findBrokers: brokers.findBrokers }),
      attester: options.attester,
      appraiseBroker: brokerAppraiser(),
      present: options.present,
      timing: await options.openTiming?.(),
      startEngine,
      random: randomBytes,
      now: () => Math.floor(Date.now() / 1000),
      elapsedMs: () => performance.now(),
      pause: (ms) => pause(ms),
      report: options.report,
    },
  )
}
