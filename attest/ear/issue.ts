/**
 * What belongs in attest/ear: an attestation result as a signed EAR, under both sets of names. Reading and verifying one is
 * `core/wire/ear.ts`, keeping keys `attest/service`; no judgement is made here.
 */
import { defaultPolicy } from '#attest/appraise.js'
import { submodsOf } from '#attest/ear/submods.js'
import type { AttestationResult } from '#attest/result.js'
import { assert } from '#core/assert.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { signJws } from '#core/jws.js'
import { type EarPayload, earLifetimeSeconds, earPayloadShape, earProfile } from '#core/wire/ear.js'

/** What an EAR says beyond the attestation result. */
export interface EarInput {
  /** who issues: a name or URL of the verifier */
  readonly issuer: string
  /** for whom: the relying party's own name, which it compares */
  readonly audience: string
  /** base64url, 8 to 88 characters: the challenge that the evidence answered */
  readonly nonce: string
  /** base64url, 8 to 88 characters, never used before */
  readonly id: string
  /** thumbprint of the key to which secrets may be sealed: `cnf.jkt` */
  readonly keyThumbprint: string
  /** SHA-256 of the canonical keyset, hex (I20) */
  readonly keysetDigest: string
  /** version of the verifier */
  readonly build: string
}

/**
 * The attestation result as a signed EAR, compact JWS: good for 5 minutes from the time of the appraisal. A
 * contraindicated result is signed too: refusing is the relying party's act.
 *
 * trusts  that the caller has compared the evidence's report data with exactly this nonce, key and keyset
 * throws  shape/... when the input does not have the form that a reader would accept
 * source  draft-ietf-rats-ear, "EAT Profile"; RFC 7519, "Creating a JWT"; docs/spec/ear.md
 */
export async function issueEar(result: AttestationResult, input: EarInput, key: SigningKey): Promise<string> {
  assert(result.skipped.length === 0, 'only results in which every step counts are issued')
  assert(result.policy === defaultPolicy.name, 'only results under the default policy are issued')
  const payload = canonicalJson(payloadOf(result, input))
  earPayloadShape(parseJson(payload), 'ear')
  return signJws(key, payload)
}

function payloadOf(result: AttestationResult, input: EarInput): EarPayload {
  const verifier = { developer: 'claviger', build: input.build }
  return {
    eat_profile: earProfile,
    iss: input.issuer,
    aud: input.audience,
    iat: result.at,
    exp: result.at + earLifetimeSeconds,
    jti: input.id,
    eat_nonce: input.nonce,
    cnf: { jkt: input.keyThumbprint },
    'ear.verifier-id': verifier,
    ear_verifier_id: verifier,
    submods: submodsOf(result),
    claviger_keyset_digest: input.keysetDigest,
    claviger_policy_digest: result.digests.policy,
    claviger_reference_values_digest: result.digests.referenceValues,
    claviger_collateral_digest: result.digests.collateral,
    claviger_evidence_digest: result.digests.evidence,
    claviger_tenant_class: result.tenantClass,
    claviger_hardware: result.platform === 'hardware' ? 'hardware' : 'NOT HARDWARE',
  }
}
