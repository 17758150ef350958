import { cutQuote, parseQuote } from '#attest/dcap/quote.js'
import { reportSize } from '#attest/snp/layout.js'
import { readInput } from '#cli/input.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of a file that was named as evidence. */
export type CollateralEvidenceCode = 'collateral/evidence-form'

/**
 * The envelope of evidence in a file, its collateral absent where the file is a bare report or quote.
 *
 * throws  input/unreadable, input/size, collateral/evidence-form
 */
export async function readEnvelope(path: string): Promise<Json> {
  const bytes = await readInput(path, 'evidence', 2 * MiB)
  if (bytes.length === reportSize)
    return { kind: 'snp', report: toBase64(bytes), vek: null, ask: null, ark: null, crl: null }
  try {
    const first = bytes.find((byte) => byte > 0x20)
    if (first === 0x7b) return parseJson(bytes, 2 * MiB)
    const quote = cutQuote(bytes)
    const { tee } = parseQuote(quote)
    return { kind: tee, quote: toBase64(quote), collateral: null, ...(tee === 'tdx' ? { eventLog: null } : {}) }
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<CollateralEvidenceCode>(
      'collateral/evidence-form',
      `${path} is neither an evidence envelope, an SNP report nor a quote: ${cause.message}`,
      { cause },
    )
  }
}
