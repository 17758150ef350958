import { ed25519Jwk, thumbprint, x25519Jwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { hex, integer, list, literal, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { landmarkNameShape, type VerifiedTicket } from '#core/wire/landmark.js'
import { verifyLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import { countryShape, nameShape, timeShape } from '#core/wire/names.js'
import type { LandmarkMeasurement } from '#policies/location/claims.js'
import { type Keepers, type VerifiedKept, verifyKept } from '#policies/registry/keepers.js'

/** Failures of a directory of landmarks. */
export type LandmarksCode =
  /** a name or a key that stands in it twice */
  | 'landmarks/row'
  /** not in the directory, or not at that time */
  | 'landmarks/unknown'

export const landmarksPayloadType = 'application/vnd.claviger.landmarks+json'

const degreesE6 = (max: number) => integer({ min: -max * 1e6, max: max * 1e6 })

/** One landmark: where it stands, who runs it, how it is reached, and by which keys it is known. */
const landmarkShape = object({
  name: landmarkNameShape,
  /** the company that runs it, under the register that names it: landmarks of one company are one witness */
  operator: string({ max: 64, form: /^[A-Z]{2,10}:[A-Za-z0-9._-]+$/ }),
  country: countryShape,
  /** millionths of a degree, north and east positive */
  latitudeE6: degreesE6(90),
  longitudeE6: degreesE6(180),
  /** how far from there it may be, in metres */
  errorM: integer({ max: 100_000 }),
  host: string({ max: 253, form: /^[A-Za-z0-9.:-]+$/ }),
  port: integer({ min: 1, max: 65_535 }),
  /** signs its receipts */
  receiptKey: ed25519Jwk,
  /** sessions are opened to it */
  sessionKey: x25519Jwk,
  from: timeShape,
  to: nullable(timeShape),
})
export type Landmark = Shaped<typeof landmarkShape>

const rows = { landmarks: list(landmarkShape, { max: 1000 }) }
/** What a directory says, without who says it. */
export const landmarksRowsShape = object(rows)
const landmarksShape = object({
  type: literal('claviger/landmarks/v1'),
  name: nameShape,
  version: integer({ min: 1 }),
  issuedAt: timeShape,
  validUntil: timeShape,
  previousDigest: nullable(hex(32)),
  ...rows,
})
export type Landmarks = Shaped<typeof landmarksShape>

/**
 * A directory in the bytes that were signed. Each name and each key is one landmark's.
 *
 * throws  landmarks/row, json/..., shape/...
 */
export function readLandmarks(payload: Uint8Array): Landmarks {
  const directory = landmarksShape(parseCanonicalJson(payload), 'landmarks')
  const seen = new Set<string>()
  for (const { name, receiptKey, sessionKey } of directory.landmarks)
    for (const one of [name, thumbprint(receiptKey), thumbprint(sessionKey)]) {
      if (seen.has(one)) throw new Failure<LandmarksCode>('landmarks/row', `${one} stands twice among the landmarks`)
      seen.add(one)
    }
  return directory
}

/** A directory as `verifyKept` has it. @throws landmarks/row, what verifyKept throws */
export function verifyLandmarks(
  envelope: Envelope,
  keepers: Keepers,
  at: UnixSeconds | null,
): Promise<VerifiedKept<Landmarks>> {
  return verifyKept(
    envelope,
    { payloadType: landmarksPayloadType, what: 'landmarks', read: readLandmarks },
    keepers,
    at,
  )
}

/** The landmark of a name at a time. @throws landmarks/unknown */
export function landmarkNamed({ landmarks }: Landmarks, name: string, at: UnixSeconds): Landmark {
  const found = landmarks.find((one) => one.name === name && one.from <= at && (one.to === null || at < one.to))
  if (found === undefined) throw new Failure<LandmarksCode>('landmarks/unknown', `no landmark ${name} at that time`)
  return found
}

/**
 * What a receipt says of the key of a ticket, by the directory: from where, by whom, how long.
 *
 * trusts  that directory and ticket were verified, and that the ticket's key is the node's by its evidence
 * throws  landmarks/unknown, what verifyLandmarkReceipt throws
 */
export async function measurementOf(
  directory: Landmarks,
  name: string,
  envelope: Envelope,
  ticket: VerifiedTicket,
  at: UnixSeconds,
): Promise<LandmarkMeasurement> {
  const landmark = landmarkNamed(directory, name, at)
  const receipt = await verifyLandmarkReceipt(envelope, landmark, ticket)
  return {
    landmark: name,
    operator: landmark.operator,
    rootKey: thumbprint(landmark.receiptKey),
    place: { latitude: landmark.latitudeE6 / 1e6, longitude: landmark.longitudeE6 / 1e6 },
    errorM: landmark.errorM,
    rttNs: receipt.rttNs.min,
    workloadKey: receipt.key,
    at: receipt.time,
  }
}
