import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { changed, diskFull, npmTimeoutMs, packPackage } from '#convert/model/npm.js'
import { moonshineLicence, moonshinePackage, type PinnedPackage, tokenizerPackage } from '#convert/model/pins.js'
import { readTarball } from '#convert/model/tar.js'
import { tokenizerJson } from '#convert/model/tokenizer.js'
import type { OnProgress } from '#convert/progress.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { makeAside, withScratch } from '#host/aside.js'
import { makeFolder, writeFileDurably } from '#host/files.js'
import { lockFileSoon } from '#host/folder-lock.js'

export interface FetchOptions {
  /** where models are kept between runs: `~/.cache/claviger/models` */
  readonly cacheFolder: string
  readonly onProgress?: OnProgress
  /** told once when another process fetches it now, and is waited for */
  readonly onWait?: () => void
}

export interface FetchedModel {
  /** ready for sealModel: graphs, tokenizer.json, config.json */
  readonly folder: string
  /** SPDX expression */
  readonly licence: string
  /** whether it was in the cache */
  readonly cached: boolean
}

const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)

/** What the engine reads beside the graphs: which steps stand around them. */
const config = {
  pipeline: 'moonshine',
  encoder: 'encoder_model.onnx',
  decoder: 'decoder_model_merged.onnx',
  tokenizer: 'tokenizer.json',
} as const

/** The pinned files of a package, each with the digest that it must have. */
async function fetchFiles(
  pinned: PinnedPackage,
  scratch: string,
  onBytes: (bytes: number) => void,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const folder = join(scratch, nameOf(pinned.spec))
  await mkdir(folder)
  const tarball = await packPackage(pinned, folder, onBytes)
  await rm(folder, { recursive: true })
  const found = readTarball(
    tarball,
    pinned.files.map((file) => file.path),
  )
  for (const file of pinned.files) {
    const digest = toHex(sha256(found.get(file.path)!))
    if (digest !== file.sha256) throw changed(`${file.path} has digest ${digest}, expected ${file.sha256}`)
  }
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
  const total = moonshinePackage.size + tokenizerPackage.size
  const tell = (pinned: PinnedPackage, before: number) => (bytes: number) =>
    onProgress({ what: pinned.spec, done: before + bytes, total })
  tell(moonshinePackage, 0)(0)
  const graphs = await fetchFiles(moonshinePackage, scratch, tell(moonshinePackage, 0))
  const source = await fetchFiles(tokenizerPackage, scratch, tell(tokenizerPackage, moonshinePackage.size))
  for (const [path, bytes] of graphs) await writeFileDurably(join(target, nameOf(path)), bytes)
  await writeFileDurably(join(target, 'tokenizer.json'), tokenizerJson(source.get(vocabulary.path)!))
  await writeFileDurably(join(target, 'config.json'), canonicalJson(config))
}

async function bring(folder: string, onProgress: OnProgress): Promise<void> {
  await withScratch({ place: folder, word: 'npm', mode: 0o700 }, (scratch) =>
    makeAside({ place: folder, word: 'fetching', mode: 0o755 }, async (target) => {
      await fetchInto(target, scratch, onProgress)
      if (!(await isWhole(target))) throw changed('the model folder is not as pinned')
      await rm(folder, { recursive: true, force: true }) // one that was spoiled
    }),
  )
}

/** As long as npm may take for both packages. */
const lockWaitMs = 2 * npmTimeoutMs

/**
 * Moonshine tiny is in the cache, every file against its pinned digest, complete or not there at all. One process brings it,
 * others wait for it; what an attempt that was stopped left is taken away, and the next begins anew.
 *
 * The packages come by `npm pack`, so that the user's registry and proxy settings apply; nothing of them is run.
 * onProgress  told of the bytes of the tarballs that have come; not at all when the model was in the cache
 * throws      model/npm, model/network, model/disk-full, model/digest, model/form, lock/held
 */
export async function fetchModel({ cacheFolder, onProgress, onWait }: FetchOptions): Promise<FetchedModel> {
  const folder = join(cacheFolder, 'moonshine-tiny')
  const result = { folder, licence: moonshineLicence }
  if (await isWhole(folder)) return { ...result, cached: true }
  await makeFolder(cacheFolder)
  const lock = await lockFileSoon(`${folder}.lock`, lockWaitMs, onWait)
  try {
    // Whoever had the lock may have brought it.
    if (await isWhole(folder)) return { ...result, cached: true }
    await bring(folder, onProgress ?? (() => undefined))
    return { ...result, cached: false }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    throw diskFull(`cannot write ${folder}`, error)
  } finally {
    lock.release()
  }
}
