/**
 * What belongs in cli/attest: the commands below `claviger attest`, with how they read files and print. What evidence is
 * worth is decided in attest/ and nowhere here.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { assemble } from '#attest/assemble.js'
import { filesOfBundle, isBundle, parseBundle } from '#attest/endorsements/bundle.js'
import type { Examination } from '#attest/examine.js'
import { readPemBundle } from '#attest/pem-bundle.js'
import { type NamedFile, type Pool, poolOf } from '#attest/pool.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import { takeKbsApart } from '#cli/attest/kbs.js'
import { type InputCode, readInput } from '#cli/input.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

export type ExpectedBinding = Pick<Examination, 'expectedReportData' | 'expectedNonce'>

/** Evidence as it was found in a file. */
export interface FoundEvidence {
  readonly recognised: Recognised
  readonly pool: Pool
  /** what was done to get at it, and what was not used, for a reader */
  readonly notes: readonly string[]
  /** what evidence has to carry which answers this nonce; null where the form does not say */
  readonly bindingOf: ((nonce: Uint8Array) => ExpectedBinding) | null
}

/** Files of a collateral folder: how many, how deep and how large together. */
const filesMax = 500
const depthMax = 5
const folderSizeMax = 64 * MiB

/** Every file below a folder, by its path in there. @throws input/unreadable, input/size */
async function filesBelow(folder: string): Promise<readonly NamedFile[]> {
  const out: NamedFile[] = []
  let size = 0
  const visit = async (path: string, depth: number): Promise<void> => {
    const entries = (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const file = join(path, entry.name)
      if (entry.isDirectory() && depth < depthMax) await visit(file, depth + 1)
      if (!entry.isFile()) continue
      size += (await stat(file)).size
      if (out.length >= filesMax || size > folderSizeMax)
        throw new Failure<InputCode>(
          'input/size',
          `${folder} holds more than ${filesMax} files or ${folderSizeMax} bytes`,
        )
      out.push({ name: file.slice(folder.length + 1), bytes: new Uint8Array(await readFile(file)) })
    }
  }
  try {
    await visit(folder.replace(/\/+$/, ''), 0)
  } catch (cause) {
    if (isFailure(cause)) throw cause
    const reason = (cause as { code?: string }).code ?? 'unknown'
    throw new Failure<InputCode>('input/unreadable', `cannot read folder ${folder}: ${reason}`, { cause })
  }
  return out
}

/** A folder of files, an offline bundle of `claviger collateral export`, or one document. @throws input/..., collateral/... */
async function filesAt(path: string): Promise<readonly NamedFile[]> {
  const isFile = (await stat(path).catch(() => undefined))?.isFile() === true
  if (!isFile) return filesBelow(path)
  const bytes = await readInput(path, 'collateral')
  if (!isBundle(bytes)) return [{ name: basename(path), bytes }]
  return [...filesOfBundle(parseBundle(bytes))].map(([name, body]) => ({ name, bytes: body }))
}

/** What bytes hold, with the folder of collateral beside them. @throws input/..., evidence/..., kbs/... */
export async function findEvidence(bytes: Uint8Array, collateral: string | undefined): Promise<FoundEvidence> {
  const bundle = readPemBundle(bytes)
  const recognised = bundle?.recognised ?? recognise(bytes)
  const given = collateral === undefined ? [] : await filesAt(collateral)
  const shipped = await loadShippedCertificates()
  if (recognised.form !== 'kbs-attestation') {
    const pool = poolOf([...(bundle?.files ?? []), ...given, ...shipped])
    return { recognised, pool, notes: recognised.notes, bindingOf: null }
  }
  const inner = takeKbsApart(recognised.bytes)
  return {
    recognised: inner.recognised,
    pool: poolOf([...inner.files, ...(bundle?.files ?? []), ...given, ...shipped]),
    notes: [...recognised.notes, 'taken out of a KBS attestation message', ...inner.recognised.notes],
    bindingOf: inner.bindingOf,
  }
}

/** The envelope that the verifier takes. What a raw report lacks is asked for by its flag. @throws evidence/..., shape/... */
export function envelopeOf({ recognised, pool }: FoundEvidence): AnyEvidence {
  return assemble(recognised, pool)
}
