// Makes test/vectors/sealed/cases.json anew, from dist: node test/tools/make-sealed-vectors.mjs
import { writeFileSync } from 'node:fs'

const load = (path) => import(new URL(`../../dist/${path}`, import.meta.url))
const { toBase64, fromBase64, toHex, utf8, fromUtf8 } = await load('core/bytes/bytes.js')
const { sha256 } = await load('core/crypto/hash.js')
const { generateSigningKey } = await load('core/crypto/sign.js')
const { canonicalJson } = await load('core/encoding/json.js')
const { Floe } = await load('core/sealed/floe.js')
const { fileKey } = await load('core/sealed/keys.js')
const { ciphertextLength, segmentLength } = await load('core/sealed/layout.js')
const manifests = await load('core/sealed/manifest.js')
const { sealDigests } = await load('core/sealed/secret.js')
const { signFolder } = await load('core/sealed/signature.js')

const { key: owner } = await generateSigningKey('ES256')
const { key: other } = await generateSigningKey('ES256')
const dek = Uint8Array.from({ length: 32 }, (_, i) => i)
const model = { id: `${owner.id}/whisper`, version: 1 }
const recovery = utf8('not opened by these cases')
const plaintexts = {
  'config.json': utf8('{"pipeline":"tensors"}'),
  'empty.json': utf8(''),
  'model.onnx': utf8('a graph'),
}
const roles = { 'config.json': 'config', 'empty.json': 'tokenizer', 'model.onnx': 'graph' }

async function sealOne(path, plaintext, { position = 0, last = true, sealedAs = path, withKey = dek } = {}) {
  const aad = manifests.fileAad(model, sealedAs, plaintext.length)
  const floe = Floe.seal({ segmentLength }, fileKey(withKey, path), aad, sha256(utf8(`iv of ${path}`)))
  const iv = sha256(utf8(`segment iv of ${path}`)).subarray(0, 12)
  return { header: floe.header, segment: await floe.sealSegment(position, last, iv, plaintext) }
}

function entryOf(path, plaintextLength, { header, segment }) {
  const segments = [toHex(sha256(segment))]
  return {
    path,
    role: roles[path],
    plaintextLength,
    ciphertextLength: ciphertextLength(plaintextLength),
    header: toBase64(header),
    segments,
    digest: manifests.fileDigest(segments),
  }
}

const digestsOf = (files) => files.map(([path, bytes]) => ({ path, sha256: toHex(sha256(bytes)) }))
const sealed = Object.fromEntries(
  await Promise.all(Object.entries(plaintexts).map(async ([path, bytes]) => [path, await sealOne(path, bytes)])),
)
const good = {
  format: manifests.sealedFormat,
  model,
  owner: owner.publicKey,
  licence: 'Apache-2.0',
  size: Object.values(plaintexts).reduce((sum, bytes) => sum + bytes.length, 0),
  files: Object.entries(plaintexts).map(([path, bytes]) => entryOf(path, bytes.length, sealed[path])),
  secret: await sealDigests(dek, model, new Uint8Array(12), digestsOf(Object.entries(plaintexts))),
}
const ciphertextOf = ({ header, segment }) => Uint8Array.from([...header, ...segment])

async function sign(bytes, { key = owner, resources } = {}) {
  return signFolder(key, 'whisper', [
    { name: 'manifest.json', digest: toHex(sha256(bytes)) },
    { name: 'recovery.age', digest: toHex(sha256(recovery)) },
    ...(resources ??
      Object.entries(sealed).map(([path, one]) => ({
        name: manifests.ciphertextPath(path),
        digest: toHex(sha256(ciphertextOf(one))),
      }))),
  ])
}

const cases = []
/** A manifest and its signature, verified for `ownerKey`. */
async function manifestCase(name, outcome, value, options = {}) {
  const bytes = typeof value === 'string' ? utf8(value) : canonicalJson(value)
  const signature = options.signature ?? fromUtf8(await sign(bytes, options))
  const ownerKey = (options.ownerKey ?? owner).publicKey
  cases.push({ kind: 'manifest', name, outcome, ownerKey, manifest: fromUtf8(bytes), signature })
}
const change = (edit) => {
  const copy = structuredClone(good)
  edit(copy)
  return copy
}
const file = (edit) => change((copy) => edit(copy.files[2]))

const manifestBytes = canonicalJson(good)
await manifestCase('a sealed folder of three files', 'ok', good)
await manifestCase(
  'without a stated licence',
  'ok',
  change((m) => (m.licence = null)),
)
await manifestCase('spaces in it', 'json/canonical', JSON.stringify(good, null, 1))
await manifestCase('a member twice', 'json/duplicate', fromUtf8(manifestBytes).replace('{', '{"format":"x",'))
await manifestCase('not JSON', 'json/syntax', 'manifest')
await manifestCase(
  'an unknown member',
  'shape/unknown',
  change((m) => (m.policy = 'none')),
)
await manifestCase(
  'no encrypted part',
  'shape/missing',
  change((m) => delete m.secret),
)
await manifestCase(
  'another format',
  'shape/form',
  change((m) => (m.format = 'claviger/sealed-model/v2')),
)
await manifestCase(
  'an unknown role',
  'shape/form',
  file((f) => (f.role = 'plugin')),
)
await manifestCase(
  'version zero',
  'shape/range',
  change((m) => (m.model.version = 0)),
)
await manifestCase(
  'a version that is text',
  'shape/type',
  change((m) => (m.model.version = '1')),
)
await manifestCase(
  'no files',
  'shape/range',
  change((m) => (m.files = [])),
)
await manifestCase(
  'a climbing path',
  'path/form',
  file((f) => (f.path = '../model.onnx')),
)
await manifestCase(
  'an absolute path',
  'path/form',
  file((f) => (f.path = '/model.onnx')),
)
await manifestCase(
  'a backslash',
  'path/form',
  file((f) => (f.path = 'a\\model.onnx')),
)
await manifestCase(
  'a hidden file',
  'path/form',
  file((f) => (f.path = '.model.onnx')),
)
await manifestCase(
  'a path twice',
  'sealed/manifest',
  change((m) => (m.files[2].path = m.files[1].path)),
)
await manifestCase(
  'files out of order',
  'sealed/manifest',
  change((m) => m.files.reverse()),
)
await manifestCase(
  'a path that is file and folder',
  'sealed/manifest',
  file((f) => (f.path = 'empty.json/model.onnx')),
)
await manifestCase(
  'a ciphertext path that is file and folder',
  'sealed/manifest',
  file((f) => (f.path = 'empty.json.floe/m')),
)
await manifestCase(
  'a prepared form without its engine',
  'sealed/manifest',
  file((f) => (f.role = 'prepared-form')),
)
await manifestCase(
  'a prepared form',
  'ok',
  file((f) => Object.assign(f, { role: 'prepared-form', engine: 'onnxruntime 1.30.0' })),
)
await manifestCase(
  'a graph with an engine',
  'sealed/manifest',
  file((f) => (f.engine = 'onnxruntime 1.30.0')),
)
await manifestCase(
  'a size that does not add up',
  'sealed/manifest',
  change((m) => m.size++),
)
await manifestCase(
  'a plaintext length of another file',
  'sealed/manifest',
  file((f) => f.plaintextLength++),
)
await manifestCase(
  'a segment too many',
  'sealed/manifest',
  file((f) => f.segments.push(f.segments[0])),
)
await manifestCase(
  'a digest that is not the root',
  'sealed/manifest',
  file((f) => (f.digest = f.segments[0])),
)
await manifestCase(
  'a header of other parameters',
  'sealed/manifest',
  file((f) => {
    const header = fromBase64(f.header)
    header[3] ^= 1
    f.header = toBase64(header)
  }),
)
await manifestCase(
  'a model named after another owner',
  'sealed/manifest',
  change((m) => (m.model.id = `${other.id}/whisper`)),
)
const theirs = change((m) => {
  m.owner = other.publicKey
  m.model.id = `${other.id}/whisper`
})
await manifestCase("another owner's model, well signed", 'sealed/owner', theirs, { key: other })
await manifestCase("another owner's signature", 'dsse/signer', good, { key: other })
await manifestCase(
  'the signature of another manifest',
  'sealed/statement',
  change((m) => (m.licence = 'MIT')),
  {
    signature: fromUtf8(await sign(manifestBytes)),
  },
)
const resources = Object.keys(sealed).map((path) => ({ name: manifests.ciphertextPath(path), digest: '00'.repeat(32) }))
await manifestCase('a file that was not signed', 'sealed/statement', good, { resources: resources.slice(1) })
await manifestCase('a signed file too many', 'sealed/statement', good, {
  resources: [...resources, { name: 'files/extra.floe', digest: '00'.repeat(32) }],
})
const envelope = JSON.parse(fromUtf8(await sign(manifestBytes)))
const bundle = (edit) => {
  const copy = structuredClone(envelope)
  edit(copy)
  return { signature: fromUtf8(canonicalJson(copy)) }
}
const flip = (text) => {
  const bytes = fromBase64(text)
  bytes[bytes.length - 1] ^= 1
  return toBase64(bytes)
}
await manifestCase(
  'a flipped bit in the signature',
  'crypto/signature',
  good,
  bundle((b) => (b.dsseEnvelope.signatures[0].sig = flip(b.dsseEnvelope.signatures[0].sig))),
)
await manifestCase(
  'a changed statement',
  'crypto/signature',
  good,
  bundle(
    (b) =>
      (b.dsseEnvelope.payload = toBase64(
        utf8(fromUtf8(fromBase64(b.dsseEnvelope.payload)).replace('whisper', 'whisped')),
      )),
  ),
)
await manifestCase(
  'no signature at all',
  'shape/range',
  good,
  bundle((b) => (b.dsseEnvelope.signatures = [])),
)
await manifestCase(
  'another payload type',
  'dsse/type',
  good,
  bundle((b) => (b.dsseEnvelope.payloadType = 'text/plain')),
)
await manifestCase(
  'a hint of another key',
  'sealed/statement',
  good,
  bundle((b) => (b.verificationMaterial.publicKey.hint = '00'.repeat(32))),
)

const digest = manifests.manifestDigest(manifestBytes)
cases.push({
  kind: 'digest',
  name: 'the digest of the manifest',
  outcome: 'ok',
  manifest: fromUtf8(manifestBytes),
  digest,
})
cases.push({
  kind: 'digest',
  name: 'the digest of another manifest',
  outcome: 'sealed/manifest-digest',
  manifest: fromUtf8(manifestBytes),
  digest: '00'.repeat(32),
})

/** A file opened with the DEK as docs/spec/sealed-model.md says, "Opening a file". */
function openCase(name, outcome, path, ciphertext, value = good, key = dek) {
  cases.push({
    kind: 'open',
    name,
    outcome,
    dek: toHex(key),
    manifest: fromUtf8(canonicalJson(value)),
    path,
    ciphertext: toBase64(ciphertext),
    ...(outcome === 'ok' ? { plaintext: toBase64(plaintexts[path]) } : {}),
  })
}
const flipped = (bytes, at) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
const whole = Object.fromEntries(Object.entries(sealed).map(([path, one]) => [path, ciphertextOf(one)]))
for (const path of Object.keys(plaintexts)) openCase(`${path} opens`, 'ok', path, whole[path])
const wrongKey = dek.map((byte) => byte ^ 0xff)
openCase('with another key', 'sealed/header-tag', 'model.onnx', whole['model.onnx'], good, wrongKey)
openCase('a header that is not the manifest’s', 'sealed/header', 'model.onnx', flipped(whole['model.onnx'], 12))
openCase('a flipped bit of ciphertext', 'sealed/segment-digest', 'model.onnx', flipped(whole['model.onnx'], 74 + 20))
openCase('a file that was cut off', 'sealed/segment-digest', 'model.onnx', whole['model.onnx'].subarray(0, -1))
/** What a party that holds the DEK can do: seal again under valid tags, here into a manifest of its own. */
async function rewritten(plaintext, options) {
  const one = await sealOne('model.onnx', plaintext, options)
  return [ciphertextOf(one), change((m) => (m.files[2] = entryOf('model.onnx', plaintext.length, one)))]
}
const [forged] = await rewritten(utf8('another'))
openCase(
  'rewritten by a party that holds the key',
  'sealed/segment-digest',
  'model.onnx',
  Uint8Array.from([...whole['model.onnx'].subarray(0, 74), ...forged.subarray(74)]),
)
openCase(
  'rewritten, with a manifest to match',
  'sealed/plaintext-digest',
  'model.onnx',
  ...(await rewritten(utf8('another'))),
)
openCase(
  'sealed as another file',
  'sealed/header-tag',
  'model.onnx',
  ...(await rewritten(utf8('a graph'), { sealedAs: 'other.onnx' })),
)
openCase(
  'sealed at another place',
  'sealed/segment-tag',
  'model.onnx',
  ...(await rewritten(utf8('a graph'), { position: 1 })),
)
const cut = structuredClone(sealed['model.onnx'])
cut.segment = Uint8Array.from([0xff, 0xff, 0xff, 0xff, ...cut.segment.subarray(4)])
openCase(
  'the word of an inner segment',
  'sealed/segment-form',
  'model.onnx',
  ciphertextOf(cut),
  change((m) => (m.files[2] = entryOf('model.onnx', 7, cut))),
)
openCase(
  'an encrypted part of another model',
  'sealed/manifest-secret',
  'model.onnx',
  whole['model.onnx'],
  change((m) => (m.secret.ciphertext = flip(m.secret.ciphertext))),
)
const lacking = await sealDigests(dek, model, new Uint8Array(12), digestsOf(Object.entries(plaintexts).slice(1)))
openCase(
  'an encrypted part without every file',
  'sealed/manifest-secret',
  'model.onnx',
  whole['model.onnx'],
  change((m) => (m.secret = lacking)),
)

writeFileSync(new URL('../vectors/sealed/cases.json', import.meta.url), `${JSON.stringify(cases, null, 1)}\n`)
