import { randomBytes } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { type FileHandle, link, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { secretBytes } from '#core/bytes/secret.js'
import { Failure } from '#core/failure.js'
import { markUnfinished } from '#host/unfinished.js'

/** Failures of files that a process of ours keeps. */
export type FileCode = 'file/absent' | 'file/exists' | 'file/folder' | 'file/permissions' | 'file/size' | 'file/kind'

const secretSizeMax = 64 * 1024

async function writeWhole(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten
  await handle.sync()
}

/** The names in the folder are durable: without it a new or renamed file may be gone after a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const existing = (path: string) =>
  new Failure<FileCode>('file/exists', `${path} exists and is not written over`, {
    detail: { hint: 'choose another name, or move what stands there away' },
  })

/** The bytes of a file, which may be one without an end. @throws file/size, and what the file system refuses */
export async function readBounded(path: string, sizeMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of createReadStream(path) as AsyncIterable<Uint8Array>) {
    size += part.length
    if (size > sizeMax) throw new Failure<FileCode>('file/size', `${path} has more than ${sizeMax} bytes`)
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

/**
 * Nothing stands where a new file is to be made, in a folder that there is: for whoever does work before the file is made.
 *
 * throws  file/exists, file/folder
 */
export async function verifyNewFile(path: string): Promise<void> {
  if ((await lstat(path).catch(() => null)) !== null) throw existing(path)
  const folder = dirname(resolve(path))
  const found = await stat(folder).catch(() => null)
  if (found?.isDirectory() !== true) {
    const detail = { hint: 'make the folder first, or choose another place' }
    throw new Failure<FileCode>('file/folder', `${folder} is no folder, ${basename(path)} cannot be made in it`, {
      detail,
    })
  }
}

/**
 * The folder is there, and those above it, each of the same mode if it was made here.
 *
 * `mkdir` of Node with `recursive` never returns where a file system says of a folder it will not make that there is none above.
 */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  const whole = resolve(folder)
  const missing: string[] = []
  for (let at = whole; (await stat(at).catch(() => null)) === null && dirname(at) !== at; at = dirname(at))
    missing.push(at)
  for (const one of missing.toReversed()) {
    await mkdir(one, { mode }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  if (!(await stat(whole)).isDirectory()) throw new Failure<FileCode>('file/kind', `${folder} is no folder`)
}

/**
 * The file holds exactly `bytes`, and after a crash at any moment it holds either these or what it held before.
 *
 * mode  permissions of the file, default 0644
 */
export async function writeFileDurably(
  path: string,
  bytes: Uint8Array,
  options: { mode?: number } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`)
  const finished = markUnfinished(temporary)
  try {
    const handle = await open(temporary, 'wx', options.mode ?? 0o644)
    try {
      await writeWhole(handle, bytes)
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    finished()
  }
  await syncFolder(dirname(path))
}

/**
 * A new file of mode 0600 holds the secret, durably. One that exists is never written over: that would lose a key. A process
 * that is killed on the way leaves no half of it under its name.
 *
 * throws  file/exists
 */
export async function createSecretFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`)
  const finished = markUnfinished(temporary)
  try {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await writeWhole(handle, bytes)
    } finally {
      await handle.close()
    }
    await link(temporary, path) // unlike a rename it refuses a name that is taken
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw existing(path)
  } finally {
    await rm(temporary, { force: true })
    finished()
  }
  await syncFolder(dirname(path))
}

/**
 * The bytes of a secret's file, in memory of their own (secretBytes), for the caller to overwrite.
 *
 * It must be a plain file of this user that nobody else may read or write.
 * throws  file/absent, file/permissions, file/kind, file/size for more than 64 KiB
 */
export async function readSecretFile(path: string): Promise<Uint8Array> {
  let handle: FileHandle
  try {
    // Without O_NONBLOCK a pipe of that name would hold the process for ever.
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new Failure<FileCode>('file/absent', `there is no file ${path}`)
    if (code === 'ELOOP') throw new Failure<FileCode>('file/kind', `${path} is a symbolic link`)
    if (code === 'EACCES') throw new Failure<FileCode>('file/permissions', `${path} may not be read by this user`)
    throw error
  }
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Failure<FileCode>('file/kind', `${path} is not a plain file`)
    // Root reads everybody's files: whoever owns this one can put another secret in its place.
    if (process.geteuid !== undefined && stat.uid !== process.geteuid())
      throw new Failure<FileCode>(
        'file/permissions',
        `${path} belongs to user ${stat.uid}, expected the one that reads it`,
      )
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0')
      throw new Failure<FileCode>('file/permissions', `${path} has mode ${mode}, expected 0600`, {
        detail: { hint: `nobody else may read it: chmod 600 ${path}` },
      })
    }
    if (stat.size > secretSizeMax) throw new Failure<FileCode>('file/size', `${path} has ${stat.size} bytes`)
    const bytes = secretBytes(stat.size)
    let at = 0
    while (at < bytes.length) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at)
      if (bytesRead === 0) throw new Failure<FileCode>('file/size', `${path} became shorter while it was read`)
      at += bytesRead
    }
    return bytes
  } finally {
    await handle.close()
  }
}
