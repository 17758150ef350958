import { signatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { hex, integer, list, literal, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { nameShape, timeShape, titleShape } from '#core/wire/names.js'
import { companyShape, credentialKind } from '#policies/credentials/kinds.js'
import { type Keepers, type VerifiedKept, verifyKept } from '#policies/registry/keepers.js'

/** Failures of a directory of issuers. */
export type DirectoryCode =
  /** an issuer, or a key, that stands in it twice */
  'directory/row'

export const directoryPayloadType = 'application/vnd.claviger.issuer-directory+json'

const issuerShape = object({
  id: nameShape,
  title: titleShape,
  /** under which company it is controlled: two issuers of one are one witness. null where it is an authority */
  controlledBy: nullable(companyShape),
  keys: list(signatureJwk, { min: 1, max: 10 }),
  /** `areas` are countries, areas or groups of the jurisdiction registry; none: the kind speaks about no area */
  roles: list(
    object({ kind: credentialKind, areas: list(string({ max: 40, form: /^[A-Z][A-Z0-9_-]*$/ }), { max: 300 }) }),
    { min: 1, max: 20 },
  ),
})
export type DirectoryIssuer = Shaped<typeof issuerShape>

const rows = { issuers: list(issuerShape, { max: 1000 }) }
/** What a directory says, without who says it. */
export const directoryRowsShape = object(rows)

const directoryShape = object({
  type: literal('claviger/issuer-directory/v1'),
  name: nameShape,
  version: integer({ min: 1 }),
  issuedAt: timeShape,
  validUntil: timeShape,
  previousDigest: nullable(hex(32)),
  ...rows,
})
export type IssuerDirectory = Shaped<typeof directoryShape>

/**
 * A directory in the bytes that were signed. A key names one issuer: else it could be asked which of two it was.
 *
 * throws  directory/row, json/..., shape/...
 */
export function readDirectory(payload: Uint8Array): IssuerDirectory {
  const directory = directoryShape(parseCanonicalJson(payload), 'directory')
  const seen = new Set<string>()
  for (const { id, keys } of directory.issuers)
    for (const name of [id, ...keys.map(thumbprint)]) {
      if (seen.has(name)) throw new Failure<DirectoryCode>('directory/row', `${name} stands twice in the directory`)
      seen.add(name)
    }
  return directory
}

/** A directory as its keepers give it out, signed by each key. */
export function signDirectory(directory: IssuerDirectory, keys: readonly SigningKey[]): Promise<Envelope> {
  return signEnvelope(directoryPayloadType, canonicalJson(directory), keys)
}

/** A directory as `verifyKept` has it. @throws directory/row, what verifyKept throws */
export function verifyDirectory(
  envelope: Envelope,
  keepers: Keepers,
  at: UnixSeconds | null,
): Promise<VerifiedKept<IssuerDirectory>> {
  const kind = { payloadType: directoryPayloadType, what: 'issuer directory', read: readDirectory }
  return verifyKept(envelope, kind, keepers, at)
}

/** The issuer whose key this is. */
export function issuerOf(directory: IssuerDirectory, key: string): DirectoryIssuer | undefined {
  return directory.issuers.find(({ keys }) => keys.some((one) => thumbprint(one) === key))
}
