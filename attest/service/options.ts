import type { Anchors } from '#attest/anchors.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import type { Authorize } from '#attest/service/authorize.js'
import type { KeySet } from '#attest/service/keys.js'
import type { UnixSeconds } from '#core/time.js'

/** What the routes of the verifier stand on. */
export interface AttestRoutesOptions {
  readonly issuer: string
  readonly build: string
  /** asked for each time, so that a key that was rolled or retired counts from the next request on */
  readonly keys: () => Promise<KeySet>
  /** asked for each time: owners of development tenants may name roots while the service runs */
  readonly anchors: () => Promise<Anchors>
  readonly authorize: Authorize
  readonly now: () => UnixSeconds
  /** what evidence lacks is taken from here, and its floors hold; absent: evidence has to come with everything */
  readonly collateral?: CollateralSupply
}
