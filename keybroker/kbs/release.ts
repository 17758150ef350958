import { fromBase64Url } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { sessionDigest } from '#keybroker/kbs/handshake.js'
import { encryptResource } from '#keybroker/kbs/jwe.js'
import { verifyPassport } from '#keybroker/kbs/passport.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'
import { isOwnersPath, type ModelKeyPath, modelKeyOf, type ResourcePath } from '#keybroker/kbs/resource.js'
import { type PresentedToken, tokenSizeMax, verifyToken } from '#keybroker/kbs/token.js'

/** What a request brings along to say for which guest it asks. */
export interface Presented {
  /** of the cookie */
  readonly sessionId: string | undefined
  /** of the header `Authorization` */
  readonly authorization: string | undefined
}

const bearerForm = /^Bearer ([A-Za-z0-9_.-]+)$/i

/**
 * The guest's token: that of its attested session, else the one that it carries, ours or that of a verifier that was named.
 *
 * throws  kbs/token-absent, kbs/token
 */
async function presentedToken(presented: Presented, ports: KbsPorts): Promise<PresentedToken> {
  const at = ports.clock()
  const idDigest = sessionDigest(presented.sessionId)
  const session = idDigest === null ? null : await ports.sessions.loadToken(idDigest, at)
  const token = session?.token ?? bearerForm.exec(presented.authorization ?? '')?.[1]
  if (token === undefined) throw new Failure<KbsCode>('kbs/token-absent', 'no attested session and no bearer token')
  const own = ports.signer
  // Only a token of a session was looked up by this broker itself: what a guest carries may be anybody's.
  if (session !== null || ports.verifiers.length === 0 || isOwn(token, own.id))
    return verifyToken(token, own.publicKey, at)
  return verifyPassport(token, ports.verifiers, own.id, at)
}

/** Whether a token says that this broker signed it. Which keys it is verified with hangs on that, not whether it is true. */
function isOwn(token: string, own: string): boolean {
  if (token.length > tokenSizeMax) return false
  try {
    const header = parseJson(fromBase64Url(token.split('.', 1)[0]!))
    return header !== null && typeof header === 'object' && 'kid' in header && header.kid === own
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

function denied(reasons: readonly string[]): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/policy-deny', `policy denies: ${reasons.join(', ')}`, { detail: { reasons } })
}

/**
 * A model key. The owner's registration must list this route, whatever a policy says (SETTLED 9); that there is no such
 * key is told apart from that to nobody.
 */
async function openModelKey(key: ModelKeyPath | null, token: PresentedToken, ports: KbsPorts): Promise<Uint8Array> {
  const delivery = key === null || ports.models === null ? null : await ports.models.loadDelivery(key)
  if (key === null || ports.models === null || !delivery?.includes('kbs')) {
    throw denied(['its owner does not deliver it by this route'])
  }
  // Another verifier's word is no evidence: an owner's values are compared with the evidence itself (TRUST 11).
  if (token.kind !== 'own' || 'sample' in token.claims.submods.cpu0['ear.veraison.annotated-evidence'])
    throw denied(['a model key needs evidence that this broker verified'])
  const opened = await ports.models.release(key, token, ports.clock())
  if (opened === null) throw denied(['the owner’s policy'])
  return opened
}

async function openResource(path: ResourcePath, token: PresentedToken, ports: KbsPorts): Promise<Uint8Array> {
  const at = ports.clock()
  const decision = await ports.decide(path, token, at)
  await ports.record(path, token, decision, at)
  if (!decision.allow) throw denied(decision.reasons)
  const resource = await ports.resources.load(path)
  // Only who may have it is told that it is not there.
  if (resource === null) throw new Failure<KbsCode>('kbs/resource-absent', 'there is no such resource')
  return resource
}

/**
 * The resource, encrypted to the key that the guest's evidence bound (I2); the text of the answer's JSON.
 *
 * throws  kbs/token-absent, kbs/token, kbs/policy-deny, kbs/resource-absent
 */
export async function releaseResource(path: ResourcePath, presented: Presented, ports: KbsPorts): Promise<string> {
  const token = await presentedToken(presented, ports)
  const resource = isOwnersPath(path)
    ? await openModelKey(modelKeyOf(path), token, ports)
    : await openResource(path, token, ports)
  try {
    return await encryptResource(token.teeKey, resource, ports.random)
  } finally {
    wipe(resource)
  }
}
