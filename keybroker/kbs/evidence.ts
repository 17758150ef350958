import { fromBase64, fromBase64Url, fromHex } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { base64, hex, integer, list, literal, nullable, object, optional, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { certificateSizeMax, KiB, MiB } from '#core/limits.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { VerifiedTee } from '#keybroker/kbs/messages.js'
import { parseSnpEvidence, type SnpKbsEvidence } from '#keybroker/kbs/snp-evidence.js'

/** What the vTPM of an Azure confidential VM says, as KBS clients send it. */
interface VtpmKbsEvidence {
  /** 2 and above: the runtime data that the hardware signs name the challenge too */
  readonly version: number
  readonly hclReport: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
  /** all 24 of the SHA-256 bank */
  readonly pcrs: readonly Uint8Array[]
}

/** Primary evidence of each kind of TEE that is verified, read and no more. */
export interface KbsEvidenceOf {
  readonly snp: SnpKbsEvidence
  readonly tdx: { readonly quote: Uint8Array; readonly eventLog: Uint8Array | null }
  readonly sgx: { readonly quote: Uint8Array }
  readonly 'az-snp-vtpm': VtpmKbsEvidence & { readonly vcek: Uint8Array }
  readonly 'az-tdx-vtpm': VtpmKbsEvidence & { readonly quote: Uint8Array }
}
export type KbsEvidence = {
  readonly [T in VerifiedTee]: { readonly tee: T } & KbsEvidenceOf[T]
}[VerifiedTee]

const quoteSizeMax = 16 * KiB
const bytes = (size: number) => base64(undefined, Math.ceil(size / 3) * 4)

// A runtime event log of its own beside CCEL belongs to older protocols: nobody here replays it, so only none is taken.
const tdxShape = object({
  quote: bytes(quoteSizeMax),
  cc_eventlog: optional(nullable(bytes(MiB))),
  aa_eventlog: optional(literal(null)),
})
const sgxShape = object({ quote: bytes(quoteSizeMax) })

const urlText = (size: number) => string({ max: Math.ceil(size / 3) * 4, form: /^[A-Za-z0-9_-]+={0,2}$/ })
// Version 0 sent bytes as lists of numbers and a certificate as PEM: no client of this protocol version does.
const vtpmMembers = {
  version: integer({ min: 1, max: 2 }),
  tpm_quote: object({
    signature: hex(256, 2 * 256),
    message: hex(undefined, 2 * 256),
    pcrs: list(hex(32), { min: 24, max: 24 }),
  }),
  hcl_report: urlText(4 * KiB),
}
const azureSnpShape = object({ ...vtpmMembers, vcek: urlText(certificateSizeMax) })
const azureTdxShape = object({ ...vtpmMembers, td_quote: urlText(quoteSizeMax) })

const fromUrlText = (text: string) => fromBase64Url(text.replace(/=+$/, ''))

function vtpm(sent: ReturnType<typeof azureSnpShape> | ReturnType<typeof azureTdxShape>): VtpmKbsEvidence {
  const { version, tpm_quote: quote, hcl_report: report } = sent
  return {
    version,
    hclReport: fromUrlText(report),
    message: fromHex(quote.message),
    signature: fromHex(quote.signature),
    pcrs: quote.pcrs.map((one) => fromHex(one)),
  }
}

const path = 'primary_evidence'
/**
 * The serde forms of guest-components v0.21.0.
 *
 * source  attestation-agent/attester, structs TdxEvidence, SgxDcapAttesterEvidence, and Evidence of the vTPM attesters
 */
const parsers: { readonly [T in VerifiedTee]: (primary: Json) => KbsEvidenceOf[T] } = {
  snp: parseSnpEvidence,
  tdx(primary) {
    const { quote, cc_eventlog: log } = tdxShape(primary, path)
    return { quote: fromBase64(quote), eventLog: (log ?? null) === null ? null : fromBase64(log!) }
  },
  sgx: (primary) => ({ quote: fromBase64(sgxShape(primary, path).quote) }),
  'az-snp-vtpm'(primary) {
    const sent = azureSnpShape(primary, path)
    return { ...vtpm(sent), vcek: fromUrlText(sent.vcek) }
  },
  'az-tdx-vtpm'(primary) {
    const sent = azureTdxShape(primary, path)
    return { ...vtpm(sent), quote: fromUrlText(sent.td_quote) }
  },
}

/**
 * Primary evidence of the kind for which the session was opened: it is read as that and as nothing else.
 *
 * trusts  that the message was read by parseAttestation, which keeps numbers of 64 bits whole
 * throws  kbs/evidence
 */
export function parseKbsEvidence(tee: VerifiedTee, primary: Json): KbsEvidence {
  try {
    return { tee, ...parsers[tee](primary) } as KbsEvidence
  } catch (error) {
    if (!isFailure(error) || error.code === 'kbs/evidence') throw error
    throw new Failure<KbsCode>('kbs/evidence', `${tee} evidence: ${error.message}`, { cause: error })
  }
}
