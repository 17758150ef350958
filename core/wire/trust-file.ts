import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import {
  type Ed25519Jwk,
  ed25519Jwk,
  publisherJwk,
  type SignatureJwk,
  signatureJwk,
  thumbprint,
} from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  hex,
  integer,
  list,
  literal,
  object,
  oneOf,
  optional,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { assertTime, type UnixSeconds } from '#core/time.js'
import { type BrokerDemand, brokerDemandShape } from '#core/wire/broker-standing.js'
import { nameShape, timeShape, titleShape } from '#core/wire/names.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { ocspSerialForm } from '#core/x509/ocsp-request.js'

/** Failures of a trust file. */
export type TrustFileCode = 'trust-file/expired' | 'trust-file/rollback' | 'trust-file/author'

/** A key by the name that the reader calls it by. */
const namedKey = object({ alias: nameShape, key: signatureJwk })

/** A broker that the reader believes. */
export interface NamedBroker {
  readonly alias: string
  readonly key: Ed25519Jwk
  /** what it has to show of itself (I16); absent: it may run outside a TEE, and is shown so */
  readonly demand?: BrokerDemand | undefined
}
const namedBroker: Shape<NamedBroker> = object({
  alias: nameShape,
  key: ed25519Jwk,
  demand: optional(brokerDemandShape),
})

/**
 * The oldest that a vendor's list of revoked certificates may be, by the key that signs it: the holder of evidence chooses
 * which of two lists that are both in their time it sends along, and sends the one that does not revoke it.
 */
const crlFloor = object({
  kind: literal('crl'),
  /** SHA-256 of the DER SubjectPublicKeyInfo of the key that signs the list */
  issuer: hex(32),
  issuedAtMin: timeShape,
})
/** AMD's root signs one list for VCEKs and one for VLEKs: this floor is for one of them, `crl` for both. */
const amdCrlFloor = object({
  kind: literal('amd-crl'),
  list: oneOf('vcek', 'vlek'),
  issuer: hex(32),
  issuedAtMin: timeShape,
})
/**
 * An authority that AMD's root took back, as its reader has seen in a list of `issuedAtMin`. The two lists of one root do
 * not say which of them they are, so that a current one of the other kind may not name it: it stays refused.
 */
const amdRevokedFloor = object({
  kind: literal('amd-revoked'),
  issuer: hex(32),
  /** the serial number without its sign byte, 1 to 20 bytes */
  serial: string({ max: 40, form: /^(?!00.)([0-9a-f]{2}){1,20}$/ }),
  issuedAtMin: timeShape,
})

/** SHA-256 of the DER SubjectPublicKeyInfo of the vendor's root, since the signer below it changes. */
const ofEdition = { root: hex(32), tee: oneOf('tdx', 'sgx'), editionMin: integer({ max: 0xffff_ffff }) }
/** The least edition (`tcbEvaluationDataNumber`) of Intel's TCB info for a family; of that edition, the oldest. */
const tcbInfoFloor = object({ kind: literal('tcb-info'), fmspc: hex(6), ...ofEdition, issuedAtMin: timeShape })
const qeIdentityFloor = object({ kind: literal('qe-identity'), ...ofEdition, issuedAtMin: timeShape })

/**
 * An answer of this time said that an NVIDIA certificate is revoked: it is, whatever comes along or does not, until a newer
 * answer says that it is good. By its issuer and its serial number, as answers name it.
 */
const nvidiaRevokedFloor = object({
  kind: literal('nvidia-revoked'),
  /** SHA-384 of the DER name of the issuer, and of its key */
  issuerName: hex(48),
  issuerKey: hex(48),
  serial: string({ form: ocspSerialForm }),
  issuedAtMin: timeShape,
})

/**
 * The oldest that an NVIDIA RIM of an id may be, by since when the certificate of its signer counts: RIMs have no date of their own,
 * and NVIDIA reissues one id with other golden values.
 */
const nvidiaRimFloor = object({
  kind: literal('nvidia-rim'),
  id: string({ max: 103, form: /^NV_[A-Za-z0-9_-][A-Za-z0-9_.-]*$/ }),
  /** SHA-256 of the DER SubjectPublicKeyInfo of the root that the one stood under which was seen */
  root: hex(32),
  issuedAtMin: timeShape,
})

/** The least that collateral of a vendor may be, as its reader has seen it. */
export type CollateralFloor =
  | Shaped<typeof crlFloor>
  | Shaped<typeof amdCrlFloor>
  | Shaped<typeof amdRevokedFloor>
  | Shaped<typeof tcbInfoFloor>
  | Shaped<typeof qeIdentityFloor>
  | Shaped<typeof nvidiaRevokedFloor>
  | Shaped<typeof nvidiaRimFloor>

/** Decides by `kind`, never by trying one shape and then the other. */
const collateralFloorShape: Shape<CollateralFloor> = (value, path) => {
  const kind =
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as { readonly kind?: unknown }).kind
      : undefined
  if (kind === 'amd-crl') return amdCrlFloor(value, path)
  if (kind === 'amd-revoked') return amdRevokedFloor(value, path)
  if (kind === 'tcb-info') return tcbInfoFloor(value, path)
  if (kind === 'qe-identity') return qeIdentityFloor(value, path)
  if (kind === 'nvidia-revoked') return nvidiaRevokedFloor(value, path)
  if (kind === 'nvidia-rim') return nvidiaRimFloor(value, path)
  return crlFloor(value, path)
}
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
  brokers: list(namedBroker, { max: 100 }),
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
  runtimePublishers: list(object({ alias: nameShape, key: publisherJwk }), { max: 100 }),
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

// Not `trust`: that is an owner's statement, and one signature must never be taken for the other's.
const trustType = 'application/vnd.claviger.trust-file+json'

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
  assertTime(at)
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
