import { cutQuote, parseQuote } from '#attest/dcap/quote.js'
import { envelopeOf, type FoundEvidence } from '#attest/reader/beside.js'
import { reportSize } from '#attest/snp/layout.js'
import { findEvidenceBeside } from '#cli/attest/input.js'
import { readInput } from '#cli/input.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of a file that was named as evidence. */
export type CollateralEvidenceCode = 'collateral/evidence-form'

/**
 * The envelope of evidence in a file, its collateral absent where the file is a bare report or quote. The certificates of a
 * device stand beside its report: in the file (PEM), or in `beside`, a folder, a bundle or a file.
 *
 * throws  input/unreadable, input/size, collateral/evidence-form, evidence/incomplete
 */
export async function readEnvelope(path: string, beside?: string): Promise<Json> {
  const bytes = await readInput(path, 'evidence', 2 * MiB)
  if (bytes.length === reportSize)
    return { kind: 'snp', report: toBase64(bytes), vek: null, ask: null, ark: null, crl: null }
  try {
    const first = bytes.find((byte) => byte > 0x20)
    if (first === 0x7b) return parseJson(bytes, 2 * MiB)
    const device = await deviceIn(bytes, beside)
    if (device !== null) return { ...envelopeOf(device) } as Json
    const quote = cutQuote(bytes)
    const { tee } = parseQuote(quote)
    return { kind: tee, quote: toBase64(quote), collateral: null, ...(tee === 'tdx' ? { eventLog: null } : {}) }
  } catch (cause) {
    if (!isFailure(cause) || /^(input|evidence\/incomplete)/.test(cause.code)) throw cause
    throw new Failure<CollateralEvidenceCode>(
      'collateral/evidence-form',
      `${path} is neither an evidence envelope, an SNP report, a quote nor a device report: ${cause.message}`,
      { cause },
    )
  }
}

/** What is found where the file holds the report of a device; null where it holds something else. @throws input/... */
async function deviceIn(bytes: Uint8Array, beside: string | undefined): Promise<FoundEvidence | null> {
  try {
    const found = await findEvidenceBeside(bytes, beside)
    return found.recognised.form === 'gpu-report' ? found : null
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('input/')) throw error
    return null
  }
}
