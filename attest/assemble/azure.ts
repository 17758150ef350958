import { amdCollateral } from '#attest/assemble/amd.js'
import { dcapMembers } from '#attest/assemble/intel.js'
import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import { field, reportTypes } from '#attest/azure/layout.js'
import { attempt } from '#attest/pool.js'
import { fromHex, toBase64, toHex } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { either, hex, list, record } from '#core/encoding/shape.js'

/** TPMS_ATTEST of a quote: TPM_GENERATED_VALUE, TPM_ST_ATTEST_QUOTE. source: TCG TPM 2.0 Part 2, "TPMS_ATTEST" */
const quoteHead = 'ff5443478018'
/** RSASSA-PKCS1-v1_5 by a key of 2048 bits. */
const signatureSize = 256

/** By index, or all 24 in the order of their indices. */
const pcrsShape = either(list(hex(32), { min: 24, max: 24 }), record(hex(32), { max: 24 }))

/**
 * The HCL report with the vTPM's quote, its signature and the PCRs from the pool, and the collateral of the hardware that
 * it is of; for TDX the quote of the TD as well.
 */
export const assembleAzure: Assembler = (recognised, pool) => {
  const { bytes, title } = recognised
  const [at] = field.reportType
  const isTdx = bytes[at] === reportTypes.tdx
  const wanted = new Wanted()
  const quote = pool.others.find((file) => toHex(file.bytes.subarray(0, 6)) === quoteHead)
  const signature = pool.others.find((file) => file.bytes.length === signatureSize)
  const pcrs = pool.others.map(({ bytes: one }) => attempt(() => pcrsOf(one))).find((one) => one !== null)
  const td = pool.evidence.find(({ form }) => form === 'tdx-quote')
  const vtpm = {
    hclReport: toBase64(bytes),
    tpmQuote: wanted.take(quote?.bytes, 'the quote of the vTPM'),
    tpmSignature: wanted.take(signature?.bytes, 'the signature over it'),
    pcrs: pcrs ?? {},
  }
  if (!pcrs) wanted.take(undefined, 'the values of the PCRs (JSON)')
  if (isTdx) wanted.take(td?.bytes, 'the quote of the TD')
  wanted.done(title)
  const [reportAt, reportSize] = field.hardwareReport
  const report = bytes.subarray(reportAt, reportAt + reportSize)
  if (!isTdx) return { kind: 'azure-snp', ...vtpm, ...amdCollateral(report, pool, title) }
  return { kind: 'azure-tdx', ...vtpm, ...dcapMembers({ ...recognised, bytes: td!.bytes }, pool) }
}

function pcrsOf(bytes: Uint8Array): { readonly [index: string]: string } {
  const values = Object.entries(pcrsShape(parseJson(bytes), 'pcrs'))
  return Object.fromEntries(values.map(([index, value]) => [index, toBase64(fromHex(value))]))
}
