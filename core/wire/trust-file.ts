import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { ed25519Jwk, type SignatureJwk, signatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { hex, integer, list, literal, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { nameShape, timeShape, titleShape } from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

/** Failures of a trust file. */
export type TrustFileCode = 'trust-file/expired' | 'trust-file/rollback' | 'trust-file/author'

/** A key by the name that the reader calls it by. */
const namedKey = object({ alias: nameShape, key: signatureJwk })

/**
 * The oldest that a vendor's collateral may be, by the key that signs it: the holder of evidence chooses which of two
 * lists that are both in their time it sends along, and sends the one that does not revoke it.
 */
const collateralFloorShape = object({
  kind: literal('crl'),
  /** SHA-256 of the DER SubjectPublicKeyInfo of the key that signs the list */
  issuer: hex(32),
  issuedAtMin: timeShape,
})
export type CollateralFloor = Shaped<typeof collateralFloorShape>
export const collateralFloorsShape = list(collateralFloorShape, { max: 256 })

/**
 * The reader's own anchors (I19). Vendor roots are compiled into the verifier and cannot be added here; a root listed
 * in `simulatedRoots` makes evidence consistent, never hardware.
 */
const trustShape = object({
  type: literal('claviger/trust/v1'),
  /** names the file's line of versions, for protection against rollback */
  name: nameShape,
  version: integer({ min: 1 }),
  issuedAt: timeShape,
  expiresAt: timeShape,
  owners: list(namedKey, { max: 1000 }),
  brokers: list(object({ alias: nameShape, key: ed25519Jwk }), { max: 100 }),
  verifiers: list(namedKey, { max: 100 }),
  /** C2SP signed-note verifier keys of logs */
  logs: list(string({ max: 300 }), { max: 32 }),
  /** C2SP tlog-policy text */
  witnessPolicy: string({ max: 16 * 1024 }),
  /** names of witnesses that the reader holds to be independent of broker, log and host */
  independentWitnesses: list(string(), { max: 64 }),
  /** runtimes that the reader accepts, by its own judgement */
  runtimes: list(object({ title: titleShape, values: referenceValuesShape }), { max: 100 }),
  /** whose signed lists of runtimes the reader accepts */
  runtimePublishers: list(namedKey, { max: 100 }),
  /** whose registries of countries and companies the reader believes */
  registries: list(namedKey, { max: 100 }),
  /** whose credentials of operators, sites and chips the reader believes */
  issuers: list(namedKey, { max: 1000 }),
  collateralFloors: collateralFloorsShape,
  simulatedRoots: list(hex(32), { max: 16 }),
})
export type Trust = Shaped<typeof trustShape>

export const trustFileShape = object({ author: signatureJwk, trust: envelopeShape })
export type TrustFile = Shaped<typeof trustFileShape>

const trustType = 'application/vnd.claviger.trust+json'

export async function signTrust(trust: Trust, key: SigningKey): Promise<TrustFile> {
  return { author: key.publicKey, trust: await signEnvelope(trustType, canonicalJson(trust), [key]) }
}

/** A trust file that was verified, and what to remember of it against rollback. */
export interface VerifiedTrust {
  readonly trust: Trust
  readonly digest: string
  readonly author: string
}

/** What a reader remembers of the trust files it has used: the author's key and the highest version, by name. */
export interface TrustMemory {
  readonly author: string
  readonly version: number
  readonly digest: string
}

/**
 * The anchors of a trust file that is current and not older than one that this reader used before.
 *
 * known    what the reader remembers of the file of this name; null on first use
 * throws   trust-file/expired, trust-file/rollback, trust-file/author, dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyTrustFile(
  file: TrustFile,
  known: TrustMemory | null,
  at: UnixSeconds,
): Promise<VerifiedTrust> {
  const author: SignatureJwk = file.author
  const { payload } = await verifyEnvelope(file.trust, trustType, [author], 'trust file')
  const trust = trustShape(parseCanonicalJson(payload), 'trust')
  const digest = toHex(sha256(payload))
  if (at > trust.expiresAt) throw new Failure<TrustFileCode>('trust-file/expired', 'trust file has expired')
  if (known !== null) {
    if (known.author !== thumbprint(author)) {
      throw new Failure<TrustFileCode>('trust-file/author', 'trust file of this name was signed by another key before')
    }
    if (trust.version < known.version || (trust.version === known.version && digest !== known.digest)) {
      throw new Failure<TrustFileCode>(
        'trust-file/rollback',
        `trust file has version ${trust.version}, version ${known.version} was used before`,
      )
    }
  }
  return { trust, digest, author: thumbprint(author) }
}
