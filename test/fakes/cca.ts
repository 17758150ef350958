import { collection, platformClaim, platformProfiles, realmClaim, realmProfile } from '#attest/cca/layout.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { coseSignedBytes } from '#core/cose.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import type { CcaEvidence } from '#core/wire/evidence.js'
import type { MintKey } from '#runtime/attester/simulated/certificate.js'
import keys from './cca-keys.json' with { type: 'json' }
import { type EcAlgorithm, ecSign } from './ec-certificates.js'

const read = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})
/** Keys of a throwaway platform and realm; `other` is one that nobody names. NOT HARDWARE. */
export const ccaKeys = {
  platform: read(keys.platform),
  platform256: read(keys.platform256),
  realm: read(keys.realm),
  other: read(keys.other),
}
export const ccaKeyDigests = [ccaKeys.platform, ccaKeys.platform256].map((key) => toHex(sha256(key.spki)))
export const ccaReportData = new Uint8Array(64).fill(7)

export type ClaimMap = Map<CborKey, Cbor>
export const claims = (...entries: readonly [CborKey, Cbor][]): ClaimMap => new Map(entries)

/** The uncompressed point of a P-384 key. */
export const pointOf = (key: MintKey): Uint8Array => key.spki.subarray(-97)
/** The COSE_Key of a P-384 key. */
export const coseKeyOf = (key: MintKey, ...more: readonly [CborKey, Cbor][]): Uint8Array => {
  const point = pointOf(key)
  return encodeCbor(claims([1, 2], [-1, 2], [-2, point.slice(1, 49)], [-3, point.slice(49)], ...more))
}

/** One thing to break, or to do differently. Everything else stays as it is on a good platform. */
export interface CcaBreakage {
  /** the profile without a name, in which the realm's key is a bare point */
  readonly legacy?: boolean
  /** the key as the realm token carries it */
  readonly realmKey?: Uint8Array
  readonly realm?: (claims: ClaimMap) => void
  readonly platform?: (claims: ClaimMap) => void
  readonly realmPayload?: (bytes: Uint8Array) => Uint8Array
  readonly platformPayload?: (bytes: Uint8Array) => Uint8Array
  readonly realmHeader?: Uint8Array
  readonly platformHeader?: Uint8Array
  readonly realmSigner?: MintKey
  readonly platformSigner?: MintKey
  readonly platformAlgorithm?: EcAlgorithm
  readonly realmMessage?: (message: readonly Cbor[]) => Cbor
  readonly platformMessage?: (message: readonly Cbor[]) => Cbor
  /** what the platform's key is said to be */
  readonly platformKey?: Uint8Array
  /** the collection of both halves; tag 399 without it */
  readonly collect?: (platform: Uint8Array, realm: Uint8Array) => Cbor
  readonly tokenBytes?: (bytes: Uint8Array) => Uint8Array
}

/** Both halves as newer firmware wraps them: each a record with its content format. */
export const wrapped = (platform: Uint8Array, realm: Uint8Array, type: Cbor = collection.eatCwt): Cbor => ({
  tag: collection.wrappedTag,
  value: claims([collection.platform, [type, platform]], [collection.realm, [type, realm]]),
})

export const ccaComponents: readonly (readonly [string, number, number])[] = [
  ['BL2', 0x21, 0x31],
  ['RMM', 0x22, 0x32],
]
const bytes = (value: number, size = 32) => new Uint8Array(size).fill(value)

function goodRealm(legacy: boolean, key: Uint8Array): ClaimMap {
  return claims(
    [realmClaim.challenge, ccaReportData],
    ...(legacy ? [] : [[realmClaim.profile, realmProfile] satisfies [CborKey, Cbor]]),
    [realmClaim.personalizationValue, bytes(0x0f, 64)],
    [realmClaim.initialMeasurement, bytes(0xab)],
    [realmClaim.extensibleMeasurements, [bytes(1), bytes(2), bytes(3), bytes(4)]],
    [realmClaim.hashAlgoId, 'sha-256'],
    [realmClaim.publicKey, key],
    [realmClaim.publicKeyHashAlgoId, 'sha-256'],
  )
}

function goodPlatform(key: Uint8Array): ClaimMap {
  const instanceId = bytes(0x5a, 33).with(0, 1)
  return claims(
    [platformClaim.profile, platformProfiles[1]],
    [platformClaim.challenge, sha256(key)],
    [platformClaim.implementationId, bytes(0x11)],
    [platformClaim.instanceId, instanceId],
    [platformClaim.config, bytes(0xcf, 4)],
    [platformClaim.lifecycle, 0x3003],
    [
      platformClaim.swComponents,
      ccaComponents.map(([type, measurement, signer]) =>
        claims([1, type], [2, bytes(measurement)], [4, '1.0'], [5, bytes(signer)], [6, 'sha-256']),
      ),
    ],
    [platformClaim.hashAlgoId, 'sha-256'],
    [platformClaim.verificationService, 'https://verifier.example'],
  )
}

const header = (algorithm: EcAlgorithm) => encodeCbor(claims([1, algorithm === 'ES384' ? -35 : -7]))

async function half(
  payload: Uint8Array,
  algorithm: EcAlgorithm,
  signer: MintKey,
  protectedHeader: Uint8Array,
  change: ((message: readonly Cbor[]) => Cbor) | undefined,
): Promise<Uint8Array> {
  const signature = await ecSign(algorithm, coseSignedBytes(protectedHeader, payload), signer)
  const message = [protectedHeader, claims(), payload, signature]
  return encodeCbor({ tag: 18, value: change?.(message) ?? message })
}

/** A token of a simulated platform with one thing broken, and the platform's key. With no argument it is good. */
export async function mintCca(broken: CcaBreakage = {}): Promise<{ token: Uint8Array; platformKey: Uint8Array }> {
  const { legacy = false, platformAlgorithm = 'ES384' } = broken
  const key = broken.realmKey ?? (legacy ? pointOf(ccaKeys.realm) : coseKeyOf(ccaKeys.realm))
  const [realm, platform] = [goodRealm(legacy, key), goodPlatform(key)]
  broken.realm?.(realm)
  broken.platform?.(platform)
  const same = (one: Uint8Array) => one
  const own = platformAlgorithm === 'ES384' ? ccaKeys.platform : ccaKeys.platform256
  const platformHalf = await half(
    (broken.platformPayload ?? same)(encodeCbor(platform)),
    platformAlgorithm,
    broken.platformSigner ?? own,
    broken.platformHeader ?? header(platformAlgorithm),
    broken.platformMessage,
  )
  const realmHalf = await half(
    (broken.realmPayload ?? same)(encodeCbor(realm)),
    'ES384',
    broken.realmSigner ?? ccaKeys.realm,
    broken.realmHeader ?? header('ES384'),
    broken.realmMessage,
  )
  const plain = {
    tag: collection.tag,
    value: claims([collection.platform, platformHalf], [collection.realm, realmHalf]),
  }
  const token = encodeCbor(broken.collect?.(platformHalf, realmHalf) ?? plain)
  return { token: (broken.tokenBytes ?? same)(token), platformKey: broken.platformKey ?? own.spki }
}

export async function mintCcaEvidence(broken: CcaBreakage = {}): Promise<CcaEvidence> {
  const { token, platformKey } = await mintCca(broken)
  return { kind: 'cca', token: toBase64(token), platformKey: toBase64(platformKey) }
}
