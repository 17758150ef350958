import {
  type HashName,
  readBytes,
  readCbor,
  readHash,
  readHashName,
  readMap,
  readOptionalText,
  refuse,
} from '#attest/cca/fields.js'
import {
  component,
  componentsMax,
  instanceIdType,
  type LifecycleState,
  lifecycleStates,
  platformClaim,
  platformProfiles,
  size,
} from '#attest/cca/layout.js'
import { type Cbor, isCborArray } from '#core/encoding/cbor.js'

/** A part of the platform's firmware: what was measured, and who signed it. */
export interface SwComponent {
  /** its role, as RMM; null where the token does not say */
  readonly type: string | null
  readonly measurement: Uint8Array
  readonly version: string | null
  readonly signerId: Uint8Array
  readonly hashAlgorithm: string | null
}

/** Claims of a platform token as they were carried: nothing of them has been verified yet. */
export interface PlatformToken {
  readonly profile: string
  /** the digest of the key that signs for the realm */
  readonly challenge: Uint8Array
  /** 32 bytes */
  readonly implementationId: Uint8Array
  /** 33 bytes, the first of them 0x01 */
  readonly instanceId: Uint8Array
  readonly config: Uint8Array
  readonly lifecycle: number
  readonly lifecycleState: LifecycleState
  readonly components: readonly SwComponent[]
  readonly hashAlgorithm: HashName
  readonly verificationService: string | null
}

/**
 * The platform token that a payload spells.
 *
 * throws  cca/form, cca/claims, cca/profile, cca/claim, cca/hash-algorithm
 * source  Arm DEN0137, "CCA platform claims"
 */
export function parsePlatform(payload: Uint8Array): PlatformToken {
  const what = 'platform token'
  const labels = Object.values(platformClaim)
  const claims = readMap(readCbor(payload, what), labels, [platformClaim.verificationService], what)
  const profile = platformProfiles.find((one) => one === claims.get(platformClaim.profile))
  if (profile === undefined)
    throw refuse('cca/profile', `profile of the platform is none of ${platformProfiles.join(', ')}`)
  const { lifecycle, state } = readLifecycle(claims.get(platformClaim.lifecycle))
  return {
    profile,
    challenge: readHash(claims.get(platformClaim.challenge), 'platform challenge'),
    implementationId: readBytes(
      claims.get(platformClaim.implementationId),
      [size.implementationId],
      'implementation id',
    ),
    instanceId: readInstanceId(claims.get(platformClaim.instanceId)),
    config: readConfig(claims.get(platformClaim.config)),
    lifecycle,
    lifecycleState: state,
    components: readComponents(claims.get(platformClaim.swComponents)),
    hashAlgorithm: readHashName(claims.get(platformClaim.hashAlgoId), 'hash algorithm of the platform'),
    verificationService: readOptionalText(claims.get(platformClaim.verificationService), 'verification service'),
  }
}

function readInstanceId(value: Cbor | undefined): Uint8Array {
  const id = readBytes(value, [size.instanceId], 'instance id')
  if (id[0] !== instanceIdType)
    throw refuse('cca/claim', `instance id begins with ${id[0]}, expected ${instanceIdType}`)
  return id
}

function readConfig(value: Cbor | undefined): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > size.configMax)
    throw refuse('cca/claim', `platform config is not at most ${size.configMax} bytes`)
  return value
}

/** A state that nobody has named is refused: it could stand for anything. */
function readLifecycle(value: Cbor | undefined): { lifecycle: number; state: LifecycleState } {
  const state = typeof value === 'number' ? lifecycleStates.get(Math.floor(value / 256)) : undefined
  if (typeof value !== 'number' || state === undefined) throw refuse('cca/claim', 'lifecycle is none that Arm defines')
  return { lifecycle: value, state }
}

function readComponents(value: Cbor | undefined): readonly SwComponent[] {
  if (!isCborArray(value) || value.length === 0 || value.length > componentsMax)
    throw refuse('cca/claim', `software components are not a list of 1 to ${componentsMax}`)
  return value.map((one, i) => readComponent(one, `software component ${i}`))
}

function readComponent(value: Cbor, what: string): SwComponent {
  const absent = [component.type, component.version, component.hashAlgoId]
  const members = readMap(value, Object.values(component), absent, what)
  return {
    type: readOptionalText(members.get(component.type), `type of ${what}`),
    measurement: readHash(members.get(component.measurement), `measurement of ${what}`),
    version: readOptionalText(members.get(component.version), `version of ${what}`),
    signerId: readHash(members.get(component.signerId), `signer id of ${what}`),
    hashAlgorithm: readOptionalText(members.get(component.hashAlgoId), `hash algorithm of ${what}`),
  }
}
