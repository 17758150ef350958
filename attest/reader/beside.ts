import { assemble } from '#attest/assemble.js'
import { filesOfBundle, isBundle, parseBundle } from '#attest/endorsements/bundle.js'
import { readPemBundle } from '#attest/pem-bundle.js'
import { type NamedFile, type Pool, poolOf } from '#attest/pool.js'
import type { ExpectedBinding } from '#attest/reader/typed.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { MiB } from '#core/limits.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** Files beside evidence: how many, and how large together. */
export const besideCountMax = 500
export const besideSizeMax = 64 * MiB

/** Evidence as it was found in a file. */
export interface FoundEvidence {
  readonly recognised: Recognised
  readonly pool: Pool
  /** what was done to get at it, and what was not used, for a reader */
  readonly notes: readonly string[]
  /** what evidence has to carry which answers this nonce; null where the form does not say */
  readonly bindingOf: ((nonce: Uint8Array) => ExpectedBinding) | null
}

/** Evidence out of a message of another protocol, with what the message carries beside it. */
export interface TakenApart {
  readonly recognised: Recognised
  readonly files: readonly NamedFile[]
  readonly bindingOf: (nonce: Uint8Array) => ExpectedBinding
}

/** What lies beside evidence. */
export interface Beside {
  /** files that the reader names, asked for once the evidence is known to be some */
  readonly given: () => Promise<readonly NamedFile[]>
  /** certificates that are shipped with the verifier */
  readonly shipped: () => Promise<readonly NamedFile[]>
  /** takes a KBS attestation message apart; null where nothing speaks KBS: then it is no evidence that is judged there */
  readonly takeApart: ((message: Uint8Array) => TakenApart) | null
}

/** A file, or the documents in it where it is an offline bundle. @throws collateral/bundle-form, collateral/size */
export function filesIn(file: NamedFile): readonly NamedFile[] {
  if (!isBundle(file.bytes)) return [file]
  return [...filesOfBundle(parseBundle(file.bytes))].map(([name, bytes]) => ({ name, bytes }))
}

/** What bytes hold, with what lies beside them. @throws evidence/..., and what `beside` throws */
export async function findEvidence(bytes: Uint8Array, beside: Beside): Promise<FoundEvidence> {
  const bundle = readPemBundle(bytes)
  const recognised = bundle?.recognised ?? recognise(bytes)
  const given = await beside.given()
  const shipped = await beside.shipped()
  const files = [...(bundle?.files ?? []), ...given, ...shipped]
  if (recognised.form !== 'kbs-attestation' || beside.takeApart === null)
    return { recognised, pool: poolOf(files), notes: recognised.notes, bindingOf: null }
  const inner = beside.takeApart(recognised.bytes)
  return {
    recognised: inner.recognised,
    pool: poolOf([...inner.files, ...files]),
    notes: [...recognised.notes, 'taken out of a KBS attestation message', ...inner.recognised.notes],
    bindingOf: inner.bindingOf,
  }
}

/** The envelope that the verifier takes. What a raw report lacks is asked for by its flag. @throws evidence/..., shape/... */
export function envelopeOf({ recognised, pool }: FoundEvidence): AnyEvidence {
  return assemble(recognised, pool)
}
