/**
 * What belongs in attest/cca: everything that knows Arm CCA, from a token's bytes to neutral claims. This file: labels,
 * sizes and constants only, with the specification's names.
 *
 * source  Arm DEN0137 Realm Management Monitor, revision 1.0, "Attestation token format"; draft-ffm-rats-cca-token-03
 */

/** A collection of two tokens. Under the older tag each is a byte string, under the newer one a record with its type. */
export const collection = {
  tag: 399,
  wrappedTag: 907,
  /** CoAP content format application/eat+cwt */
  eatCwt: 263,
  platform: 44_234,
  realm: 44_241,
} as const

/** Claims of a platform token: cca-platform-... */
export const platformClaim = {
  profile: 265,
  challenge: 10,
  implementationId: 2396,
  instanceId: 256,
  config: 2401,
  lifecycle: 2395,
  swComponents: 2399,
  hashAlgoId: 2402,
  /** the only one that may be absent */
  verificationService: 2400,
} as const

/** Claims of a realm token: cca-realm-... */
export const realmClaim = {
  challenge: 10,
  personalizationValue: 44_235,
  initialMeasurement: 44_238,
  extensibleMeasurements: 44_239,
  hashAlgoId: 44_236,
  publicKey: 44_237,
  publicKeyHashAlgoId: 44_240,
  /** the only one that may be absent: in the legacy profile */
  profile: 265,
} as const

/** Members of a software component: type, version and hash algorithm may be absent. */
export const component = { type: 1, measurement: 2, version: 4, signerId: 5, hashAlgoId: 6 } as const

export const platformProfiles = ['http://arm.com/CCA-SSD/1.0.0', 'tag:arm.com,2023:cca_platform#1.0.0'] as const
export const realmProfile = 'tag:arm.com,2023:realm#1.0.0'

/** Sizes in bytes. */
export const size = {
  challenge: 64,
  personalizationValue: 64,
  implementationId: 32,
  instanceId: 33,
  configMax: 256,
  hashes: [32, 48, 64],
} as const
/** The first byte of an instance id: a UEID of type RAND. */
export const instanceIdType = 0x01
export const extensibleMeasurementCount = 4
/** Components: 16 seen. */
export const componentsMax = 64
export const textLengthMax = 200

/** States of the lifecycle: bits 15 to 8; bits 7 to 0 are the implementation's. */
export const lifecycleStates: ReadonlyMap<number, LifecycleState> = new Map<number, LifecycleState>([
  [0x00, 'unknown'],
  [0x10, 'assembly-and-test'],
  [0x20, 'platform-rot-provisioning'],
  [0x30, 'secured'],
  [0x40, 'non-platform-rot-debug'],
  [0x50, 'recoverable-platform-rot-debug'],
  [0x60, 'decommissioned'],
])
export type LifecycleState =
  | 'unknown'
  | 'assembly-and-test'
  | 'platform-rot-provisioning'
  | 'secured'
  | 'non-platform-rot-debug'
  | 'recoverable-platform-rot-debug'
  | 'decommissioned'

/** Names of hash functions in tokens. source: IANA, "Named Information Hash Algorithm Registry" */
export const hashNames = ['sha-256', 'sha-384', 'sha-512'] as const

/** COSE_Key of a P-384 point. source: RFC 9053, "Double Coordinate Curves" */
export const coseKey = {
  kty: 1,
  kid: 2,
  alg: 3,
  crv: -1,
  x: -2,
  y: -3,
  ec2: 2,
  p384: 2,
  es384: -35,
  coordinate: 48,
} as const

/** DER SubjectPublicKeyInfo before an uncompressed point. source: RFC 5480, "Subject Public Key Information Fields" */
export const spkiPrefix = {
  p256: '3059301306072a8648ce3d020106082a8648ce3d03010703420004',
  p384: '3076301006072a8648ce3d020106052b8104002203620004',
} as const
export const uncompressedPoint = 0x04

/** Values in a token and in one of its halves, keys included: some 100 seen. */
export const cborLimits = { sizeMax: 32 * 1024, depthMax: 5, itemsMax: 1000 } as const
