import type { VerifiedItem } from '#attest/endorsements/item.js'
import type { CollateralName } from '#attest/endorsements/names.js'
import type { UnixSeconds } from '#core/time.js'
import type { Certificate } from '#core/x509/certificate.js'
import type { VerifiedLinks } from '#core/x509/chain.js'
import type { Crl } from '#core/x509/crl.js'

/** What a document is verified beside. */
export interface VerifyContext {
  /** SHA-256 of the keys of throwaway roots; documents under one of them are `simulated` */
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
  /** a list that was verified before and is current, or null where none is at hand */
  crlOf(name: CollateralName, root: string): Crl | null
  readonly links?: VerifiedLinks
}

/** What a document was found to say. */
export interface Facts {
  readonly issuer: Certificate
  readonly root: Certificate
  readonly rootDigest: string
  readonly platform: VerifiedItem['platform']
  readonly crl: VerifiedItem['crl']
  readonly floor: VerifiedItem['floor']
  /** absent: documents of this kind revoke nothing by themselves */
  readonly revoked?: boolean
  readonly edition: VerifiedItem['edition']
  readonly issuedAt: UnixSeconds
  readonly nextUpdate: UnixSeconds
}
