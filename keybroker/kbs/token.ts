import { toHex } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { signJws, verifyJws } from '#core/jws.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type KbsTokenClaims, kbsTokenProfile, kbsTokenShape } from '#core/wire/kbs-token.js'
import type { RuntimeData } from '#keybroker/kbs/binding.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { AcceptedTee } from '#keybroker/kbs/messages.js'
import type { PassportToken } from '#keybroker/kbs/passport.js'
import { parseTeeKey, type TeeKey } from '#keybroker/kbs/tee-key.js'

/** What the verifier found. `claims` are its neutral claims, which a resource policy reads. */
export interface KbsResult {
  readonly status: 'affirming' | 'warning'
  readonly platform: 'hardware' | 'simulated'
  readonly vector: { readonly [name: string]: number }
  readonly policyId: string
  readonly claims: Json
}

/** What a guest presents: a token of ours, or one of a verifier that was named. */
export type PresentedToken = KbsToken | PassportToken

/** From issue to expiry. Clients ask again before. */
export const tokenLifetimeSeconds = 300
export const tokenSizeMax = 128 * KiB
/** AR4SI, "hardware": hardware that is not recognised. */
const unrecognised = 97

type AnnotatedEvidence = KbsTokenClaims['submods']['cpu0']['ear.veraison.annotated-evidence']

/** A token of ours that was verified. */
export interface KbsToken {
  readonly kind: 'own'
  readonly teeKey: TeeKey
  readonly claims: KbsTokenClaims
}

function refuse(message: string, cause?: unknown): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/token', message, { cause })
}

/**
 * The token of an attested guest, in the profile that KBS clients carry about, compact: device evidence stays out, since
 * the token travels in a request's head.
 *
 * id  22 characters of base64url of random bytes
 */
export async function issueToken(
  signer: SigningKey,
  about: {
    readonly result: KbsResult
    readonly tee: AcceptedTee
    readonly data: RuntimeData
    readonly reportData: Uint8Array
    readonly hostData: Uint8Array | null
    readonly id: string
    readonly at: UnixSeconds
  },
): Promise<string> {
  const { result, data } = about
  const isHardware = result.platform === 'hardware'
  const payload: KbsTokenClaims = {
    eat_profile: kbsTokenProfile,
    iss: signer.id,
    aud: signer.id,
    iat: about.at,
    exp: about.at + tokenLifetimeSeconds,
    jti: about.id,
    'ear.verifier-id': { developer: 'claviger', build: 'claviger' },
    submods: {
      cpu0: {
        'ear.status': isHardware ? result.status : 'contraindicated',
        'ear.trustworthiness-vector': isHardware ? result.vector : { ...result.vector, hardware: unrecognised },
        'ear.appraisal-policy-id': result.policyId,
        'ear.veraison.annotated-evidence': {
          init_data: about.hostData === null ? null : toHex(about.hostData),
          report_data: toHex(about.reportData),
          runtime_data_claims: {
            'additional-evidence': data.additionalEvidence,
            nonce: data.nonce,
            'tee-pubkey': data.teeKey,
          },
          [about.tee]: result.claims,
        } as unknown as AnnotatedEvidence,
      },
    },
    claviger_hardware: isHardware ? 'hardware' : 'NOT HARDWARE',
  }
  return signJws(signer, canonicalJson(payload))
}

/**
 * A token that this broker issued, for itself, current at `at`. The key is the broker's own: one that a header brings
 * along is not looked at, and an algorithm that is not the key's is refused.
 *
 * throws  kbs/token
 */
export async function verifyToken(token: string, key: SignatureJwk, at: UnixSeconds): Promise<KbsToken> {
  if (token.length > tokenSizeMax) throw refuse(`token has ${token.length} characters, at most ${tokenSizeMax}`)
  const own = thumbprint(key)
  try {
    const { payload } = await verifyJws(token, [key], 'token')
    const claims = kbsTokenShape(parseJson(payload), '')
    if (claims.iss !== own || claims.aud !== own) throw refuse('token is of or for another broker')
    // No skew is forgiven: issuer and reader are one broker.
    if (at < claims.iat || at >= claims.exp) throw refuse(`token is valid from ${claims.iat} until ${claims.exp}`)
    const evidence = claims.submods.cpu0['ear.veraison.annotated-evidence']
    return { kind: 'own', teeKey: parseTeeKey(evidence.runtime_data_claims['tee-pubkey']), claims }
  } catch (error) {
    if (!isFailure(error) || error.code === 'kbs/token') throw error
    throw refuse(`token: ${error.message}`, error)
  }
}
