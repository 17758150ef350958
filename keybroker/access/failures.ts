/**
 * What belongs in keybroker/access: who asks, by what an owner signed about identities, and what each may do. What does not:
 * decisions on releases, and anything that replaces an owner's signature (I18). All of it is pure; the network that issuers
 * are asked over, and the connection that a certificate came on, stand in keybroker/service.
 */
import type { AccessListCode } from '#core/wire/access-list.js'

/** Failures of asking in somebody's name. That a tenant does not know a credential is `broker/unknown-tenant`. */
export type AccessCode =
  | AccessListCode
  /** none was shown, or something that is none */
  | 'access/credential'
  /** a bearer token that is not of the form, for whomever it is */
  | 'access/token-form'
  /** a bearer token under an algorithm that is not taken, `none` and those of shared secrets above all */
  | 'access/token-algorithm'
  /** a bearer token that is over, not yet begun, from the future, or for too long */
  | 'access/token-time'
  /** the identity is listed, and its time is over or has not begun */
  | 'access/expired'
  /** the identity is listed, and its role may not do this */
  | 'access/role'
  /** more requests in a minute than the owner allows, or more attempts from this address */
  | 'access/rate'
  /** the issuer of the token cannot be asked for its keys: nobody is let in meanwhile */
  | 'access/issuer'
