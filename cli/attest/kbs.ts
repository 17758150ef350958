import type { Examination } from '#attest/examine.js'
import type { NamedFile } from '#attest/pool.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { fromBase64, fromBase64Url, fromHex, toBase64 } from '#core/bytes/bytes.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { base64, hex, integer, list, nullable, object, optional, string } from '#core/encoding/shape.js'
import { KiB, MiB } from '#core/limits.js'
import { runtimeDataDigest, snpReportData } from '#keybroker/kbs/binding.js'
import { type KbsAttestation, parseAttestation } from '#keybroker/kbs/messages.js'
import { parseSnpEvidence, verifyNoDevices } from '#keybroker/kbs/snp-evidence.js'

/** source: guest-components attestation-agent, attesters tdx and sgx */
const quoteShape = object({ quote: base64(undefined, MiB), cc_eventlog: optional(nullable(base64(undefined, MiB))) })
/** source: guest-components attestation-agent, attester az_snp_vtpm; `hcl_report` and `vcek` are base64url */
const azureShape = object({
  version: integer({ max: 255 }),
  tpm_quote: object({
    signature: hex(undefined, 2 * KiB),
    message: hex(undefined, 2 * KiB),
    pcrs: list(hex(32), { min: 24, max: 24 }),
  }),
  hcl_report: string({ max: 16 * KiB }),
  vcek: optional(string({ max: 16 * KiB })),
  td_quote: optional(string({ max: 32 * KiB })),
})

/** Evidence out of a KBS attestation message, with what the message carries beside it. */
interface KbsEvidence {
  readonly recognised: Recognised
  readonly files: readonly NamedFile[]
  readonly bindingOf: (nonce: Uint8Array) => Pick<Examination, 'expectedReportData' | 'expectedNonce'>
}

/**
 * What a guest sent to a KBS, as a piece of evidence. Evidence of devices beside it is refused, as the broker does.
 *
 * throws  kbs/message, kbs/evidence, kbs/tee-key, kbs/init-data, evidence/unrecognised, shape/...
 */
export function takeKbsApart(bytes: Uint8Array): KbsEvidence {
  const message = parseAttestation(bytes)
  verifyNoDevices(message.additionalEvidence)
  const primary = primaryOf(message.primaryEvidence)
  return { ...primary, bindingOf: (nonce) => bindingOf(message, primary.recognised, nonce) }
}

const unpadded = (text: string) => fromBase64Url(text.replace(/=+$/, ''))

function primaryOf(primary: Json): Pick<KbsEvidence, 'recognised' | 'files'> {
  const has = (name: string) =>
    primary !== null && typeof primary === 'object' && !Array.isArray(primary) && Object.hasOwn(primary, name)
  if (has('quote')) {
    const { quote, cc_eventlog: log } = quoteShape(primary, 'primary_evidence')
    const files = log ? [{ name: 'cc_eventlog', bytes: fromBase64(log) }] : []
    return { recognised: recognise(fromBase64(quote)), files }
  }
  if (has('hcl_report')) {
    const { tpm_quote: quote, hcl_report: report, vcek, td_quote: td } = azureShape(primary, 'primary_evidence')
    const files = [
      { name: 'message', bytes: fromHex(quote.message) },
      { name: 'signature', bytes: fromHex(quote.signature) },
      { name: 'pcrs', bytes: canonicalJson(quote.pcrs) },
      ...(vcek === undefined ? [] : [{ name: 'vcek', bytes: unpadded(vcek) }]),
      ...(td === undefined ? [] : [{ name: 'td_quote', bytes: unpadded(td) }]),
    ]
    return { recognised: recognise(unpadded(report)), files }
  }
  const { report, certificates } = parseSnpEvidence(primary)
  const files = certificates.map(({ type, bytes }) => ({ name: `cert_chain ${type}`, bytes }))
  return { recognised: recognise(report), files }
}

/**
 * What evidence has to carry that answers `nonce` for the key in the message. Which nonce the message itself names does
 * not count: nobody signed that. A vTPM takes the digest alone.
 */
function bindingOf({ teeKey, additionalEvidence }: KbsAttestation, { form }: Recognised, nonce: Uint8Array) {
  const data = { nonce: toBase64(nonce), teeKey, additionalEvidence }
  return form === 'azure-hcl-report'
    ? { expectedReportData: null, expectedNonce: runtimeDataDigest(data) }
    : { expectedReportData: snpReportData(data), expectedNonce: null }
}
