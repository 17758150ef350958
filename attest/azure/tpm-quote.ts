import type { AzureCode } from '#attest/azure/codes.js'
import { tpm } from '#attest/azure/layout.js'
import { Reader } from '#core/bytes/reader.js'
import { Failure, isFailure } from '#core/failure.js'

/** A TPMS_ATTEST of a quote, as it stands in its bytes. */
export interface TpmQuote {
  /** all of its bytes: what the attestation key signed */
  readonly bytes: Uint8Array
  /** qualifying data of the caller: the nonce, or its digest */
  readonly extraData: Uint8Array
  readonly clock: {
    readonly clock: bigint
    readonly resetCount: number
    readonly restartCount: number
    readonly safe: boolean
  }
  readonly firmwareVersion: bigint
  /** indices of the quoted PCRs of the SHA-256 bank, ascending, at least one */
  readonly pcrs: readonly number[]
  readonly pcrDigest: Uint8Array
}

function refuse(code: AzureCode, message: string, cause?: unknown): Failure<AzureCode> {
  return new Failure<AzureCode>(code, message, { cause })
}

/**
 * The quote that the bytes spell: made by a TPM, of one selection in the SHA-256 bank, to its last byte.
 *
 * throws  azure/quote-form, azure/pcr-bank
 * source  TCG TPM 2.0 Library Part 2, "TPMS_ATTEST", "TPMS_CLOCK_INFO", "TPMS_QUOTE_INFO"
 */
export function parseTpmQuote(bytes: Uint8Array): TpmQuote {
  try {
    const reader = new Reader(bytes)
    const [magic, type] = [reader.u32be(), reader.u16be()]
    if (magic !== tpm.generated || type !== tpm.quote)
      throw refuse(
        'azure/quote-form',
        `magic and type are ${magic.toString(16)} and ${type.toString(16)}, not a quote's`,
      )
    sized(reader, 'qualified signer', tpm.nameSizeMax)
    const extraData = sized(reader, 'extra data', tpm.extraDataSizeMax)
    const clock = {
      clock: reader.u64be(),
      resetCount: reader.u32be(),
      restartCount: reader.u32be(),
      safe: yesNo(reader),
    }
    const firmwareVersion = reader.u64be()
    const pcrs = readSelection(reader)
    const pcrDigest = sized(reader, 'PCR digest', tpm.digestSize)
    if (pcrDigest.length !== tpm.digestSize)
      throw refuse('azure/quote-form', `PCR digest has ${pcrDigest.length} bytes, expected ${tpm.digestSize}`)
    reader.end()
    return { bytes, extraData, clock, firmwareVersion, pcrs, pcrDigest }
  } catch (error) {
    if (!isFailure(error) || !error.code.startsWith('bytes/')) throw error
    throw refuse('azure/quote-form', `quote is cut off, or goes on after its end: ${error.message}`, error)
  }
}

function sized(reader: Reader, what: string, max: number): Uint8Array {
  const size = reader.u16be()
  if (size > max) throw refuse('azure/quote-form', `${what} has ${size} bytes, at most ${max}`)
  return reader.bytes(size)
}

/** source: TCG TPM 2.0 Library Part 2, "TPMI_YES_NO": no other value */
function yesNo(reader: Reader): boolean {
  const value = reader.u8()
  if (value > 1) throw refuse('azure/quote-form', `safe is ${value}, expected 0 or 1`)
  return value === 1
}

/** One bank only: a digest over several could be read as that of fewer. */
function readSelection(reader: Reader): readonly number[] {
  const [count, bank] = [reader.u32be(), reader.u16be()]
  if (count !== 1 || bank !== tpm.sha256)
    throw refuse('azure/pcr-bank', `quote has ${count} selections, the first of bank ${bank}, expected one of SHA-256`)
  const size = reader.u8()
  if (size !== tpm.pcrSelectSize)
    throw refuse('azure/quote-form', `selection has ${size} bytes, expected ${tpm.pcrSelectSize}`)
  const bitmap = reader.bytes(size)
  const all = Array.from({ length: tpm.pcrCount }, (_, i) => i)
  const pcrs = all.filter((i) => ((bitmap[i >> 3]! >> (i & 7)) & 1) === 1)
  if (pcrs.length === 0) throw refuse('azure/quote-form', 'quote selects no PCR')
  return pcrs
}
