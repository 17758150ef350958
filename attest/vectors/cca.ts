import { type CcaToken, parseToken } from '#attest/cca/parse.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { machineEvidenceShape } from '#core/wire/evidence.js'

function platformKeyOf(roles: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const pem = roles.get('platformKey')
  const [key, ...more] = pem ? parsePem(fromUtf8(pem), 'PUBLIC KEY', 1) : []
  if (!key || more.length > 0) throw new Failure<CaseCode>('case/file', 'platformKey does not hold a public key')
  return key
}

/** CCA has no root: a published case brings the platform's key along, as a reader would name it. */
export const ccaAnchors = (roles: ReadonlyMap<string, Uint8Array>): readonly string[] => [
  toHex(sha256(platformKeyOf(roles))),
]

/** Runs one CCA case as the service would: envelope, verification, appraisal. */
export const judgeCca = (input: CaseInput): Promise<Judgement> =>
  judge(input, () => {
    const [token, platformKey] = [toBase64(roleOf(input, 'token')), toBase64(platformKeyOf(input.roles))]
    return machineEvidenceShape({ kind: 'cca', token, platformKey }, 'evidence')
  })

const algorithms = { ES256: -7, ES384: -35, Ed25519: -8 } as const

/** What the case decoded otherwise than the parser, of a token that is not bound together too. */
export function ccaDifferences(expected: unknown, input: CaseInput): readonly string[] {
  const wanted = expected as { readonly [name: string]: unknown }
  let token: CcaToken
  try {
    token = parseToken(roleOf(input, 'token'))
  } catch (error) {
    if (!isFailure(error)) throw error
    return [`cannot be compared: ${error.message}`]
  }
  const found = decoded(token)
  return Object.entries(wanted)
    .filter(([name, want]) => Object.hasOwn(found, name) && spelled(found[name]) !== spelled(want))
    .map(([name, want]) => `${name} is ${spelled(found[name])}, expected ${spelled(want)}`)
}

/** Members of objects in one order, so that what is the same reads the same. */
const spelled = (value: unknown): string =>
  JSON.stringify(value, (_, one) =>
    one !== null && typeof one === 'object' && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  )

/** The names under which a case decodes claims for its readers. */
function decoded({ platform, realm, platformMessage, realmMessage }: CcaToken): Readonly<Record<string, unknown>> {
  return {
    platformProfile: platform.profile,
    platformNonce: toHex(platform.challenge),
    implementationId: toHex(platform.implementationId),
    instanceId: toHex(platform.instanceId),
    config: toHex(platform.config),
    lifecycle: platform.lifecycle,
    platformHashAlg: platform.hashAlgorithm,
    swComponents: platform.components.map((one) => ({
      ...(one.type === null ? {} : { '1': one.type }),
      '2': toHex(one.measurement),
      ...(one.version === null ? {} : { '4': one.version }),
      '5': toHex(one.signerId),
      ...(one.hashAlgorithm === null ? {} : { '6': one.hashAlgorithm }),
    })),
    realmProfile: realm.profile,
    realmChallenge: toHex(realm.challenge),
    rpv: toHex(realm.personalizationValue),
    rim: toHex(realm.initialMeasurement),
    rem: realm.extensibleMeasurements.map(toHex),
    realmHashAlg: realm.hashAlgorithm,
    realmPubKeyHashAlg: realm.publicKeyHashAlgorithm,
    realmPublicKey: toHex(realm.publicKey),
    platformAlg: algorithms[platformMessage.algorithm],
    realmAlg: algorithms[realmMessage.algorithm],
  }
}
