import { imagePcrs } from '#attest/nitro/layout.js'
import type { VerifiedNitro } from '#attest/nitro/verify.js'
import { type Machine, measurementsOf, noAdvisories } from '#attest/subject.js'
import { isZero, toHex } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { commonName } from '#core/x509/certificate.js'
import { certificateDigest } from '#core/x509/digests.js'

/** What a verified document says, in neutral words. Byte strings are lowercase hex. */
export interface NitroClaims {
  readonly product: 'Nitro'
  /** the instance, `-enc` and the enclave */
  readonly moduleId: string
  readonly madeAt: UnixSeconds
  readonly timestampMs: number
  /** `user_data`; empty where the document has none. On our own paths it has 64 bytes, and is compared whole. */
  readonly reportData: string
  /** `nonce`; null where there is none. Freshness on our own paths is in the report data. */
  readonly nonce: string | null
  readonly publicKey: string | null
  /** PCR0: the image */
  readonly measurement: string
  /** every PCR by its number */
  readonly pcrs: { readonly [index: string]: string }
  /** whether one of PCR0, PCR1 and PCR2 is zero, which no hash is: all are in debug mode */
  readonly debug: boolean
  /** AWS names no chip */
  readonly chipId: null
  readonly endorsement: {
    /** SHA-256 of the signing certificate */
    readonly certificate: string
    readonly name: string | null
    readonly validUntil: UnixSeconds
    /** common name of the root, which names the partition */
    readonly root: string | null
  }
}

/** A module id names an enclave on an instance, which moves between machines: it is no name of one. */
export function nitroMachine({ measurement, pcrs, debug, product }: NitroClaims): Machine {
  const software = measurementsOf(measurement, ...Object.values(pcrs))
  return { ...software, platformId: null, debug, product, tcbStatus: null, ...noAdvisories, svns: {} }
}

/** The claims of a verified document. */
export function nitroClaims({ document, madeAt, signer, root }: VerifiedNitro): NitroClaims {
  const hex = (bytes: Uint8Array | null) => (bytes === null ? null : toHex(bytes))
  const pcrs: Record<string, string> = {}
  for (const [index, value] of document.pcrs) pcrs[index] = toHex(value)
  return {
    product: 'Nitro',
    moduleId: document.moduleId,
    madeAt,
    timestampMs: document.timestampMs,
    reportData: hex(document.userData) ?? '',
    nonce: hex(document.nonce),
    publicKey: hex(document.publicKey),
    measurement: pcrs[0]!, // Invariant: parsed with 0, 1 and 2
    pcrs,
    debug: imagePcrs.some((index) => isZero(document.pcrs.get(index)!)),
    chipId: null,
    endorsement: {
      certificate: certificateDigest(signer),
      name: commonName(signer.subject) ?? null,
      validUntil: signer.notAfter,
      root: commonName(root.subject) ?? null,
    },
  }
}
