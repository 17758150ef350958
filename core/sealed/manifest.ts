import { equal, fromBase64, fromHex, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { signatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { pathShape } from '#core/encoding/path.js'
import {
  base64,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { filesPerModelMax, manifestSizeMax } from '#core/limits.js'
import type { SealedCode } from '#core/sealed/failures.js'
import { encodeParameters, headerSize } from '#core/sealed/floe.js'
import { ciphertextLength, segmentCount, segmentLength } from '#core/sealed/layout.js'
import { merkleRoot } from '#core/sealed/merkle.js'
import { quorumShape, verifyQuorum } from '#core/sealed/quorum.js'

export const sealedFormat = 'claviger/sealed-model/v1'

/** What a file is to the engine. A role that is not here is refused. */
export const fileRoles = ['graph', 'external-data', 'tokenizer', 'config', 'prepared-form', 'known-answers'] as const
export type FileRole = (typeof fileRoles)[number]

const fileShape = object({
  /** of the plaintext in the model's folder; the ciphertext is `files/<path>.floe` */
  path: pathShape,
  role: oneOf(...fileRoles),
  /** the engine that a prepared form was made by and for, `onnxruntime 1.30.0`; on prepared forms and only there */
  engine: optional(string({ max: 100, form: /^[a-z0-9-]+ [0-9]+(\.[0-9]+)*$/ })),
  plaintextLength: integer(),
  ciphertextLength: integer(),
  /** the FLOE header: 74 bytes */
  header: base64(headerSize),
  /** SHA-256 of each ciphertext segment, in order */
  segments: list(hex(32), { min: 1, max: 100_000 }),
  /** Merkle root (RFC 6962) of `segments`: the name of the file's content */
  digest: hex(32),
})
export type SealedFile = Shaped<typeof fileShape>

const manifestShape = object({
  format: literal(sealedFormat),
  model: object({
    /** `<owner key thumbprint>/<name>` */
    id: string({ max: 144, form: /^[A-Za-z0-9_-]{43}\/[a-z0-9][a-z0-9._-]{0,99}$/ }),
    /** rises with every seal that is released */
    version: integer({ min: 1 }),
  }),
  /** the key that the model id is named after, and that signs */
  owner: signatureJwk,
  /** SPDX licence expression that no holder may go below; null when the owner states none */
  licence: nullable(string({ max: 200, form: /^[A-Za-z0-9.+() :-]+$/ })),
  /** bytes of all plaintexts together */
  size: integer(),
  /** sorted by path */
  files: list(fileShape, { min: 1, max: filesPerModelMax }),
  /** plaintext digests, AES-256-GCM under a key of the DEK: docs/spec/sealed-model.md, "Encrypted part" */
  secret: object({ iv: base64(12), ciphertext: base64(undefined, 8 * 1024 * 1024) }),
  /** the brokers among whom the key is split: docs/spec/quorum.md. Absent: the key is whole, at one broker each */
  quorum: optional(quorumShape),
})
/** A manifest that is well formed and agrees with itself. Nobody is known to have signed it. */
export type SealedManifest = Shaped<typeof manifestShape>

declare const verified: unique symbol
/** A manifest whose bytes were signed by the owner that its model id names, or whose digest a verified release names. */
export type VerifiedManifest = SealedManifest & {
  readonly [verified]: true
}

function refuse(message: string): Failure<SealedCode> {
  return new Failure<SealedCode>('sealed/manifest', message)
}

function verifyFile(file: SealedFile): void {
  if ((file.role === 'prepared-form') !== (file.engine !== undefined)) {
    throw refuse(`${file.path}: an engine is named on prepared forms and only there`)
  }
  if (file.segments.length !== segmentCount(file.plaintextLength)) {
    throw refuse(
      `${file.path}: ${file.segments.length} segments, expected ${segmentCount(file.plaintextLength)} for ${file.plaintextLength} bytes`,
    )
  }
  if (file.ciphertextLength !== ciphertextLength(file.plaintextLength)) {
    throw refuse(
      `${file.path}: ${file.ciphertextLength} ciphertext bytes, expected ${ciphertextLength(file.plaintextLength)}`,
    )
  }
  const parameters = encodeParameters({ segmentLength })
  if (!equal(fromBase64(file.header).subarray(0, parameters.length), parameters)) {
    throw refuse(`${file.path}: header is not that of segments of ${segmentLength}`)
  }
  if (fileDigest(file.segments) !== file.digest) throw refuse(`${file.path}: digest is not the root of its segments`)
}

/** Every plaintext and every ciphertext can lie in one folder: no path is a file and a folder at once. */
function verifyLayout(paths: readonly string[]): void {
  const files = new Set(paths.flatMap((path) => [path, `${path}.floe`]))
  for (const path of paths) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      if (files.has(path.slice(0, at))) throw refuse(`${path}: ${path.slice(0, at)} is a file`)
    }
  }
}

/** The Merkle root, in hex, of segment digests in hex. */
export function fileDigest(segments: readonly string[]): string {
  return toHex(merkleRoot(segments.map((one) => fromHex(one, 32))))
}

/**
 * The manifest that canonical JSON spells. It agrees with itself: owner and model id, lengths and segments, segments
 * and digests, sizes, order. Who signed it is another question: verifyManifest.
 *
 * bytes   at most 6 MiB, RFC 8785
 * throws  sealed/manifest, json/*, shape/*, path/form, bytes/utf8
 */
export function parseManifest(bytes: Uint8Array): SealedManifest {
  const manifest = manifestShape(parseCanonicalJson(bytes, manifestSizeMax), '')
  if (thumbprint(manifest.owner) !== ownerThumbprint(manifest)) throw refuse('model id is not named after the owner')
  let size = 0
  let before = ''
  for (const file of manifest.files) {
    if (file.path <= before) throw refuse(`${file.path}: paths are not in order, or occur twice`)
    before = file.path
    verifyFile(file)
    size += file.plaintextLength
  }
  verifyLayout(manifest.files.map((file) => file.path))
  if (manifest.quorum !== undefined) verifyQuorum(manifest.quorum)
  if (size !== manifest.size) throw refuse(`files add up to ${size} bytes, the manifest says ${manifest.size}`)
  return manifest
}

/** The bytes of a manifest: the ones that are signed, digested and stored. @throws sealed/manifest and all of parseManifest */
export function encodeManifest(manifest: SealedManifest): Uint8Array {
  const bytes = canonicalJson(manifest)
  parseManifest(bytes) // never write what nobody would read
  return bytes
}

/** SHA-256 of the manifest's bytes, in hex: the model's identity in policy, release, log and receipt. */
export function manifestDigest(bytes: Uint8Array): string {
  return toHex(sha256(bytes))
}

/**
 * The manifest whose digest is `digest`.
 *
 * trusts  that the digest comes from something verified: a signed registration, a logged release
 * throws  sealed/manifest-digest and all of parseManifest
 */
export function verifyManifestDigest(bytes: Uint8Array, digest: string): VerifiedManifest {
  const actual = manifestDigest(bytes)
  if (actual !== digest) {
    throw new Failure<SealedCode>('sealed/manifest-digest', `manifest has digest ${actual}, expected ${digest}`)
  }
  return parseManifest(bytes) as VerifiedManifest
}

/** The 43 characters before the slash of the model id. */
export function ownerThumbprint(manifest: SealedManifest): string {
  return manifest.model.id.slice(0, 43)
}

/** The name after the slash of the model id. */
export function modelName(manifest: SealedManifest): string {
  return manifest.model.id.slice(44)
}

/** Where the ciphertext of a file lies in the sealed folder. */
export function ciphertextPath(path: string): string {
  return `files/${path}.floe`
}

/** The associated data of a file: what it is, in full, so that no file stands in for another. */
export function fileAad(model: SealedManifest['model'], path: string, plaintextLength: number): Uint8Array {
  return canonicalJson({ format: sealedFormat, model: model.id, version: model.version, path, plaintextLength })
}

/** The associated data of the encrypted part. */
export function secretAad(model: SealedManifest['model']): Uint8Array {
  return canonicalJson({ format: sealedFormat, model: model.id, version: model.version, part: 'secret' })
}
