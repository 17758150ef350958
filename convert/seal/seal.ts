import { lstat, realpath } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { ageSeal } from '#convert/keys/age.js'
import type { OnProgress } from '#convert/progress.js'
import { type Classified, classify, classifyKek } from '#convert/seal/classify.js'
import type { SealCode } from '#convert/seal/failures.js'
import { makeScratch, type SealedFileResult, sealFile } from '#convert/seal/seal-file.js'
import { openPlaintext, type PlaintextFile } from '#convert/seal/source.js'
import { listFiles } from '#convert/seal/walk.js'
import { toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { manifestSizeMax } from '#core/limits.js'
import { dekSize } from '#core/sealed/keys.js'
import { segmentCount } from '#core/sealed/layout.js'
import {
  ciphertextPath,
  encodeManifest,
  manifestDigest,
  parseManifest,
  type SealedManifest,
  sealedFormat,
} from '#core/sealed/manifest.js'
import { sealDigests } from '#core/sealed/secret.js'
import { manifestName, recoveryName, signatureName, signFolder } from '#core/sealed/signature.js'
import { makeAside } from '#host/aside.js'
import { syncFolder, writeFileDurably } from '#host/files.js'

/** What a folder holds: a model, or `kek.json` alone, whose key stands for a key-encryption key. */
export type Sealable = 'model' | 'kek'

export interface SealOptions {
  /** the model's folder: graphs and what belongs to them, nothing else */
  readonly folder: string
  /** the sealed folder: must not exist */
  readonly out: string
  /** lowercase letters, digits, `._-`: the part of the model id after the owner */
  readonly modelName: string
  /** 1 or more; rises with each release */
  readonly version: number
  /** ECDSA P-256 */
  readonly ownerKey: SigningKey
  /** age recipient of the owner's offline identity */
  readonly recoveryRecipient: string
  /** SPDX expression, or null */
  readonly licence?: string | null
  /** the engine that made the prepared forms in the folder, `onnxruntime 1.30.0`; without it they are refused */
  readonly preparedBy?: string | null
  /** default: a model */
  readonly what?: Sealable
  /** keeps the model's key for registration; called once, before the sealed folder gets its name */
  readonly storeKey?: (manifestDigest: string, dek: Uint8Array) => Promise<void>
  readonly onProgress?: OnProgress
}

export interface SealResult {
  readonly manifest: SealedManifest
  readonly manifestDigest: string
  /** 32 bytes, for the caller to wipe */
  readonly dek: Uint8Array
}

/** What would be sealed: every file with its role. */
export interface SealPlan {
  readonly files: readonly Classified[]
  readonly size: number
}

interface OpenFolder {
  readonly plan: SealPlan
  readonly file: (path: string) => PlaintextFile
  /** closes one that is done with: a model may have more files than a process may hold open */
  readonly release: (path: string) => void
}

/** Characters of a segment's digest in the manifest, and of all else about a file, from above. */
const segmentCost = 67
const fileCost = 1500

/** Every file of the folder, looked at and held open until `work` is done. */
async function withFolder<T>(
  folder: string,
  what: Sealable,
  preparedBy: string | null,
  work: (open: OpenFolder) => Promise<T>,
): Promise<T> {
  const sizes = await listFiles(folder)
  // Graphs and prepared forms are read twice, here and when sealing: each time through the same descriptor.
  const held = new Map<string, PlaintextFile>()
  const file = (path: string): PlaintextFile => {
    const known = held.get(path) ?? openPlaintext(join(folder, path), path, sizes.get(path)!)
    held.set(path, known)
    return known
  }
  const release = (path: string): void => {
    held.get(path)?.close()
    held.delete(path)
  }
  try {
    const open = (path: string) => file(path).source()
    const files = what === 'kek' ? classifyKek(sizes, open) : classify(sizes, open, preparedBy)
    const size = files.reduce((sum, one) => sum + one.size, 0)
    const manifestSize = files.reduce((sum, one) => sum + fileCost + segmentCost * segmentCount(one.size), 0)
    if (manifestSize > manifestSizeMax) {
      throw new Failure<SealCode>('seal/limit', `a model of ${size} bytes is more than one manifest describes`)
    }
    return await work({ plan: { files, size }, file, release })
  } finally {
    for (const one of held.values()) one.close()
  }
}

/** Looks at a model's folder as sealModel does, and seals nothing. @throws seal/*, onnx/*, path/form */
export async function planSeal(folder: string, preparedBy: string | null = null): Promise<SealPlan> {
  return withFolder(folder, 'model', preparedBy, async ({ plan }) => plan)
}

/** Every folder below `target` that holds something, and `target` itself. */
function foldersOf(target: string, results: readonly SealedFileResult[]): ReadonlySet<string> {
  const found = new Set([target])
  for (const { entry } of results) {
    const parts = ciphertextPath(entry.path).split('/')
    for (let depth = 1; depth < parts.length; depth++) found.add(join(target, ...parts.slice(0, depth)))
  }
  return found
}

/** Seals every file below `target`. */
async function sealFiles(open: OpenFolder, target: string, options: SealOptions, dek: Uint8Array) {
  const model = modelOf(options)
  const { plan } = open
  const scratch = makeScratch()
  const results: SealedFileResult[] = []
  let done = 0
  try {
    for (const file of plan.files) {
      const outPath = join(target, ciphertextPath(file.path))
      const step = async (bytes: number): Promise<void> => {
        done += bytes
        options.onProgress?.({ what: file.path, done, total: plan.size })
        await setImmediate() // signals and timers get their turn between segments
      }
      results.push(await sealFile(file, open.file(file.path), outPath, model, dek, scratch, step))
      open.release(file.path)
    }
  } finally {
    wipe(scratch.plaintext)
  }
  return results
}

function modelOf({ ownerKey, modelName, version }: SealOptions): SealedManifest['model'] {
  return { id: `${ownerKey.id}/${modelName}`, version }
}

async function makeManifest(
  options: SealOptions,
  dek: Uint8Array,
  results: readonly SealedFileResult[],
): Promise<Uint8Array> {
  const model = modelOf(options)
  const digests = results.map(({ entry, plaintextSha256 }) => ({ path: entry.path, sha256: plaintextSha256 }))
  return encodeManifest({
    format: sealedFormat,
    model,
    owner: options.ownerKey.publicKey,
    licence: options.licence ?? null,
    size: results.reduce((sum, { entry }) => sum + entry.plaintextLength, 0),
    files: results.map(({ entry }) => entry),
    secret: await sealDigests(dek, model, randomBytes(12), digests),
    quorum: undefined, // who holds the key is decided when it is registered
  })
}

/** Writes manifest, recovery key and signature into `target`: the signature last, over all that lies there. */
async function writeRim(
  options: SealOptions,
  target: string,
  dek: Uint8Array,
  manifest: Uint8Array,
  results: readonly SealedFileResult[],
): Promise<void> {
  const recovery = await ageSeal(options.recoveryRecipient, dek)
  await writeFileDurably(join(target, manifestName), manifest)
  await writeFileDurably(join(target, recoveryName), recovery)
  const signature = await signFolder(options.ownerKey, options.modelName, [
    { name: manifestName, digest: toHex(sha256(manifest)) },
    { name: recoveryName, digest: toHex(sha256(recovery)) },
    ...results.map((one) => ({ name: ciphertextPath(one.entry.path), digest: one.ciphertextSha256 })),
  ])
  await writeFileDurably(join(target, signatureName), signature)
}

/** What is sealed into the model's own folder would be a part of the model from then on. @throws seal/output */
async function verifyOutside(folder: string, out: string): Promise<void> {
  const [model, above] = await Promise.all([folder, dirname(out)].map((path) => realpath(path).catch(() => null)))
  if (model && above && (above === model || above.startsWith(`${model}${sep}`)))
    throw new Failure<SealCode>('seal/output', `${out} lies in the model's folder, which is what is sealed`)
}

/** Nothing stands where a folder is to be sealed. @throws seal/output */
export async function verifySealPlace(out: string): Promise<void> {
  if ((await lstat(out).catch(() => null)) !== null)
    throw new Failure<SealCode>('seal/output', `${out} exists and is not written over`)
}

/**
 * `out` is a sealed folder, whole, signed and durable. Before that moment it does not exist under that name: work goes
 * on in `<out>.sealing-…` beside it, which holds no plaintext and no key.
 *
 * throws  seal/*, onnx/*, path/form, keys/form, sealed/manifest, shape/*
 */
export async function sealModel(options: SealOptions): Promise<SealResult> {
  const { folder, out } = options
  await verifySealPlace(out)
  await verifyOutside(folder, out)
  return withFolder(folder, options.what ?? 'model', options.preparedBy ?? null, async (open) => {
    const dek = randomBytes(dekSize)
    try {
      return await makeAside({ place: out, word: 'sealing', mode: 0o755 }, async (target) => {
        const results = await sealFiles(open, target, options, dek)
        const manifest = await makeManifest(options, dek, results)
        await writeRim(options, target, dek, manifest, results)
        const digest = manifestDigest(manifest)
        await options.storeKey?.(digest, dek)
        for (const one of foldersOf(target, results)) await syncFolder(one)
        return { manifest: parseManifest(manifest), manifestDigest: digest, dek }
      })
    } catch (error) {
      wipe(dek)
      throw outputFailure(error, out)
    }
  })
}

/** The file system's refusal of the sealed folder itself is a matter of what was typed; any other is itself. */
function outputFailure(error: unknown, out: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall === 'mkdir') {
    return new Failure<SealCode>('seal/output', `cannot make a folder beside ${out}`, { cause: error })
  }
  const isTaken = syscall === 'rename' && /^(EEXIST|ENOTEMPTY|ENOTDIR)$/.test(code ?? '')
  return isTaken ? new Failure<SealCode>('seal/output', `${out} appeared while sealing`, { cause: error }) : error
}
