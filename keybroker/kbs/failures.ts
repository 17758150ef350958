/**
 * What belongs in keybroker/kbs: the KBS protocol 0.4.0 of Confidential Containers: its messages, the rule that binds
 * evidence to a nonce and a key, its JWE, its errors. What does not: HTTP, storage, verification of evidence, policy;
 * those are ports. docs/spec/kbs.md is our profile of it.
 */

/** Failures of the KBS routes. */
export type KbsCode =
  /** a message has not the form of the protocol */
  | 'kbs/message'
  | 'kbs/version'
  /** a kind of TEE that this broker does not verify */
  | 'kbs/tee'
  | 'kbs/tee-key'
  /** no session, or one that expired or whose nonce was used */
  | 'kbs/session'
  /** too many sessions wait for their evidence */
  | 'kbs/sessions-full'
  | 'kbs/nonce'
  | 'kbs/init-data'
  /** evidence cannot be read, or carries parts that nobody here verifies */
  | 'kbs/evidence'
  /** what a vendor signs for this machine came not along and is not held here */
  | 'kbs/collateral'
  /** evidence was verified and refused */
  | 'kbs/attestation'
  /** neither an attested session nor a token */
  | 'kbs/token-absent'
  | 'kbs/token'
  | 'kbs/path'
  | 'kbs/plugin'
  | 'kbs/policy-deny'
  | 'kbs/resource-absent'
  | 'kbs/resource-size'
  | 'kbs/admin'
  /** policies in languages that are not evaluated here are refused, never stored */
  | 'kbs/policy-language'
  | 'kbs/reference-values'

/** The names that clients know. source: trustee kbs/src/error.rs, as of v0.21.0 */
type Variant =
  | 'AdminAuthAccess'
  | 'AttestationError'
  | 'HTTPFailed'
  | 'InvalidRequestPath'
  | 'PluginInternalError'
  | 'PluginNotFound'
  | 'PolicyDeny'
  | 'ParsePolicyError'
  | 'RvpsError'
  | 'SerdeError'
  | 'TokenNotFound'
  | 'TokenVerifierError'

interface Row {
  readonly status: number
  readonly variant: Variant
}

/**
 * 401 only where a new handshake may help, since clients answer it with up to three of them; 403 and 404 stop them.
 * A session that cannot be used and evidence that is refused are 401 in every server of the protocol.
 */
const rows: Readonly<Record<KbsCode, Row>> = {
  'kbs/message': { status: 400, variant: 'SerdeError' },
  'kbs/version': { status: 401, variant: 'AttestationError' },
  'kbs/tee': { status: 401, variant: 'AttestationError' },
  'kbs/tee-key': { status: 401, variant: 'AttestationError' },
  'kbs/session': { status: 401, variant: 'AttestationError' },
  'kbs/sessions-full': { status: 429, variant: 'AttestationError' },
  'kbs/nonce': { status: 401, variant: 'AttestationError' },
  'kbs/init-data': { status: 401, variant: 'AttestationError' },
  'kbs/evidence': { status: 401, variant: 'AttestationError' },
  'kbs/collateral': { status: 401, variant: 'AttestationError' },
  'kbs/attestation': { status: 401, variant: 'AttestationError' },
  'kbs/token-absent': { status: 401, variant: 'TokenNotFound' },
  'kbs/token': { status: 401, variant: 'TokenVerifierError' },
  'kbs/path': { status: 404, variant: 'InvalidRequestPath' },
  'kbs/plugin': { status: 404, variant: 'PluginNotFound' },
  'kbs/policy-deny': { status: 403, variant: 'PolicyDeny' },
  'kbs/resource-absent': { status: 404, variant: 'PluginInternalError' },
  'kbs/resource-size': { status: 413, variant: 'PluginInternalError' },
  'kbs/admin': { status: 401, variant: 'AdminAuthAccess' },
  'kbs/policy-language': { status: 422, variant: 'ParsePolicyError' },
  'kbs/reference-values': { status: 422, variant: 'RvpsError' },
}

export const kbsStatuses: Readonly<Record<KbsCode, number>> = Object.fromEntries(
  Object.entries(rows).map(([code, row]) => [code, row.status]),
) as Record<KbsCode, number>

const typePrefix = 'https://github.com/confidential-containers/kbs/errors/'

/** The variant for codes that are not the protocol's own: the transport's, the database's. */
function variantOf(code: string): Variant {
  if (Object.hasOwn(rows, code)) return rows[code as KbsCode].variant
  if (/^(json|shape|bytes)\//.test(code)) return 'SerdeError'
  return code === 'http/not-found' ? 'PluginNotFound' : 'HTTPFailed'
}

/**
 * The error body of the KBS routes: `type` and `detail` as its clients parse them, and beside these the members of
 * a problem document (RFC 9457).
 */
export function encodeKbsError(code: string, message: string, status: number): string {
  return JSON.stringify({ type: `${typePrefix}${variantOf(code)}`, detail: message, status, code })
}
