import { base64, literal, nullable, object, type Shape, type Shaped } from '#core/encoding/shape.js'
import { KiB } from '#core/limits.js'

/** A vendor's certificate and a vendor's CRL inside an evidence envelope: far above what any vendor issues. */
const evidenceCertificateSizeMax = 8 * KiB
const evidenceCrlSizeMax = 64 * KiB

const inBase64 = (size: number) => Math.ceil(size / 3) * 4
const certificate = base64(undefined, inBase64(evidenceCertificateSizeMax))

/**
 * AMD SEV-SNP evidence with the collateral that its verification needs, so that it can be verified offline.
 *
 * report  exactly 1184 bytes   vek  VCEK or VLEK   ask  ASK or ASVK   ark  ARK   crl  of the ARK, or null; all DER
 */
const snpEvidenceShape = object({
  kind: literal('snp'),
  report: base64(1184, inBase64(1184)),
  vek: certificate,
  ask: certificate,
  ark: certificate,
  crl: nullable(base64(undefined, inBase64(evidenceCrlSizeMax))),
})
export type SnpEvidence = Shaped<typeof snpEvidenceShape>

/** Evidence of every kind that the verifier knows. Each kind adds a shape with its own `kind`. */
export type Evidence = SnpEvidence
export const evidenceShape: Shape<Evidence> = snpEvidenceShape
