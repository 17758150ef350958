import type { BodyKind } from '#attest/dcap/layout.js'
import type { Quote } from '#attest/dcap/quote.js'
import type { TdxCode } from '#attest/tdx/codes.js'
import { type Field, field } from '#attest/tdx/layout.js'
import { Failure } from '#core/failure.js'

/** A TD report as it stands in the body of a quote. Reserved attribute bits are shown, and given no meaning. */
export interface TdReport {
  readonly version: '1.0' | '1.5'
  readonly tdAttributes: bigint
  /** the four runtime registers, 48 bytes each */
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  /** the bytes of a field, as a view; those of 1.5 are empty in a report 1.0 */
  bytesOf(name: Field): Uint8Array
}

const versions: Readonly<Record<BodyKind, TdReport['version'] | null>> = {
  sgx: null,
  'tdx-1.0': '1.0',
  'tdx-1.5': '1.5',
}

/** The TD report that a quote carries. @throws tdx/body for the quote of an enclave */
export function parseTdReport(quote: Quote): TdReport {
  const version = versions[quote.bodyKind]
  if (version === null) throw new Failure<TdxCode>('tdx/body', 'quote is of an SGX enclave, expected a TD')
  const { body } = quote
  const bytesOf = (name: Field) => body.subarray(field[name][0], field[name][0] + field[name][1])
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  return {
    version,
    tdAttributes: view.getBigUint64(field.tdAttributes[0], true),
    rtmrs: [bytesOf('rtmr0'), bytesOf('rtmr1'), bytesOf('rtmr2'), bytesOf('rtmr3')],
    bytesOf,
  }
}
