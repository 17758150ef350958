import type { TakenApart } from '#attest/reader/beside.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { kbsReportData, runtimeDataDigest } from '#keybroker/kbs/binding.js'
import { parseKbsEvidence } from '#keybroker/kbs/evidence.js'
import { type KbsAttestation, parseAttestation, type VerifiedTee } from '#keybroker/kbs/messages.js'
import { verifyNoDevices } from '#keybroker/kbs/snp-evidence.js'

/**
 * What a guest sent to a KBS, as a piece of evidence. Evidence of devices beside it is refused, as the broker does.
 *
 * throws  kbs/message, kbs/evidence, kbs/tee-key, kbs/init-data, evidence/unrecognised, shape/...
 */
export function takeKbsApart(bytes: Uint8Array): TakenApart {
  const message = parseAttestation(bytes)
  verifyNoDevices(message.additionalEvidence)
  const primary = primaryOf(message.primaryEvidence)
  return { ...primary, bindingOf: (nonce) => bindingOf(message, primary.recognised, nonce) }
}

function teeOf(primary: Json): VerifiedTee {
  const has = (name: string) =>
    primary !== null && typeof primary === 'object' && !Array.isArray(primary) && Object.hasOwn(primary, name)
  // TDX and SGX are told apart by the quote itself.
  if (has('quote')) return 'tdx'
  if (has('hcl_report')) return has('td_quote') ? 'az-tdx-vtpm' : 'az-snp-vtpm'
  return 'snp'
}

function primaryOf(primary: Json): Pick<TakenApart, 'recognised' | 'files'> {
  const sent = parseKbsEvidence(teeOf(primary), primary)
  switch (sent.tee) {
    case 'tdx':
    case 'sgx': {
      const log = sent.tee === 'tdx' ? sent.eventLog : null
      return {
        recognised: recognise(sent.quote),
        files: log === null ? [] : [{ name: 'cc_eventlog', bytes: log }],
      }
    }
    case 'snp': {
      const files = sent.certificates.map(({ type, bytes }) => ({ name: `cert_chain ${type}`, bytes }))
      return { recognised: recognise(sent.report), files }
    }
    default: {
      const files = [
        { name: 'message', bytes: sent.message },
        { name: 'signature', bytes: sent.signature },
        { name: 'pcrs', bytes: canonicalJson(sent.pcrs.map(toHex)) },
        sent.tee === 'az-snp-vtpm' ? { name: 'vcek', bytes: sent.vcek } : { name: 'td_quote', bytes: sent.quote },
      ]
      return { recognised: recognise(sent.hclReport), files }
    }
  }
}

/**
 * What evidence has to carry that answers `nonce` for the key in the message. Which nonce the message itself names does
 * not count: nobody signed that. A vTPM takes the digest alone.
 */
function bindingOf({ teeKey, additionalEvidence }: KbsAttestation, { form }: Recognised, nonce: Uint8Array) {
  const data = { nonce: toBase64(nonce), teeKey, additionalEvidence }
  return form === 'azure-hcl-report'
    ? { expectedReportData: null, expectedNonce: runtimeDataDigest(data) }
    : { expectedReportData: kbsReportData(data), expectedNonce: null }
}
