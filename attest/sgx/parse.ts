/**
 * What belongs in attest/sgx: what an Intel SGX enclave's quote says, from body to neutral claims. The layout of a report
 * is in attest/dcap, since the quoting enclaves of TDX and SGX have one too.
 */
import type { Quote } from '#attest/dcap/quote.js'
import { readSgxReport, type SgxReport } from '#attest/dcap/sgx-report.js'
import type { SgxCode } from '#attest/sgx/codes.js'
import { Failure } from '#core/failure.js'

/**
 * The report of the enclave that a quote is about. Versions 4 and 5 with an enclave's body are refused: none has been
 * seen on a machine.
 *
 * throws  sgx/body, sgx/quote-version
 */
export function parseEnclaveReport(quote: Quote): SgxReport {
  if (quote.bodyKind !== 'sgx') throw new Failure<SgxCode>('sgx/body', 'quote is of a TD, expected an SGX enclave')
  if (quote.version !== 3)
    throw new Failure<SgxCode>('sgx/quote-version', `quote of an enclave has version ${quote.version}, expected 3`)
  return readSgxReport(quote.body)
}
