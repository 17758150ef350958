/**
 * What belongs in attest/assemble: the envelope of evidence, put together from what a device gave out and from documents
 * beside it, one file for each vendor. Nothing is believed here: verifying is the kinds', reading files is `cli/attest`'s.
 */
import type { Pool } from '#attest/pool.js'
import type { Recognised } from '#attest/recognise.js'
import { toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'

/** Failures of putting evidence together from what a device gave out and what lies beside it. */
export type AssembleCode =
  /** a document of the vendor, without which nothing can be verified, is missing */
  | 'evidence/incomplete'
  /** evidence of this form is told apart and explained, and not verified */
  | 'evidence/unverified-form'

/** The envelope of one form, as JSON that its shape reads. */
export type Assembler = (recognised: Recognised, pool: Pool) => Json

/** Remembers what is missing, so that all of it is told at once. */
export class Wanted {
  readonly #missing: string[] = []

  take(bytes: Uint8Array | undefined, what: string): string {
    if (bytes === undefined) this.#missing.push(what)
    return bytes === undefined ? '' : toBase64(bytes)
  }

  /** @throws evidence/incomplete */
  done(title: string): void {
    if (this.#missing.length === 0) return
    throw new Failure<AssembleCode>('evidence/incomplete', `${title} comes without ${this.#missing.join(', ')}`, {
      detail: { hint: 'put the files into a folder and add --collateral DIR; their names do not matter' },
    })
  }
}
