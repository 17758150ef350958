import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { readCorim } from '#attest/reference/corim.js'
import { readReferenceSet } from '#attest/reference/set.js'
import { readProvenance } from '#attest/reference/statement.js'
import { readTarball } from '#convert/model/tar.js'
import { concat, fromBase64, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { type Cbor, decodeCbor, isCborArray, isCborTag } from '#core/encoding/cbor.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { earPayloadShape } from '#core/wire/ear.js'
import { packageRoot } from '#host/process.js'
import { parseKbsEvidence } from '#keybroker/kbs/evidence.js'
import { parseAttestation, parseRequest, type VerifiedTee } from '#keybroker/kbs/messages.js'
import { parseResourcePath } from '#keybroker/kbs/resource.js'
import { validatePolicy } from '#policies/language/validate.js'
import { parseMultipart } from '#runtime/api/multipart.js'
import { parsePipelineConfig } from '#runtime/pipelines/config.js'
import { parseTokenizer } from '#runtime/pipelines/tokenizer.js'
import { parseWav } from '#runtime/pipelines/wav.js'
import { documentSeeds, textSeeds } from './seeds.js'
import { each, json, type Target } from './target.js'

const tees: readonly VerifiedTee[] = ['snp', 'tdx', 'sgx', 'az-snp-vtpm', 'az-tdx-vtpm']
const boundary = 'line'
const brace = 0x7b

interface CaseFile {
  readonly cases: readonly {
    readonly name: string
    readonly signed?: string
    readonly values?: string
    readonly token?: string
  }[]
}

function cases(format: string): CaseFile['cases'] {
  const path = join(packageRoot(), 'test/vectors', format, 'cases.json')
  const file = JSON.parse(readFileSync(path, 'utf8')) as CaseFile | CaseFile['cases']
  return 'cases' in file ? file.cases : file
}

/** Payloads of the signed documents of the vectors: envelopes are JSON, manifests are COSE. */
function payloads(form: 'envelope' | 'cose'): readonly Uint8Array[] {
  const documents = cases('reference-set').map(({ signed }) => fromBase64(signed ?? ''))
  if (form === 'cose')
    return (
      documents
        .filter((bytes) => bytes[0] !== brace)
        // Not parseCoseSign1: a manifest of which the outside is wrong has a good payload too.
        .flatMap((bytes) => payloadOf(decodeCbor(bytes)) ?? [])
    )
  return documents
    .filter((bytes) => bytes[0] === brace)
    .flatMap((bytes) => {
      const { payload } = parseJson(bytes) as { readonly payload?: string }
      return payload === undefined ? [] : [fromBase64(payload)]
    })
}

function payloadOf(message: Cbor): Uint8Array | null {
  const parts = isCborTag(message) ? message.value : message
  return isCborArray(parts) && parts[2] instanceof Uint8Array ? parts[2] : null
}

/** The file of which the good provenance speaks. */
function builtFile(): Uint8Array {
  return fromBase64(cases('reference-set').find(({ name }) => name === 'provenance')?.values ?? '')
}

const tarEnd = new Uint8Array(1024)
function tar(name: string, body: string): Uint8Array {
  const header = new Uint8Array(512)
  header.set(utf8(name), 0)
  header.set(utf8(body.length.toString(8).padStart(11, '0')), 124)
  header[156] = 0x30
  return concat(header, utf8(body.padEnd(body === '' ? 0 : 512, '\0')))
}

/** The beginning of a sound of one header of 44 bytes, a sound itself. */
function cutWav(sound: Uint8Array, size: number): Uint8Array {
  const out = sound.slice(0, size)
  const view = new DataView(out.buffer)
  view.setUint32(4, size - 8, true)
  view.setUint32(40, size - 44, true)
  return out
}

const part = (head: string, body: string) =>
  `--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n${body}\r\n`

const tokenizers = [
  { model: { type: 'BPE', vocab: { '<unk>': 0, '▁Ask': 1 }, merges: [] }, added_tokens: [{ id: 2, content: '<pad>' }] },
  {
    model: {
      type: 'Unigram',
      vocab: [
        ['<unk>', -1],
        ['<0xE2>', -2],
      ],
    },
  },
]
const configs = [
  { pipeline: 'moonshine' },
  { pipeline: 'tensors', graph: 'model.onnx' },
  { model_type: 'moonshine', decoder_start_token_id: 1, eos_token_id: 2 },
]
const documents = (values: readonly unknown[]) => values.map((value) => utf8(JSON.stringify(value)))

export const serviceTargets: Readonly<Record<string, Target>> = {
  'kbs-request': {
    seeds: () => textSeeds('kbs'),
    run: (bytes) =>
      each(
        () => parseRequest(bytes),
        () => parseResourcePath(fromUtf8(bytes)),
      ),
    words: [...json, '"version":"0.4.0"', '"tee":"snp"', '"extra-params":'],
  },
  'kbs-attestation': {
    seeds: () => textSeeds('kbs'),
    run(bytes) {
      const { primaryEvidence } = parseAttestation(bytes)
      each(...tees.map((tee) => () => parseKbsEvidence(tee, primaryEvidence)))
    },
    words: [...json, '"primary_evidence":', '"attestation_report":', '"cert_chain":', '"quote":"', '"tee-pubkey":'],
  },
  'kbs-evidence': {
    seeds: () => documentSeeds('kbs'),
    run(bytes) {
      const primary: Json = parseJson(bytes)
      each(...tees.map((tee) => () => parseKbsEvidence(tee, primary)))
    },
    words: [...json, '"attestation_report":', '"cert_chain":', '"quote":"', '"tpm_quote":', '"hcl_report":'],
  },
  policy: {
    seeds: () => textSeeds('policy'),
    run: (bytes) => validatePolicy(fromUtf8(bytes)),
    words: [
      'permit (principal, action, resource)',
      'forbid',
      'when {',
      'unless {',
      '};',
      '@id("',
      '((((',
      ' has ',
      '//',
    ],
    sizeMax: 4096,
  },
  ear: {
    seeds: () => cases('ear').map(({ token }) => new Uint8Array(Buffer.from(token?.split('.')[1] ?? '', 'base64url'))),
    run: (bytes) => earPayloadShape(parseJson(bytes), 'token'),
    words: json,
  },
  'reference-set': {
    seeds: () => payloads('envelope'),
    run: (bytes) => readReferenceSet(bytes, null),
    words: json,
  },
  provenance: {
    seeds: () => payloads('envelope'),
    run: (bytes) => readProvenance(bytes, builtFile()),
    words: json,
  },
  corim: { seeds: () => payloads('cose'), run: readCorim },
  tokenizer: { seeds: () => documents(tokenizers), run: parseTokenizer, words: [...json, '"added_tokens":'] },
  'pipeline-config': {
    seeds: () => documents(configs),
    run: (bytes) =>
      parsePipelineConfig(
        bytes,
        new Set(['config.json', 'encoder_model.onnx', 'decoder_model_merged.onnx', 'model.onnx']),
      ),
    words: [...json, '"pipeline":'],
  },
  wav: {
    seeds: () => {
      const sound = new Uint8Array(readFileSync(join(packageRoot(), 'cli/assets/ask-not.wav')))
      return [cutWav(sound, 4096), sound.slice(0, 60)]
    },
    run: parseWav,
    words: ['RIFF', 'WAVE', 'fmt ', 'data', 'LIST'],
  },
  multipart: {
    seeds: () => [
      utf8(`${part('name="file"; filename="a.wav"', 'RIFF')}${part('name="model"', 'one')}--${boundary}--\r\n`),
      utf8(`${part('name="a%22b"', '')}--${boundary}--`),
    ],
    run: (bytes) => parseMultipart(`multipart/form-data; boundary=${boundary}`, bytes),
    words: [`\r\n--${boundary}`, `--${boundary}--`, '\r\n\r\n', 'Content-Disposition: form-data; ', 'name="', '; '],
  },
  tarball: {
    seeds: () => [concat(tar('package/a', 'one'), tar('package/b', ''), tarEnd), concat(tar('package/a', ''), tarEnd)],
    run: (bytes) => readTarball(gzipSync(bytes, { level: 1 }), ['package/a', 'package/b']),
    words: ['package/a\0', '00000000000\0', '77777777777\0', '0'],
  },
}
