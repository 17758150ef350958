import { thumbprintShape } from '#core/crypto/jwk.js'
import { hex, json, literal, nullable, object, oneOf, optional, type Shaped, string } from '#core/encoding/shape.js'
import { timeShape } from '#core/wire/names.js'

export const kbsTokenProfile = 'tag:github.com,2024:confidential-containers/Trustee'

/** The verified claims, under the name by which the protocol knows the kind of TEE: exactly one of them is there. */
const claimsMembers = {
  snp: optional(json),
  tdx: optional(json),
  sgx: optional(json),
  'az-snp-vtpm': optional(json),
  'az-tdx-vtpm': optional(json),
  /** the protocol's sample, which proves nothing: such a token is always NOT HARDWARE */
  sample: optional(json),
}

/**
 * Claims of a token of the KBS route, in the profile that its clients carry about.
 *
 * source  trustee attestation-service, EAR token; draft-ietf-rats-ear
 */
export const kbsTokenShape = object({
  eat_profile: literal(kbsTokenProfile),
  /** thumbprint of the broker, which is issuer and reader */
  iss: string(),
  aud: string(),
  iat: timeShape,
  exp: timeShape,
  jti: string(),
  'ear.verifier-id': object({ developer: string(), build: string() }),
  submods: object({
    cpu0: object({
      /** simulated evidence is contraindicated: a reader who knows nothing of `claviger_hardware` refuses it too (I6) */
      'ear.status': oneOf('affirming', 'warning', 'contraindicated'),
      'ear.trustworthiness-vector': json,
      'ear.appraisal-policy-id': string(),
      'ear.veraison.annotated-evidence': object({
        /** 32 bytes of SNP and of a PCR, 48 of TDX, 64 of SGX */
        init_data: nullable(string({ max: 128, form: /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/ })),
        report_data: hex(64),
        /** SHA-384 of the canonical JSON of exactly this, and 16 zero bytes, are `report_data` */
        runtime_data_claims: object({
          'additional-evidence': string({ max: 4096 }),
          nonce: string(),
          'tee-pubkey': json,
        }),
        ...claimsMembers,
      }),
    }),
  }),
  claviger_hardware: oneOf('hardware', 'NOT HARDWARE'),
})
export type KbsTokenClaims = Shaped<typeof kbsTokenShape>

/** What a decision record keeps of a token that another verifier signed. Nothing in it was verified but its signature. */
export const passportShape = object({
  type: literal('claviger/passport/v1'),
  /** thumbprint of the broker that took it */
  broker: thumbprintShape,
  /** thumbprint of the key that signed it */
  verifier: thumbprintShape,
  claims: json,
})
