import { concat, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { jwkToSpki, type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { boolean, hex, list, literal, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { filesPerModelMax, pathLengthMax } from '#core/limits.js'
import type { SealedCode } from '#core/sealed/failures.js'
import {
  ciphertextPath,
  manifestDigest,
  ownerThumbprint,
  parseManifest,
  type VerifiedManifest,
} from '#core/sealed/manifest.js'

/** Names in a sealed folder. The signature's is the one that model-signing looks for. */
export const manifestName = 'manifest.json'
export const recoveryName = 'recovery.age'
export const signatureName = 'model.sig'

const payloadType = 'application/vnd.in-toto+json'
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const predicateType = 'https://model_signing/signature/v1.0'
const signatureSizeMax = 4 * 1024 * 1024

/** A file of the sealed folder, and the SHA-256 of it. */
export interface SignedResource {
  readonly name: string
  readonly digest: string
}

/** source: sigstore/model-transparency v1.1.1, `Payload`; in-toto Statement v1 */
const statementShape = object({
  _type: literal('https://in-toto.io/Statement/v1'),
  subject: list(object({ name: string(), digest: object({ sha256: hex(32) }) }), { min: 1, max: 1 }),
  predicateType: literal(predicateType),
  predicate: object({
    serialization: object({
      method: literal('files'),
      hash_type: literal('sha256'),
      allow_symlinks: boolean,
      ignore_paths: list(literal(signatureName), { min: 1, max: 1 }),
    }),
    resources: list(
      object({
        name: string({ max: pathLengthMax + 20 }),
        algorithm: literal('sha256'),
        digest: hex(32),
      }),
      { min: 1, max: filesPerModelMax + 2 },
    ),
  }),
})
type Statement = Shaped<typeof statementShape>

/** source: sigstore protobuf-specs, "Bundle" v0.3, with a public key for verification material */
const bundleShape = object({
  mediaType: literal(bundleType),
  verificationMaterial: object({
    publicKey: object({ hint: hex(32) }),
    tlogEntries: list(literal('none'), { max: 0 }),
  }),
  dsseEnvelope: envelopeShape,
})

/** The tool names a key by the SHA-256 of its PEM text. */
function keyHint(key: SignatureJwk): string {
  return toHex(sha256(utf8(encodePem(jwkToSpki(key), 'PUBLIC KEY'))))
}

/** The subject's digest: SHA-256 of all digests in the order of the list. */
function resourcesDigest(resources: readonly SignedResource[]): string {
  return toHex(sha256(concat(...resources.map((one) => fromHex(one.digest, 32)))))
}

/**
 * The contents of `model.sig`: the OpenSSF model-signing signature of a sealed folder.
 *
 * resources  every file of the folder but the signature itself, each with its SHA-256
 * key        the owner's, ECDSA P-256: model-signing knows no Ed25519
 */
export async function signFolder(
  key: SigningKey,
  name: string,
  resources: readonly SignedResource[],
): Promise<Uint8Array> {
  const sorted = [...resources].sort((a, b) => (a.name < b.name ? -1 : 1))
  const statement: Statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name, digest: { sha256: resourcesDigest(sorted) } }],
    predicateType,
    predicate: {
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: false,
        ignore_paths: [signatureName],
      },
      resources: sorted.map(({ name: file, digest }) => ({ name: file, algorithm: 'sha256', digest })),
    },
  }
  return canonicalJson({
    mediaType: bundleType,
    verificationMaterial: { publicKey: { hint: keyHint(key.publicKey) }, tlogEntries: [] },
    dsseEnvelope: await signEnvelope(payloadType, canonicalJson(statement), [key]),
  })
}

function refuse(message: string): Failure<SealedCode> {
  return new Failure<SealedCode>('sealed/statement', message)
}

/** Name and SHA-256, in hex, of every file that the owner signed. @throws sealed/statement, dsse/*, crypto/signature, json/*, shape/* */
export async function verifyFolderSignature(
  signature: Uint8Array,
  ownerKey: SignatureJwk,
): Promise<ReadonlyMap<string, string>> {
  const bundle = bundleShape(parseJson(signature, signatureSizeMax), 'signature')
  const { payload } = await verifyEnvelope(bundle.dsseEnvelope, payloadType, [ownerKey], 'the sealed model')
  if (bundle.verificationMaterial.publicKey.hint !== keyHint(ownerKey)) throw refuse('hint is not that of the key')
  const statement = statementShape(parseJson(payload, signatureSizeMax), 'statement')
  const { resources, serialization } = statement.predicate
  if (serialization.allow_symlinks) throw refuse('statement lets symbolic links stand in for files')
  if (resourcesDigest(resources) !== statement.subject[0]!.digest.sha256) {
    throw refuse('subject digest is not that of the resources')
  }
  const digests = new Map(resources.map((one) => [one.name, one.digest]))
  if (digests.size !== resources.length) throw refuse('a resource occurs twice')
  return digests
}

/**
 * The manifest, signed by `ownerKey` together with exactly the files that it lists.
 *
 * bytes      `manifest.json`
 * signature  `model.sig`
 * throws     sealed/owner, sealed/statement, dsse/type, dsse/signer, crypto/signature and all of parseManifest
 */
export async function verifyManifest(
  bytes: Uint8Array,
  signature: Uint8Array,
  ownerKey: SignatureJwk,
): Promise<VerifiedManifest> {
  const manifest = parseManifest(bytes) // 1 structure
  if (ownerThumbprint(manifest) !== thumbprint(ownerKey)) {
    // 2 the model is this owner's
    throw new Failure<SealedCode>(
      'sealed/owner',
      `model is of owner ${ownerThumbprint(manifest)}, expected ${thumbprint(ownerKey)}`,
    )
  }
  const signed = await verifyFolderSignature(signature, ownerKey) // 3 signature
  if (signed.get(manifestName) !== manifestDigest(bytes)) throw refuse('another manifest was signed') // 4 these bytes
  const expected = [manifestName, recoveryName, ...manifest.files.map((file) => ciphertextPath(file.path))]
  const missing = expected.find((name) => !signed.has(name)) // 5 all files and no other
  if (missing !== undefined) throw refuse(`${missing} was not signed`)
  if (signed.size !== expected.length) throw refuse('files were signed that the manifest does not list')
  return manifest as VerifiedManifest
}
