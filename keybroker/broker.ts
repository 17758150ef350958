import type { RecipientKey } from '#core/crypto/hpke.js'
import type { X25519Jwk, XwingJwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { HeadMemory } from '#keybroker/heads.js'
import type { Clock, Kek, Log, Random, Store } from '#keybroker/ports.js'
import type { SharedRates } from '#keybroker/rates.js'
import type { Borders } from '#policies/location/borders.js'
import type { Appraised } from '#policies/release/appraised.js'
import type { AppraiseEvidence } from '#policies/release/judge.js'
import type { KeptStatements } from '#policies/release/kept.js'

/** What the attestation result of a release is issued for. */
export interface ResultFor {
  /** thumbprint of the broker */
  readonly audience: string
  /** base64url of 32 bytes */
  readonly nonce: string
  /** thumbprint of the key that the model key is wrapped to */
  readonly keyThumbprint: string
  readonly keysetDigest: string
}

/** A result that its verifier can sign as an EAR. */
export interface IssuableResult extends Appraised {
  issueEar(about: ResultFor): Promise<string>
}

/** A running broker: its keys, and the ports to everything around it. */
export interface Broker {
  readonly store: Store
  readonly log: Log
  readonly kek: Kek
  /** signs leases, beats and the broker's document; its thumbprint is the broker's name */
  readonly signer: SigningKey
  /** owners seal model keys to it */
  readonly wrapping: RecipientKey<X25519Jwk>
  /** those who know X-Wing to this one */
  readonly wrappingHybrid: RecipientKey<XwingJwk>
  /** what it says that it runs in, by what it makes evidence with */
  readonly standing: BrokerStanding
  /** 32 bytes, from which the salts of callers' pseudonyms are derived */
  readonly callerSecret: Uint8Array
  readonly appraise: AppraiseEvidence<IssuableResult>
  /** the map that round trips are judged on */
  readonly borders: Borders
  readonly heads: HeadMemory
  readonly kept: KeptStatements
  /** Whether one more decision is taken now; `machine` names the chip, or what runs there where the chip is hidden. */
  readonly admit: (tenant: string, machine: string) => Promise<boolean>
  /** bounds of tenants, which all processes on one database keep together */
  readonly rates: SharedRates
  readonly clock: Clock
  readonly random: Random
}
