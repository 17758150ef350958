import { equal } from '#core/bytes/bytes.js'
import { type SignatureJwk, thumbprintShape } from '#core/crypto/jwk.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import {
  hex,
  integer,
  json,
  list,
  literal,
  object,
  oneOf,
  record,
  type Shape,
  type ShapeCode,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type JwsCode, verifyJws } from '#core/jws.js'
import { clockSkewSeconds, KiB } from '#core/limits.js'
import { assertTime, type UnixSeconds } from '#core/time.js'
import { timeShape } from '#core/wire/names.js'
import { type Tier, type TrustVector, tiers, vectorNames, worstTier, worstVector } from '#core/wire/trust-vector.js'

/** Failures of verifying an attestation result. */
export type EarCode =
  | 'ear/form'
  | 'ear/algorithm'
  | 'ear/key'
  | 'ear/signature'
  | 'ear/claims'
  | 'ear/names-differ'
  | 'ear/status'
  | 'ear/audience'
  | 'ear/lifetime'
  | 'ear/not-yet-valid'
  | 'ear/expired'

const earSizeMax = 256 * KiB
/** From `iat` to `exp`, in seconds. */
export const earLifetimeSeconds = 300

const claim = integer({ min: -128, max: 127 })
const vectorShape = object({
  'instance-identity': claim,
  configuration: claim,
  executables: claim,
  'file-system': claim,
  hardware: claim,
  'runtime-opaque': claim,
  'storage-opaque': claim,
  'sourced-data': claim,
})
const text = string({ max: 2000 })
/** One comparison that led to the status, with what would satisfy it. `fix` is empty when nothing needs mending. */
const checkShape = object({
  id: string({ max: 64 }),
  status: oneOf(...tiers),
  value: claim,
  claim: oneOf(...vectorNames),
  expected: text,
  found: text,
  fix: text,
})
export type Check = Shaped<typeof checkShape>

const statusShape = oneOf(...tiers)
const policyId = string({ max: 200 })
const verifierId = object({ developer: string(), build: string() })
const submodShape = object({
  'ear.status': statusShape,
  ear_status: statusShape,
  'ear.trustworthiness-vector': vectorShape,
  ear_trustworthiness_vector: vectorShape,
  'ear.appraisal-policy-id': policyId,
  ear_appraisal_policy_ids: list(policyId, { min: 1, max: 1 }),
  'ear.veraison.annotated-evidence': json,
  ear_veraison_annotated_evidence: json,
  claviger_claims: json,
  claviger_checks: list(checkShape, { max: 200 }),
})

type Submod = Shaped<typeof submodShape>

const deviceName = /^(gpu|nvswitch)(0|[1-9]\d?)$/
const devicesMax = 12
/** One part each: the machine, always there, and the devices that it works with. */
const submodsShape: Shape<{ readonly cpu0: Submod; readonly [name: string]: Submod }> = (value, path) => {
  const { cpu0, ...devices } = record(submodShape, { max: 1 + devicesMax })(value, path)
  if (cpu0 === undefined) throw new Failure<ShapeCode>('shape/missing', `${path}.cpu0: is missing`)
  for (const name of Object.keys(devices)) {
    if (!deviceName.test(name)) throw new Failure<ShapeCode>('shape/unknown', `${path}: no name of a part: ${name}`)
  }
  return { cpu0, ...devices }
}

/** The profile of the current draft; a token that carries another one is refused. */
export const earProfile = 'tag:ietf.org,2026:rats/ear#03'
const nonceForm = /^[A-Za-z0-9_-]{8,88}$/

/** The payload: names of the deployed profile (`ear.status`) and of the draft (`ear_status`) side by side. */
export const earPayloadShape = object({
  eat_profile: literal(earProfile),
  iss: string(),
  aud: string(),
  iat: timeShape,
  exp: timeShape,
  jti: string({ form: nonceForm }),
  eat_nonce: string({ form: nonceForm }),
  cnf: object({ jkt: thumbprintShape }),
  'ear.verifier-id': verifierId,
  ear_verifier_id: verifierId,
  submods: submodsShape,
  claviger_keyset_digest: hex(32),
  claviger_policy_digest: hex(32),
  claviger_reference_values_digest: hex(32),
  claviger_collateral_digest: hex(32),
  claviger_evidence_digest: hex(32),
  claviger_tenant_class: oneOf('production', 'development'),
  claviger_hardware: oneOf('hardware', 'NOT HARDWARE'),
})
export type EarPayload = Shaped<typeof earPayloadShape>

/** What a result says of one device. */
export interface EarDevice {
  readonly status: Tier
  readonly vector: TrustVector
  readonly claims: Json
}

/** A verified attestation result. That it was verified says nothing about its `status`: the reader decides on that. */
export interface Ear {
  /** thumbprint of the verifier's key */
  readonly signer: string
  readonly issuer: string
  readonly audience: string
  readonly issuedAt: UnixSeconds
  readonly expiresAt: UnixSeconds
  readonly id: string
  readonly nonce: string
  /** thumbprint of the key to which secrets may be sealed */
  readonly keyThumbprint: string
  readonly keysetDigest: string
  readonly platform: 'hardware' | 'simulated'
  readonly tenantClass: 'production' | 'development'
  /** the worst of all parts, and for each claim the worst value of any part */
  readonly status: Tier
  readonly vector: TrustVector
  /** those of the machine, then those of each device under its name, as `gpu0/report-data` */
  readonly checks: readonly Check[]
  /** of the machine */
  readonly claims: Json
  /** devices by name, each with a verdict of its own; empty for a machine alone */
  readonly devices: { readonly [name: string]: EarDevice }
  readonly digests: {
    readonly policy: string
    readonly referenceValues: string
    readonly collateral: string
    readonly evidence: string
  }
}

function refuse(code: EarCode, message: string, cause?: unknown): Failure<EarCode> {
  return new Failure<EarCode>(code, message, { cause })
}

/**
 * The attestation result that one of `verifierKeys` signed for `audience`, current at `at` (60 seconds forgiven).
 *
 * token         compact JWS, at most 256 KiB; the header names the key by `kid` and carries none
 * trusts        that the caller pins the keys; a verified result may still be contraindicated
 * throws        ear/form, ear/algorithm, ear/key, ear/signature, ear/claims, ear/names-differ, ear/status,
 *               ear/audience, ear/lifetime, ear/not-yet-valid, ear/expired
 * source        draft-ietf-rats-ear, "EAT Profile", "JSON"; RFC 7515, "Message Signature or MAC Validation"
 */
export async function verifyEar(
  token: string,
  verifierKeys: readonly SignatureJwk[],
  expected: { readonly audience: string; readonly at: UnixSeconds },
): Promise<Ear> {
  assertTime(expected.at)
  const { signer, payload } = await verifyToken(token, verifierKeys)
  verifyNames(payload)
  if (payload.aud !== expected.audience)
    throw refuse('ear/audience', `result is for ${payload.aud}, expected ${expected.audience}`)
  if (payload.exp <= payload.iat || payload.exp - payload.iat > earLifetimeSeconds)
    throw refuse('ear/lifetime', `result lives ${payload.exp - payload.iat} seconds, at most ${earLifetimeSeconds}`)
  if (payload.iat > expected.at + clockSkewSeconds)
    throw refuse('ear/not-yet-valid', `result is from ${payload.iat}, verified at ${expected.at}`)
  if (payload.exp < expected.at - clockSkewSeconds)
    throw refuse('ear/expired', `result was valid until ${payload.exp}, verified at ${expected.at}`)
  return toEar(signer, payload)
}

const earCodes: { readonly [code in JwsCode]: EarCode } = {
  'jws/form': 'ear/form',
  'jws/key': 'ear/key',
  'jws/algorithm': 'ear/algorithm',
  'jws/signature': 'ear/signature',
  'jws/payload': 'ear/claims',
}

async function verifyToken(
  token: string,
  keys: readonly SignatureJwk[],
): Promise<{ readonly signer: string; readonly payload: EarPayload }> {
  if (token.length > earSizeMax) throw refuse('ear/form', `result has ${token.length} characters`)
  try {
    const { signer, payload } = await verifyJws(token, keys, 'result')
    return { signer, payload: earPayloadShape(parseJson(payload, earSizeMax), '') }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const code = earCodes[cause.code as JwsCode]
    if (code !== undefined) throw refuse(code, cause.message, cause)
    throw refuse('ear/claims', `claims of the result: ${cause.message}`, cause)
  }
}

/** Both spellings must say the same, or two readers of one token would believe different things. */
function verifyNames(payload: EarPayload): void {
  verifySame(payload['ear.verifier-id'], payload.ear_verifier_id, 'verifier id')
  for (const [name, part] of Object.entries(payload.submods)) {
    verifySame(part['ear.status'], part.ear_status, `status of ${name}`)
    verifySame(part['ear.trustworthiness-vector'], part.ear_trustworthiness_vector, `vector of ${name}`)
    verifySame([part['ear.appraisal-policy-id']], part.ear_appraisal_policy_ids, `policy id of ${name}`)
    const annotated = part['ear.veraison.annotated-evidence']
    verifySame(annotated, part.ear_veraison_annotated_evidence, `annotated evidence of ${name}`)
    const worst = worstTier(part['ear.trustworthiness-vector'])
    if (part['ear.status'] !== worst)
      throw refuse('ear/status', `status of ${name} is ${part['ear.status']}, the vector says ${worst}`)
  }
}

function verifySame(a: Json, b: Json, what: string): void {
  if (!equal(canonicalJson(a), canonicalJson(b)))
    throw refuse('ear/names-differ', `the two spellings of ${what} differ`)
}

function toEar(signer: string, payload: EarPayload): Ear {
  const { cpu0: cpu, ...devices } = payload.submods
  const vector = worstVector(Object.values(payload.submods).map((part) => part['ear.trustworthiness-vector']))
  return {
    signer,
    issuer: payload.iss,
    audience: payload.aud,
    issuedAt: payload.iat,
    expiresAt: payload.exp,
    id: payload.jti,
    nonce: payload.eat_nonce,
    keyThumbprint: payload.cnf.jkt,
    keysetDigest: payload.claviger_keyset_digest,
    platform: payload.claviger_hardware === 'hardware' ? 'hardware' : 'simulated',
    tenantClass: payload.claviger_tenant_class,
    status: worstTier(vector),
    vector,
    checks: [
      ...cpu.claviger_checks,
      ...Object.entries(devices).flatMap(([name, { claviger_checks }]) =>
        claviger_checks.map((one) => ({ ...one, id: `${name}/${one.id}` })),
      ),
    ],
    claims: cpu.claviger_claims,
    devices: Object.fromEntries(
      Object.entries(devices).map(([name, part]) => [
        name,
        {
          status: part['ear.status'],
          vector: part['ear.trustworthiness-vector'],
          claims: part.claviger_claims,
        },
      ]),
    ),
    digests: {
      policy: payload.claviger_policy_digest,
      referenceValues: payload.claviger_reference_values_digest,
      collateral: payload.claviger_collateral_digest,
      evidence: payload.claviger_evidence_digest,
    },
  }
}
