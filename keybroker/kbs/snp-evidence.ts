import { utf8 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { parseJson } from '#core/encoding/json.js'
import { integer, list, nullable, object, optional, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { certificateSizeMax, chainLengthMax } from '#core/limits.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { uint64 } from '#keybroker/kbs/messages.js'

/** SEV-SNP evidence as KBS clients send it, with the report put together again. */
export interface SnpKbsEvidence {
  /** 1184 bytes */
  readonly report: Uint8Array
  /** what the client sent along, DER or PEM as it came; hints, never anchors */
  readonly certificates: readonly { readonly type: string; readonly bytes: Uint8Array }[]
}

const octet = integer({ max: 255 })
const octets = (size: number) => list(octet, { min: size, max: size })
const uint32 = integer({ max: 0xffff_ffff })

const tcbShape = object({
  fmc: optional(nullable(octet)),
  bootloader: octet,
  tee: octet,
  snp: octet,
  microcode: octet,
})
const firmwareShape = object({ major: octet, minor: octet, build: octet })
const absent = <T>(shape: Shape<T>) => optional(nullable(shape))

// The serde form of `AttestationReport` of the sev crate, 6.3.1 and 7.1.0.
const reportShape = object({
  version: uint32,
  guest_svn: uint32,
  policy: uint64,
  family_id: octets(16),
  image_id: octets(16),
  vmpl: uint32,
  sig_algo: uint32,
  current_tcb: tcbShape,
  plat_info: uint64,
  key_info: uint32,
  report_data: octets(64),
  measurement: octets(48),
  host_data: octets(32),
  id_key_digest: octets(48),
  author_key_digest: octets(48),
  report_id: octets(32),
  report_id_ma: octets(32),
  reported_tcb: tcbShape,
  cpuid_fam_id: absent(octet),
  cpuid_mod_id: absent(octet),
  cpuid_step: absent(octet),
  chip_id: octets(64),
  committed_tcb: tcbShape,
  current: firmwareShape,
  committed: firmwareShape,
  launch_tcb: tcbShape,
  launch_mit_vector: absent(uint64),
  current_mit_vector: absent(uint64),
  signature: object({ r: octets(72), s: octets(72) }),
})
const evidenceShape = object({
  attestation_report: reportShape,
  cert_chain: optional(
    nullable(
      list(object({ cert_type: string({ max: 64 }), data: list(octet, { min: 1, max: certificateSizeMax }) }), {
        max: chainLengthMax,
      }),
    ),
  ),
})

/** Milan and Genoa: boot loader, TEE, four zeros, SNP, microcode. Turin, which has an FMC, begins with it. */
function tcbBytes(tcb: Shaped<typeof tcbShape>): readonly number[] {
  const { fmc, bootloader, tee, snp, microcode } = tcb
  return fmc === undefined || fmc === null
    ? [bootloader, tee, 0, 0, 0, 0, snp, microcode]
    : [fmc, bootloader, tee, snp, 0, 0, 0, microcode]
}

/**
 * The report's bytes from its fields. Reserved bytes do not travel: a report that sets one cannot be rebuilt, and its
 * signature will not verify.
 *
 * source  AMD 56860, "ATTESTATION_REPORT"
 */
function rebuildReport(fields: Shaped<typeof reportShape>): Uint8Array {
  const report = new Uint8Array(1184)
  const view = new DataView(report.buffer)
  const put = (offset: number, bytes: readonly number[]) => report.set(bytes, offset)
  view.setUint32(0x000, fields.version, true)
  view.setUint32(0x004, fields.guest_svn, true)
  view.setBigUint64(0x008, fields.policy, true)
  put(0x010, fields.family_id)
  put(0x020, fields.image_id)
  view.setUint32(0x030, fields.vmpl, true)
  view.setUint32(0x034, fields.sig_algo, true)
  put(0x038, tcbBytes(fields.current_tcb))
  view.setBigUint64(0x040, fields.plat_info, true)
  view.setUint32(0x048, fields.key_info, true)
  put(0x050, fields.report_data)
  put(0x090, fields.measurement)
  put(0x0c0, fields.host_data)
  put(0x0e0, fields.id_key_digest)
  put(0x110, fields.author_key_digest)
  put(0x140, fields.report_id)
  put(0x160, fields.report_id_ma)
  put(0x180, tcbBytes(fields.reported_tcb))
  put(0x188, [fields.cpuid_fam_id ?? 0, fields.cpuid_mod_id ?? 0, fields.cpuid_step ?? 0])
  put(0x1a0, fields.chip_id)
  put(0x1e0, tcbBytes(fields.committed_tcb))
  put(0x1e8, [fields.current.build, fields.current.minor, fields.current.major])
  put(0x1ec, [fields.committed.build, fields.committed.minor, fields.committed.major])
  put(0x1f0, tcbBytes(fields.launch_tcb))
  view.setBigUint64(0x1f8, fields.launch_mit_vector ?? 0n, true)
  view.setBigUint64(0x200, fields.current_mit_vector ?? 0n, true)
  put(0x2a0, fields.signature.r)
  put(0x2e8, fields.signature.s)
  return report
}

/**
 * SEV-SNP evidence from its struct form.
 *
 * trusts  that the message was read by parseAttestation, which keeps numbers of 64 bits whole
 * throws  kbs/evidence
 */
export function parseSnpEvidence(primary: Json): SnpKbsEvidence {
  try {
    const { attestation_report, cert_chain } = evidenceShape(primary, 'primary_evidence')
    const certificates = (cert_chain ?? []).map((one) => ({ type: one.cert_type, bytes: Uint8Array.from(one.data) }))
    return { report: rebuildReport(attestation_report), certificates }
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/evidence', `SEV-SNP evidence: ${error.message}`, { cause: error })
  }
}

/** It travels in the token, and says nothing: evidence of devices is refused. */
const additionalEvidenceMax = 4096

/**
 * Returns only when no device's evidence came along: `""`, or an object without members. Evidence that nobody here
 * verifies is not passed over.
 *
 * throws  kbs/evidence
 */
export function verifyNoDevices(additionalEvidence: string): void {
  if (additionalEvidence === '') return
  if (additionalEvidence.length > additionalEvidenceMax)
    throw new Failure<KbsCode>('kbs/evidence', `additional evidence has more than ${additionalEvidenceMax} characters`)
  let devices: Json
  try {
    devices = parseJson(utf8(additionalEvidence))
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/evidence', `additional evidence: ${error.message}`, { cause: error })
  }
  if (devices === null || typeof devices !== 'object' || Array.isArray(devices) || Object.keys(devices).length > 0) {
    throw new Failure<KbsCode>('kbs/evidence', 'evidence of devices is not verified here')
  }
}
