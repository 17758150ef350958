import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { holderOf, verifyKeyBinding, verifySdJwt } from '#core/sd-jwt.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type StatusReference, statusAt, verifyStatusList } from '#core/wire/status-list.js'
import { type DirectoryIssuer, type IssuerDirectory, issuerOf } from '#policies/credentials/directory.js'
import { areasOf, type Credential, type CredentialCode, readCredential } from '#policies/credentials/kinds.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf } from '#policies/registry/resolve.js'

/** `typ` of an SD-JWT that is a verifiable credential. source: draft-ietf-oauth-sd-jwt-vc, "JOSE Header" */
export const credentialTyp = 'dc+sd-jwt'

export interface CredentialContext {
  readonly directory: IssuerDirectory
  readonly registry: RegistryContent
  readonly at: UnixSeconds
  /** status list tokens by their address. One that is not here is unknown, and unknown denies */
  readonly statusLists: ReadonlyMap<string, string>
  /** how old a status list may be; absent: as old as its issuer lets it */
  readonly statusSecondsMax?: number
  /** null: nobody presents it, as when it stands in a bundle; what a holder alone may use is then not shown */
  readonly presented: { readonly audience: string; readonly nonce: string; readonly ageSecondsMax: number } | null
}

/** A credential whose signature, issuer, scope, time and status were verified. */
export type VerifiedCredential = Credential & {
  readonly issuer: DirectoryIssuer
  /** thumbprint of the key that it was issued to */
  readonly holder: string
  /** whether who sent it showed that it holds that key */
  readonly isBound: boolean
  /** SHA-256 of the text, lowercase hex */
  readonly digest: string
  /** the first instant at which it, or what says that it holds, is over */
  readonly until: UnixSeconds
}

/**
 * A credential that somebody issued who may, that is in its time, and that its status list says still holds.
 *
 * input   `text` is an SD-JWT as its issuer gave it out or as its holder presents it
 * trusts  the directory and the registry, which the caller verified
 * throws  credential/issuer, credential/kind, credential/scope, credential/not-yet-valid, credential/expired,
 *         credential/status-unknown, credential/revoked, registry/..., sd-jwt/..., jws/..., shape/...
 * source  draft-ietf-oauth-sd-jwt-vc, "Verification and Processing"; RFC 9901, "Verification"
 */
export async function verifyCredential(text: string, context: CredentialContext): Promise<VerifiedCredential> {
  const { directory, at, presented } = context
  const keys = directory.issuers.flatMap((one) => one.keys)
  const { claims, signer } = await verifySdJwt(text, keys, credentialTyp, 'credential').catch((cause: unknown) => {
    if (isFailure(cause) && cause.code === 'jws/key')
      throw new Failure<CredentialCode>('credential/issuer', 'nobody in the directory signed the credential', { cause })
    throw cause
  })
  const issuer = issuerOf(directory, signer)!
  const credential = readCredential(claims)
  verifyInTime(credential, at)
  verifyScope(credential, issuer, context)
  const listUntil = await verifyStatus(credential.claims.status, issuer, context)
  const holder = holderOf(claims)
  if (presented !== null) await verifyKeyBinding(text, { ...presented, holder, at })
  return {
    ...credential,
    issuer,
    holder: thumbprint(holder),
    isBound: presented !== null,
    digest: toHex(sha256(utf8(text))),
    until: Math.min(credential.claims.exp, listUntil),
  }
}

function verifyInTime({ claims }: Credential, at: UnixSeconds): void {
  const from = Math.max(claims.iat, claims.nbf ?? 0)
  if (from > at + clockSkewSeconds)
    throw new Failure<CredentialCode>('credential/not-yet-valid', `credential counts from ${formatTime(from)}`)
  if (at >= claims.exp)
    throw new Failure<CredentialCode>('credential/expired', `credential expired at ${formatTime(claims.exp)}`)
}

/** A French auditor cannot clear exports of India: each role names what and where. */
function verifyScope(credential: Credential, issuer: DirectoryIssuer, { registry, at }: CredentialContext): void {
  const roles = issuer.roles.filter(({ kind }) => kind === credential.kind)
  const refuse = (what: string) =>
    new Failure<CredentialCode>('credential/scope', `${issuer.id} may not issue a credential of ${what}`)
  if (roles.length === 0) throw refuse(credential.kind)
  for (const code of areasOf(credential)) {
    const exclave = 'exclave' in credential.claims && credential.claims.exclave
    const { codes } = jurisdictionsOf(registry, { code, exclave, at, shown: [] })
    if (!roles.some(({ areas }) => areas.some((one) => codes.includes(one))))
      throw refuse(`${credential.kind} in ${code}`)
  }
}

async function verifyStatus(
  { status_list: { idx, uri } }: StatusReference,
  issuer: DirectoryIssuer,
  { statusLists, statusSecondsMax, at }: CredentialContext,
): Promise<UnixSeconds> {
  const token = statusLists.get(uri)
  const unknown = (why: string, cause?: unknown) =>
    new Failure<CredentialCode>(
      'credential/status-unknown',
      `whether the credential still holds is not known: ${why}`,
      {
        cause,
      },
    )
  if (token === undefined) throw unknown(`there is no status list of ${uri}`)
  let status: ReturnType<typeof statusAt>
  let until: UnixSeconds
  let issuedAt: UnixSeconds
  try {
    const list = await verifyStatusList(token, issuer.keys, uri, at)
    issuedAt = list.issuedAt
    status = statusAt(list, idx)
    until = list.expiresAt
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw unknown(cause.message, cause)
  }
  if (status !== 'valid') throw new Failure<CredentialCode>('credential/revoked', `credential is ${status} by ${uri}`)
  // Whoever presents a credential chooses which of two lists that are both in their time comes along.
  if (statusSecondsMax !== undefined && at - issuedAt >= statusSecondsMax)
    throw unknown(`the status list is ${at - issuedAt} seconds old, expected less than ${statusSecondsMax}`)
  return Math.min(until, issuedAt + (statusSecondsMax ?? until))
}
