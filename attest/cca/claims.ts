import type { LifecycleState } from '#attest/cca/layout.js'
import type { VerifiedCca } from '#attest/cca/verify.js'
import { armAdvisories, type Machine, measurementsOf, named } from '#attest/subject.js'
import { toHex } from '#core/bytes/bytes.js'

/** What a verified token says, in neutral words. Byte strings are lowercase hex. */
export interface CcaClaims {
  readonly product: 'CCA'
  /** the realm's challenge, 64 bytes */
  readonly reportData: string
  /** RIM */
  readonly measurement: string
  /** REM0 to REM3 */
  readonly extensibleMeasurements: readonly string[]
  readonly personalizationValue: string
  readonly realmHashAlgorithm: string
  /** null in the legacy profile */
  readonly realmProfile: string | null
  /** whether the platform's lifecycle is one of the states of debugging */
  readonly debug: boolean
  /** the instance id: of one platform */
  readonly chipId: string
  readonly platformProfile: string
  readonly implementationId: string
  readonly lifecycle: number
  readonly lifecycleState: LifecycleState
  readonly platformConfig: string
  readonly platformHashAlgorithm: string
  readonly components: readonly {
    readonly type: string | null
    readonly measurement: string
    readonly version: string | null
    readonly signerId: string
    readonly hashAlgorithm: string | null
  }[]
  readonly verificationService: string | null
  readonly endorsement: {
    /** SHA-256 of the platform's key, and what it signs with */
    readonly platformKey: string
    readonly algorithm: string
  }
}

/** The machine is named by its instance id. */
export function ccaMachine({ measurement, extensibleMeasurements, chipId, debug, product }: CcaClaims): Machine {
  const software = measurementsOf(measurement, ...extensibleMeasurements)
  return { ...software, platformId: named(chipId), debug, product, tcbStatus: null, ...armAdvisories, svns: {} }
}

const debugStates: readonly LifecycleState[] = ['non-platform-rot-debug', 'recoverable-platform-rot-debug']

/** The claims of a verified token. */
export function ccaClaims({ token, platformKey }: VerifiedCca): CcaClaims {
  const { platform, realm } = token
  return {
    product: 'CCA',
    reportData: toHex(realm.challenge),
    measurement: toHex(realm.initialMeasurement),
    extensibleMeasurements: realm.extensibleMeasurements.map(toHex),
    personalizationValue: toHex(realm.personalizationValue),
    realmHashAlgorithm: realm.hashAlgorithm,
    realmProfile: realm.profile,
    debug: debugStates.includes(platform.lifecycleState),
    chipId: toHex(platform.instanceId),
    platformProfile: platform.profile,
    implementationId: toHex(platform.implementationId),
    lifecycle: platform.lifecycle,
    lifecycleState: platform.lifecycleState,
    platformConfig: toHex(platform.config),
    platformHashAlgorithm: platform.hashAlgorithm,
    components: platform.components.map((one) => ({
      ...one,
      measurement: toHex(one.measurement),
      signerId: toHex(one.signerId),
    })),
    verificationService: platform.verificationService,
    endorsement: { platformKey, algorithm: token.platformMessage.algorithm },
  }
}
