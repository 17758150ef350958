import { equal, fromHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { credentialHash, type InnerRequest } from '#core/wire/inner.js'
import type { Lease } from '#core/wire/lease.js'

/** Failures of a request that was opened and is not served. */
export type AdmissionCode =
  | 'admission/model'
  | 'admission/version'
  | 'admission/manifest'
  | 'admission/country'
  | 'admission/simulated'
  /** nobody waits for the answer any more, or its deadline is further away than any answer takes */
  | 'admission/deadline'
  /** the owner lists callers, and this is none of them */
  | 'admission/caller'

/** The furthest deadline, in milliseconds from now. */
const deadlineMaxMs = 15 * 60_000

const refuse = (code: AdmissionCode, message: string) => new Failure<AdmissionCode>(code, message)

/**
 * Returns only when this node is one that the client's policy accepts: the client has judged that already, and a
 * request that reaches another node than it was meant for is refused here too (I8).
 *
 * throws  admission/model, admission/version, admission/manifest, admission/country, admission/simulated
 */
export function verifyClientPolicy(request: InnerRequest, lease: Lease): void {
  const { policy } = request
  if (request.model !== lease.model || policy.model !== lease.model)
    throw refuse('admission/model', `this node serves ${lease.model}`)
  if (lease.version < policy.versionMin)
    throw refuse('admission/version', `this node serves version ${lease.version}, asked for ${policy.versionMin}`)
  if (policy.manifests !== null && !policy.manifests.includes(lease.manifestDigest))
    throw refuse('admission/manifest', `this node serves manifest ${lease.manifestDigest}`)
  if (policy.countries !== null) {
    const country = lease.declared?.place?.country
    if (country === undefined || !policy.countries.includes(country))
      throw refuse('admission/country', `place of this node is ${country ?? 'not stated'}`)
  }
  if (lease.platform === 'simulated' && !policy.dangerousAllowSimulated)
    throw refuse('admission/simulated', 'evidence of this node is simulated: NOT HARDWARE')
}

/** Returns only while somebody waits for the answer. nowMs: unix milliseconds. @throws admission/deadline */
export function verifyDeadline(deadlineMs: number, nowMs: number): void {
  if (deadlineMs <= nowMs) throw refuse('admission/deadline', 'the deadline has passed')
  if (deadlineMs > nowMs + deadlineMaxMs)
    throw refuse('admission/deadline', `the deadline is more than ${deadlineMaxMs} ms away`)
}

/**
 * The pseudonym of the caller whom the credential names; null where the owner lets anybody call.
 *
 * throws  admission/caller: the same for no, a wrong and an expired credential
 */
export function identifyCaller(credential: string | null, lease: Lease, at: UnixSeconds): string | null {
  const { callers } = lease
  if (callers === 'any') return null
  const unknown = refuse('admission/caller', 'the owner of this model lets only listed callers use it')
  if (credential === null) throw unknown
  const hash = fromHex(credentialHash(credential))
  let found: string | undefined
  // Every caller is compared, so that the time taken tells nothing about the list.
  for (const caller of callers) {
    if (equal(hash, fromHex(caller.credentialHash)) && at < caller.expiresAt) found = caller.pseudonym
  }
  if (found === undefined) throw unknown
  return found
}
