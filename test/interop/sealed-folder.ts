/**
 * A second implementation of the sealed folder that imports nothing of ours: written from C2SP FLOE (revision 5a1acf3),
 * RFC 5869, RFC 6962, RFC 7638, RFC 8785 and docs/spec/sealed-model.md, with node:crypto alone.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

type Value = string | number | null | readonly Value[] | { readonly [name: string]: Value }

const format = 'claviger/sealed-model/v1'
const ENC_SEG_LEN = 1_048_576
const SEG_PLAIN_LEN = ENC_SEG_LEN - 12 - 16 - 4
/** AEAD_ID 0, KDF_ID 0, ENC_SEG_LEN, FLOE_IV_LEN. */
const PARAMS = Buffer.from('00000010000000000020', 'hex')

const I2BE = (value: number | bigint, size: number) =>
  Buffer.from(
    BigInt(value)
      .toString(16)
      .padStart(2 * size, '0'),
    'hex',
  )
const sha256 = (...parts: readonly Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const must = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what)
}

/** FLOE_KDF: HKDF-Expand-SHA-384 of at most one block. */
function FLOE_KDF(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, purpose: Uint8Array, size: number): Buffer {
  const info = Buffer.concat([PARAMS, iv, purpose, aad])
  return createHmac('sha384', key)
    .update(info)
    .update(Buffer.from([1]))
    .digest()
    .subarray(0, size)
}

/** DERIVE_KEY: one key for 2^20 segments. */
function DERIVE_KEY(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, position: number): Buffer {
  const masked = (BigInt(position) >> 20n) << 20n
  return FLOE_KDF(key, iv, aad, Buffer.concat([Buffer.from('DEK:'), I2BE(masked, 8)]), 32)
}

/** A FLOE message, header first, whose plaintext is cut as the format says: full segments, and the last with what is left. */
export function floeSeal(
  key: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): { header: Buffer; segments: Buffer[] } {
  const iv = randomBytes(32)
  const header = Buffer.concat([PARAMS, iv, FLOE_KDF(key, iv, aad, Buffer.from('HEADER_TAG:'), 32)])
  const messageKey = FLOE_KDF(key, iv, aad, Buffer.from('MESSAGE_KEY:'), 48)
  const count = Math.max(1, Math.ceil(plaintext.length / SEG_PLAIN_LEN))
  const segments = Array.from({ length: count }, (_, position) => {
    const piece = plaintext.subarray(position * SEG_PLAIN_LEN, (position + 1) * SEG_PLAIN_LEN)
    const isFinal = position === count - 1
    const segmentIv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', DERIVE_KEY(messageKey, iv, aad, position), segmentIv)
    cipher.setAAD(Buffer.concat([I2BE(position, 8), Buffer.from([isFinal ? 1 : 0])]))
    const body = Buffer.concat([cipher.update(piece), cipher.final()])
    const word = isFinal ? 4 + 12 + body.length + 16 : 0xffff_ffff
    return Buffer.concat([I2BE(word, 4), segmentIv, body, cipher.getAuthTag()])
  })
  return { header, segments }
}

/** startDecryption: what opens one segment at its place. */
export function floeOpener(key: Uint8Array, aad: Uint8Array, header: Uint8Array) {
  const iv = header.subarray(10, 42)
  must(PARAMS.equals(header.subarray(0, 10)), 'parameters')
  const tag = FLOE_KDF(key, iv, aad, Buffer.from('HEADER_TAG:'), 32)
  must(header.length === 74 && timingSafeEqual(tag, header.subarray(42)), 'header tag')
  const messageKey = FLOE_KDF(key, iv, aad, Buffer.from('MESSAGE_KEY:'), 48)
  return (segment: Buffer, position: number, isFinal: boolean): Buffer => {
    must(segment.length >= 32 && segment.length <= ENC_SEG_LEN, 'segment length')
    must(isFinal || segment.length === ENC_SEG_LEN, 'inner segment length')
    must(segment.readUInt32BE(0) === (isFinal ? segment.length : 0xffff_ffff), 'length word')
    const decipher = createDecipheriv('aes-256-gcm', DERIVE_KEY(messageKey, iv, aad, position), segment.subarray(4, 16))
    decipher.setAAD(Buffer.concat([I2BE(position, 8), Buffer.from([isFinal ? 1 : 0])]))
    decipher.setAuthTag(segment.subarray(-16))
    return Buffer.concat([decipher.update(segment.subarray(16, -16)), decipher.final()])
  }
}

/** The plaintext of a FLOE message. */
export function floeOpen(key: Uint8Array, aad: Uint8Array, message: Uint8Array): Buffer {
  const open = floeOpener(key, aad, message.subarray(0, 74))
  const parts: Buffer[] = []
  for (let at = 74, isFinal = false; !isFinal; at += ENC_SEG_LEN) {
    isFinal = at + ENC_SEG_LEN >= message.length
    parts.push(open(Buffer.from(message.subarray(at, at + ENC_SEG_LEN)), parts.length, isFinal))
  }
  return Buffer.concat(parts)
}

/** RFC 8785 for what a manifest holds: ASCII names, whole numbers. */
function canonical(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const members = value as { readonly [name: string]: Value }
  const names = Object.keys(members).sort()
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(members[name]!)}`).join(',')}}`
}
const canonicalBytes = (value: Value) => Buffer.from(canonical(value))

/** RFC 6962, 2.1, over segment digests. */
function treeHash(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 1) return sha256(Buffer.from([0]), leaves[0]!)
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha256(Buffer.from([1]), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)))
}

/** RFC 5869, both steps. */
const derive = (dek: Uint8Array, info: string) => Buffer.from(hkdfSync('sha384', dek, format, info, 32))

interface Jwk {
  readonly kty: string
  readonly crv: string
  readonly x: string
  readonly y: string
}
/** RFC 7638. */
function jwkOf(key: KeyObject): { jwk: Jwk; thumbprint: string } {
  const { kty, crv, x, y } = publicOf(key).export({ format: 'jwk' })
  const jwk = { crv: crv!, kty: kty!, x: x!, y: y! }
  return { jwk, thumbprint: sha256(canonicalBytes(jwk)).toString('base64url') }
}
const publicOf = (key: KeyObject) => (key.type === 'private' ? createPublicKey(key) : key)

/** DSSE v1, "Signature Definition". */
const PAE = (type: string, payload: Uint8Array) =>
  Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload])

interface ManifestFile {
  readonly path: string
  readonly role: string
  readonly plaintextLength: number
  readonly ciphertextLength: number
  readonly header: string
  readonly segments: readonly string[]
  readonly digest: string
}
interface Manifest {
  readonly format: string
  readonly model: { readonly id: string; readonly version: number }
  readonly owner: Jwk
  readonly files: readonly ManifestFile[]
  readonly secret: { readonly iv: string; readonly ciphertext: string }
}

const fileAad = ({ id, version }: Manifest['model'], path: string, plaintextLength: number) =>
  canonicalBytes({ format, model: id, version, path, plaintextLength })
const secretAad = ({ id, version }: Manifest['model']) => canonicalBytes({ format, model: id, version, part: 'secret' })

function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

/** model.sig is the owner's, and names exactly the files that lie here, as they are. */
function verifySignature(folder: string, owner: KeyObject): void {
  const bundle = JSON.parse(readFileSync(join(folder, 'model.sig'), 'utf8'))
  const { payloadType, payload, signatures } = bundle.dsseEnvelope
  const bytes = Buffer.from(payload, 'base64')
  must(payloadType === 'application/vnd.in-toto+json' && signatures.length === 1, 'envelope')
  must(verify('sha256', PAE(payloadType, bytes), owner, Buffer.from(signatures[0].sig, 'base64')), 'signature')
  const statement = JSON.parse(bytes.toString('utf8'))
  const resources = statement.predicate.resources as { name: string; digest: string }[]
  const names = filesOf(folder).filter((name) => name !== 'model.sig')
  must(canonical(resources.map(({ name }) => name)) === canonical(names), 'files that were signed')
  for (const { name, digest } of resources)
    must(sha256(readFileSync(join(folder, name))).toString('hex') === digest, name)
  const all = sha256(...resources.map(({ digest }) => Buffer.from(digest, 'hex'))).toString('hex')
  must(statement.subject[0].digest.sha256 === all, 'subject')
}

/** Every file of a sealed folder, opened. */
export function openFolder(folder: string, dek: Uint8Array, owner: KeyObject): ReadonlyMap<string, Buffer> {
  verifySignature(folder, owner)
  const text = readFileSync(join(folder, 'manifest.json'), 'utf8')
  const manifest = JSON.parse(text) as Manifest
  must(canonical(manifest as never) === text && manifest.format === format, 'manifest')
  must(manifest.model.id.split('/')[0] === jwkOf(owner).thumbprint, 'model id')
  const sealed = Buffer.from(manifest.secret.ciphertext, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', derive(dek, 'manifest'), Buffer.from(manifest.secret.iv, 'base64'))
  decipher.setAAD(secretAad(manifest.model)).setAuthTag(sealed.subarray(-16))
  const secret = JSON.parse(
    Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString('utf8'),
  )
  const digests = new Map((secret.files as { path: string; sha256: string }[]).map((one) => [one.path, one.sha256]))
  return new Map(
    manifest.files.map(({ path, plaintextLength, ciphertextLength, header, segments, digest }) => {
      const message = readFileSync(join(folder, 'files', `${path}.floe`))
      must(message.length === ciphertextLength && message.subarray(0, 74).toString('base64') === header, 'header')
      const found = segments.map((_, i) => sha256(message.subarray(74 + i * ENC_SEG_LEN, 74 + (i + 1) * ENC_SEG_LEN)))
      must(canonical(found.map((one) => one.toString('hex'))) === canonical(segments), 'segments')
      must(treeHash(found).toString('hex') === digest, 'digest')
      const plaintext = floeOpen(derive(dek, `file:${path}`), fileAad(manifest.model, path, plaintextLength), message)
      must(plaintext.length === plaintextLength && sha256(plaintext).toString('hex') === digests.get(path), 'plaintext')
      return [path, plaintext]
    }),
  )
}

export interface FolderToSeal {
  readonly folder: string
  readonly name: string
  readonly version: number
  readonly dek: Uint8Array
  /** P-256, private */
  readonly owner: KeyObject
  /** the DEK for the owner's age identity */
  readonly recovery: Uint8Array
  readonly files: readonly { readonly path: string; readonly role: string; readonly bytes: Uint8Array }[]
}

/** Writes a sealed folder. */
export function sealFolder({ folder, name, version, dek, owner, recovery, files }: FolderToSeal): void {
  const write = (path: string, bytes: Uint8Array) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
  const { jwk, thumbprint } = jwkOf(owner)
  const model = { id: `${thumbprint}/${name}`, version }
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1))
  const listed = sorted.map(({ path, role, bytes }) => {
    const { header, segments } = floeSeal(derive(dek, `file:${path}`), fileAad(model, path, bytes.length), bytes)
    write(`files/${path}.floe`, Buffer.concat([header, ...segments]))
    const digests = segments.map((one) => sha256(one))
    return {
      path,
      role,
      plaintextLength: bytes.length,
      ciphertextLength: 74 + segments.reduce((sum, one) => sum + one.length, 0),
      header: header.toString('base64'),
      segments: digests.map((one) => one.toString('hex')),
      digest: treeHash(digests).toString('hex'),
    }
  })
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', derive(dek, 'manifest'), iv).setAAD(secretAad(model))
  const digests = sorted.map(({ path, bytes }) => ({ path, sha256: sha256(bytes).toString('hex') }))
  const ciphertext = Buffer.concat([
    cipher.update(canonicalBytes({ files: digests })),
    cipher.final(),
    cipher.getAuthTag(),
  ])
  const secret = { iv: iv.toString('base64'), ciphertext: ciphertext.toString('base64') }
  const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0)
  write(
    'manifest.json',
    canonicalBytes({ format, model, owner: { ...jwk }, licence: null, size, files: listed, secret }),
  )
  write('recovery.age', recovery)

  const resources = filesOf(folder).map((one) => {
    return { name: one, algorithm: 'sha256', digest: sha256(readFileSync(join(folder, one))).toString('hex') }
  })
  const all = sha256(...resources.map(({ digest }) => Buffer.from(digest, 'hex'))).toString('hex')
  const serialization = { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: ['model.sig'] }
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'sealed', digest: { sha256: all } }],
      predicateType: 'https://model_signing/signature/v1.0',
      predicate: { serialization, resources },
    }),
  )
  const payloadType = 'application/vnd.in-toto+json'
  const sig = sign('sha256', PAE(payloadType, payload), owner).toString('base64')
  const pem = publicOf(owner).export({ type: 'spki', format: 'pem' })
  const bundle = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: sha256(Buffer.from(pem)).toString('hex') }, tlogEntries: [] },
    dsseEnvelope: { payloadType, payload: payload.toString('base64'), signatures: [{ sig, keyid: thumbprint }] },
  }
  write('model.sig', Buffer.from(JSON.stringify(bundle)))
}
