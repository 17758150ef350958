import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ModelCode } from '#convert/model/failures.js'
import { moonshineLicence, moonshinePackage, type PinnedPackage, tokenizerPackage } from '#convert/model/pins.js'
import { readTarball } from '#convert/model/tar.js'
import { tokenizerJson } from '#convert/model/tokenizer.js'
import type { OnProgress } from '#convert/progress.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256, sha512 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { writeFileDurably } from '#host/files.js'

export interface FetchOptions {
  /** where models are kept between runs: `~/.cache/claviger/models` */
  readonly cacheFolder: string
  readonly onProgress?: OnProgress
}

export interface FetchedModel {
  /** ready for sealModel: graphs, tokenizer.json, config.json */
  readonly folder: string
  /** SPDX expression */
  readonly licence: string
  /** whether it was in the cache */
  readonly cached: boolean
}

const npmTimeoutMs = 10 * 60_000
const tarballSizeMax = 128 * 1024 * 1024
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)

/** What the engine reads beside the graphs: which steps stand around them. */
const config = {
  pipeline: 'moonshine',
  encoder: 'encoder_model.onnx',
  decoder: 'decoder_model_merged.onnx',
  tokenizer: 'tokenizer.json',
} as const

function verifyDigest(what: string, actual: string, expected: string): void {
  if (actual !== expected) {
    throw new Failure<ModelCode>('model/digest', `${what} has digest ${actual}, expected ${expected}`)
  }
}

/** The tarball as npm brings it, by the user's own registry settings, against its pinned digest. */
async function pack(pinned: PinnedPackage, folder: string): Promise<Uint8Array> {
  const args = ['pack', pinned.spec, '--pack-destination', folder, '--ignore-scripts', '--silent']
  try {
    await promisify(execFile)('npm', args, { cwd: folder, timeout: npmTimeoutMs })
  } catch (cause) {
    throw new Failure<ModelCode>('model/npm', `npm could not bring ${pinned.spec}`, {
      cause,
      detail: { hint: 'is the registry reachable? try: npm view llama-tokenizer-js version' },
    })
  }
  const [name] = (await readdir(folder)).filter((one) => one.endsWith('.tgz'))
  if (name === undefined) throw new Failure<ModelCode>('model/npm', `npm left no archive of ${pinned.spec}`)
  const tarball = new Uint8Array(await readFile(join(folder, name)))
  if (tarball.length > tarballSizeMax) throw new Failure<ModelCode>('model/digest', `${pinned.spec} is too large`)
  verifyDigest(pinned.spec, toBase64(sha512(tarball)), pinned.integrity)
  await rm(join(folder, name))
  return tarball
}

/** The pinned files of a package, each with the digest that it must have. */
async function fetchFiles(pinned: PinnedPackage, scratch: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = readTarball(
    await pack(pinned, scratch),
    pinned.files.map((file) => file.path),
  )
  for (const file of pinned.files) verifyDigest(file.path, toHex(sha256(found.get(file.path)!)), file.sha256)
  return found
}

/** Of what tokenizerJson makes of the pinned package: a change of either is a change of the model. */
const tokenizerSha256 = '68d912166e1635847b8d26efe55f52db2764d5684baa183cff92c70a9c080b84'

/** Every file of the model's folder with its SHA-256. */
const expected: ReadonlyMap<string, string> = new Map([
  ...moonshinePackage.files.map((file): [string, string] => [nameOf(file.path), file.sha256]),
  ['tokenizer.json', tokenizerSha256],
  ['config.json', toHex(sha256(canonicalJson(config)))],
])

/** Whether the folder holds the model and nothing else, every byte as pinned. */
async function isWhole(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => [])
  if (names.length !== expected.size) return false
  for (const name of names) {
    const digest = expected.get(name)
    if (digest === undefined) return false
    const bytes = await readFile(join(folder, name))
    if (toHex(sha256(bytes)) !== digest) return false
  }
  return true
}

async function fetchInto(target: string, scratch: string, onProgress: OnProgress): Promise<void> {
  const [vocabulary] = tokenizerPackage.files
  const [encoder, decoder] = moonshinePackage.files
  const total = encoder.size + decoder.size + vocabulary.size
  onProgress({ what: moonshinePackage.spec, done: 0, total })
  const graphs = await fetchFiles(moonshinePackage, scratch)
  onProgress({ what: tokenizerPackage.spec, done: total - vocabulary.size, total })
  const source = (await fetchFiles(tokenizerPackage, scratch)).get(vocabulary.path)!
  for (const [path, bytes] of graphs) await writeFileDurably(join(target, nameOf(path)), bytes)
  await writeFileDurably(join(target, 'tokenizer.json'), tokenizerJson(source))
  await writeFileDurably(join(target, 'config.json'), canonicalJson(config))
  onProgress({ what: tokenizerPackage.spec, done: total, total })
}

/**
 * Moonshine tiny is in the cache, every file against its pinned digest, complete or not there at all.
 *
 * The packages come by `npm pack`, so that the user's registry and proxy settings apply; nothing of them is run.
 * throws  model/npm, model/digest, model/form
 */
export async function fetchModel({ cacheFolder, onProgress }: FetchOptions): Promise<FetchedModel> {
  const folder = join(cacheFolder, 'moonshine-tiny')
  const result = { folder, licence: moonshineLicence }
  if (await isWhole(folder)) return { ...result, cached: true }
  await mkdir(cacheFolder, { recursive: true })
  const work = await mkdtemp(join(cacheFolder, '.fetching-'))
  try {
    const [target, scratch] = [join(work, 'model'), join(work, 'npm')]
    for (const one of [target, scratch]) await mkdir(one)
    await fetchInto(target, scratch, onProgress ?? (() => {}))
    if (!(await isWhole(target))) throw new Failure<ModelCode>('model/digest', 'the model folder is not as pinned')
    await rm(folder, { recursive: true, force: true })
    await rename(target, folder)
  } catch (error) {
    // Another process may have brought it meanwhile.
    if (!isFailure(error) && (await isWhole(folder))) return { ...result, cached: true }
    throw error
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return { ...result, cached: false }
}
