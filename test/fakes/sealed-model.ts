import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import type { RecipientJwk } from '#core/crypto/jwk.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Floe, segmentOverhead } from '#core/sealed/floe.js'
import { fileKey } from '#core/sealed/keys.js'
import { ciphertextLength, segmentCount, segmentLength, segmentPlace } from '#core/sealed/layout.js'
import {
  ciphertextPath,
  encodeManifest,
  type FileRole,
  fileAad,
  fileDigest,
  type SealedFile,
  type SealedManifest,
  sealedFormat,
} from '#core/sealed/manifest.js'
import { sealDigests } from '#core/sealed/secret.js'
import { recoveryName, signatureName, signFolder } from '#core/sealed/signature.js'

/** A sealed folder, and what the owner would have: for tests of the engine, which asks for no signature. */
export interface SealedFixture {
  readonly folder: string
  readonly manifestBytes: Uint8Array
  readonly dek: Uint8Array
  /** The DEK for one engine, as a release carries it. */
  wrapFor(key: RecipientJwk): Promise<{ sealed: Uint8Array; info: Uint8Array; aad: Uint8Array }>
}

function roleOf(path: string, preparedBy: string): Pick<SealedFile, 'role' | 'engine'> {
  if (path.endsWith('.ort')) return { role: 'prepared-form', engine: preparedBy }
  if (path.endsWith('known-answers.json')) return { role: 'known-answers', engine: undefined }
  const roles: Readonly<Record<string, FileRole>> = { 'config.json': 'config', 'tokenizer.json': 'tokenizer' }
  return { role: roles[path] ?? (path.endsWith('.onnx') ? 'graph' : 'external-data'), engine: undefined }
}

function filesBelow(folder: string, root = folder): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesBelow(path, root) : [relative(root, path)]
  })
}

const nobody = { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32, 1).toString('base64url') } as const

/** Whose model it is: with a signing key (P-256) the folder is signed, as a node wants it. */
export interface FixtureModel {
  readonly owner: SigningKey
  readonly name: string
  readonly version: number
}

function sealFile(
  dek: Uint8Array,
  from: string,
  to: string,
  path: string,
  model: SealedManifest['model'],
  preparedBy: string,
): SealedFile {
  const plaintext = new Uint8Array(readFileSync(join(from, path)))
  const aad = fileAad(model, path, plaintext.length)
  const floe = Floe.seal({ segmentLength }, fileKey(dek, path), aad, randomBytes(32))
  const sealed = new Uint8Array(ciphertextLength(plaintext.length))
  sealed.set(floe.header)
  const segments = Array.from({ length: segmentCount(plaintext.length) }, (_, index) => {
    const place = segmentPlace(plaintext.length, index)
    const destination = sealed.subarray(place.at, place.at + place.plaintextLength + segmentOverhead)
    const part = plaintext.subarray(place.plaintextAt, place.plaintextAt + place.plaintextLength)
    floe.sealSegmentInto(index, place.last, randomBytes(12), part, destination)
    return toHex(sha256(destination))
  })
  const target = join(to, ciphertextPath(path))
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, sealed)
  return {
    path,
    ...roleOf(path, preparedBy),
    plaintextLength: plaintext.length,
    ciphertextLength: sealed.length,
    header: toBase64(floe.header),
    segments,
    digest: fileDigest(segments),
  }
}

/** Seals every file of `from` into the folder `to`, under a new DEK. */
export async function sealFixture(
  from: string,
  to: string,
  as: FixtureModel | null = null,
  preparedBy = 'onnxruntime 1.30.0',
): Promise<SealedFixture> {
  const dek = new Uint8Array(randomBytes(32))
  const owner = as?.owner.publicKey ?? nobody
  const model = { id: `${thumbprint(owner)}/${as?.name ?? 'fixture'}`, version: as?.version ?? 1 }
  const paths = [...filesBelow(from)].sort()
  const files = paths.map((path) => sealFile(dek, from, to, path, model, preparedBy))
  const digests = paths.map((path) => ({ path, sha256: toHex(sha256(new Uint8Array(readFileSync(join(from, path))))) }))
  const manifestBytes = encodeManifest({
    format: sealedFormat,
    model,
    owner,
    licence: null,
    size: files.reduce((sum, file) => sum + file.plaintextLength, 0),
    files,
    secret: await sealDigests(dek, model, randomBytes(12), digests),
    quorum: undefined,
  })
  writeFileSync(join(to, 'manifest.json'), manifestBytes)
  if (as !== null) {
    writeFileSync(join(to, recoveryName), 'no recovery in a fixture')
    const resources = filesBelow(to).map((name) => ({
      name,
      digest: toHex(sha256(new Uint8Array(readFileSync(join(to, name))))),
    }))
    writeFileSync(join(to, signatureName), await signFolder(as.owner, as.name, resources))
  }
  return {
    folder: to,
    manifestBytes,
    dek,
    async wrapFor(key) {
      const info = new Uint8Array(randomBytes(40))
      const aad = new Uint8Array(randomBytes(40))
      return { sealed: await hpkeSeal(key, info, aad, dek), info, aad }
    },
  }
}
