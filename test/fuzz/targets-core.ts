import { fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import { parseCoseSign1 } from '#core/cose.js'
import { envelopeShape } from '#core/dsse.js'
import { decodeCbor, encodeCbor } from '#core/encoding/cbor.js'
import { DerReader } from '#core/encoding/der.js'
import { canonicalJson, type Json, parseCanonicalJson, parseJson } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import type { Shape } from '#core/encoding/shape.js'
import { parseXml } from '#core/encoding/xml.js'
import { canonicalXml } from '#core/encoding/xml-canonical.js'
import { parseGraph } from '#core/onnx/graph.js'
import { bytesSource } from '#core/onnx/protobuf.js'
import { parseManifest } from '#core/sealed/manifest.js'
import { parseAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { parseNote } from '#core/tlog/note.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { parseTlogProof } from '#core/tlog/proof.js'
import { encodeEntries, parseEntries, parseTilePath } from '#core/tlog/tiles.js'
import { parseVkey } from '#core/tlog/vkey.js'
import { parseBinaryRequest, parseBinaryResponse } from '#core/wire/bhttp.js'
import { anyBundleShape } from '#core/wire/bundle.js'
import { ChunkSplitter } from '#core/wire/chunks.js'
import { parseEntry } from '#core/wire/entries.js'
import { anyEvidenceShape } from '#core/wire/evidence.js'
import { parseInnerRequest, parseInnerResponse } from '#core/wire/inner.js'
import { parseKnownAnswers } from '#core/wire/known-answers.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import { parseKeyConfigs } from '#core/wire/ohttp-keys.js'
import { receiptShape } from '#core/wire/receipt.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { statementShapes } from '#core/wire/statements.js'
import { trustFileShape } from '#core/wire/trust-file.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { parseCrl } from '#core/x509/crl.js'
import { parseOcsp } from '#core/x509/ocsp-answer.js'
import { onnxModel } from '../fakes/onnx-models.js'
import { caseSeeds, documentSeeds, textSeeds } from './seeds.js'
import { each, json, type Target } from './target.js'

const dcap = ['tdx', 'sgx']
const certificates = ['snp', 'sev-snp', 'gpu', 'nvidia-gpu', ...dcap]

const text = (parse: (text: string) => unknown) => (bytes: Uint8Array) => parse(fromUtf8(bytes))
const shape = (given: Shape<unknown>, format: string, sizeMax = 16 * 1024): Target => ({
  seeds: () => documentSeeds(format),
  run: (bytes) => given(parseJson(bytes), 'value'),
  words: json,
  sizeMax,
})

function ders(): readonly Uint8Array[] {
  const pems = caseSeeds(certificates, /^(vcek|vlek|certChain|tcbSigningChain|rootCa)$/)
  const lists = caseSeeds(certificates, /crl/i)
  return [...pems.flatMap((pem) => parsePem(fromUtf8(pem), 'CERTIFICATE', 8)), ...lists]
}

/** Everything below the value that is built of values, to its end. */
function walkDer(bytes: Uint8Array, depth: number): void {
  const reader = new DerReader(bytes)
  while (!reader.done) {
    const { tag, body } = reader.next(reader.tag ?? 0, 'value')
    if (tag & 0x20 && depth < 16) walkDer(body, depth + 1)
  }
}

/** A value that is read is spelled again as it was. */
function roundTrip(name: string, before: Uint8Array, after: Uint8Array): void {
  if (toBase64(before) !== toBase64(after)) throw new Error(`${name} has two spellings`)
}

export const coreTargets: Readonly<Record<string, Target>> = {
  json: {
    seeds: () => [
      ...documentSeeds('evidence'),
      ...documentSeeds('statements'),
      ...caseSeeds(dcap, /tcbInfo|qeIdentity/),
    ],
    run: (bytes) => {
      const value = parseJson(bytes)
      const again = canonicalJson(value)
      roundTrip('JSON', again, canonicalJson(parseCanonicalJson(again)))
    },
    words: json,
  },
  cbor: {
    seeds: () => [...caseSeeds(['nitro'], /document/), ...caseSeeds(['cca', 'arm-cca'], /token/)],
    run: (bytes) => {
      const value = decodeCbor(bytes)
      roundTrip('CBOR', encodeCbor(value), encodeCbor(decodeCbor(encodeCbor(value))))
    },
  },
  cose: {
    seeds: () => caseSeeds(['nitro'], /document/),
    run: (bytes) => parseCoseSign1(bytes, 'message'),
  },
  der: { seeds: ders, run: (bytes) => walkDer(bytes, 0) },
  pem: {
    seeds: () => caseSeeds(certificates, /^(vcek|certChain|tcbSigningChain|rootCa)$/),
    run: text((one) => parsePem(one, 'CERTIFICATE', 8)),
    words: ['-----BEGIN CERTIFICATE-----\n', '-----END CERTIFICATE-----\n', '-----', '\r\n', '='],
  },
  certificate: { seeds: ders, run: (bytes) => parseCertificate(bytes) },
  crl: { seeds: () => caseSeeds(certificates, /crl/i), run: (bytes) => parseCrl(bytes) },
  ocsp: { seeds: () => caseSeeds(['gpu', 'nvidia-gpu'], /ocsp/i), run: (bytes) => parseOcsp(bytes) },
  xml: {
    seeds: () => caseSeeds(['gpu', 'nvidia-gpu'], /rim/i),
    run: (bytes) => canonicalXml(parseXml(bytes)),
    words: [
      '<?xml version="1.0"?>',
      '<!DOCTYPE',
      '<!ENTITY',
      '<![CDATA[',
      ']]>',
      '<!--',
      '-->',
      '&amp;',
      '&#x41;',
      'xmlns:a="b"',
      '/>',
    ],
    sizeMax: 64 * 1024,
  },
  evidence: shape(anyEvidenceShape, 'evidence', 64 * 1024),
  statements: {
    seeds: () => [...documentSeeds('statements'), ...textSeeds('statements')],
    run: (bytes) => {
      const value: Json = parseJson(bytes)
      each(() => envelopeShape(value, ''), ...Object.values(statementShapes).map((one) => () => one(value, '')))
    },
    words: json,
  },
  'reference-values': {
    seeds: () => caseSeeds(['snp', 'tdx', 'sgx', 'gpu', 'nitro', 'cca', 'azure'], /referenceValues/),
    run: (bytes) => referenceValuesShape(parseJson(bytes), ''),
    words: json,
  },
  bundle: shape(anyBundleShape, 'bundle', 64 * 1024),
  'node-document': shape(nodeDocumentShape, 'node-document', 64 * 1024),
  receipt: { seeds: () => textSeeds('receipt'), run: (bytes) => receiptShape(parseJson(bytes), ''), words: json },
  'trust-file': shape(trustFileShape, 'trust-file'),
  manifest: { seeds: () => [...documentSeeds('sealed'), ...textSeeds('sealed')], run: parseManifest, words: json },
  'known-answers': { seeds: () => textSeeds('known-answers'), run: parseKnownAnswers, words: json },
  entry: { seeds: () => [...documentSeeds('entries'), ...textSeeds('entries')], run: parseEntry, words: json },
  note: {
    seeds: () => textSeeds('tlog'),
    run: text((one) =>
      each(
        () => parseNote(one),
        () => parseCheckpoint(one),
        () => parseVkey(one),
        () => parseAddCheckpoint(one),
      ),
    ),
    words: ['\n\n', '\u2014 ', 'old ', '+', '\n'],
  },
  'tlog-proof': {
    seeds: () => textSeeds('tlog'),
    run: text((one) =>
      each(
        () => parseTlogProof(one),
        () => parsePolicy(one),
        () => parseTilePath(one),
      ),
    ),
    words: [
      'c2sp.org/tlog-proof@v1\n',
      'index ',
      'extra ',
      '\n',
      'quorum ',
      'witness ',
      'group ',
      'log ',
      'tile/',
      '.p/',
      'x001/',
    ],
  },
  'tlog-entries': {
    seeds: () => [encodeEntries([]), encodeEntries(textSeeds('tlog').slice(0, 20)), ...textSeeds('tlog')],
    run: parseEntries,
  },
  bhttp: {
    seeds: () => textSeeds('bhttp'),
    run: (bytes) =>
      each(
        () => parseBinaryRequest(bytes),
        () => parseBinaryResponse(bytes),
      ),
  },
  inner: {
    seeds: () => textSeeds('bhttp'),
    run: (bytes) =>
      each(
        () => parseInnerRequest(bytes),
        () => parseInnerResponse(bytes),
      ),
    words: json,
  },
  ohttp: {
    seeds: () => textSeeds('ohttp'),
    run: (bytes) =>
      each(
        () => parseKeyConfigs(bytes),
        () => {
          const splitter = new ChunkSplitter(7)
          for (let at = 0; at < bytes.length; at += 100) splitter.push(bytes.subarray(at, at + 100))
          splitter.end()
        },
      ),
  },
  onnx: {
    seeds: () => [onnxModel()],
    run: (bytes) => parseGraph(bytesSource(bytes)),
    words: ['ai.onnx', 'location', 'offset', 'length', '../'],
  },
}
