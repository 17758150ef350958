import { type Field, type Product, platformBit, policyBit } from '#attest/snp/layout.js'
import type { Tcb } from '#attest/snp/tcb.js'
import type { VerifiedSnp } from '#attest/snp/verify.js'
import { amdAdvisories, type Machine, measurementsOf } from '#attest/subject.js'
import { isZero, toHex } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { certificateDigest } from '#core/x509/digests.js'

/** What a verified SNP report says, in neutral words. Byte strings are lowercase hex. */
export interface SnpClaims {
  readonly reportVersion: number
  readonly product: Product
  readonly cpuid: { readonly family: number; readonly model: number; readonly stepping: number } | null
  readonly signingKey: 'VCEK' | 'VLEK'
  readonly cspId: string | null
  /** 64 bytes; null when masked */
  readonly chipId: string | null
  readonly reportData: string
  readonly measurement: string
  readonly hostData: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string | null
  readonly familyId: string
  readonly imageId: string
  readonly reportId: string
  readonly guestSvn: number
  readonly vmpl: number
  readonly debug: boolean
  readonly policy: {
    readonly abiMajor: number
    readonly abiMinor: number
    readonly smtAllowed: boolean
    readonly migrationAgentAllowed: boolean
    readonly singleSocket: boolean
    readonly cxlAllowed: boolean
    readonly aes256XtsRequired: boolean
    readonly raplDisabledRequired: boolean
    readonly ciphertextHidingRequired: boolean
    readonly pageSwapDisabled: boolean
  }
  readonly platformInfo: {
    readonly smtEnabled: boolean
    readonly tsmeEnabled: boolean
    readonly eccEnabled: boolean
    readonly raplDisabled: boolean
    readonly ciphertextHidingEnabled: boolean
    readonly aliasCheckComplete: boolean
    readonly iommuWriteSafe: boolean
    readonly sevTioEnabled: boolean
    /** bits without a name yet, hex */
    readonly unknown: string
  }
  readonly tcb: { readonly reported: Tcb; readonly committed: Tcb; readonly current: Tcb; readonly launch: Tcb }
  /** `major.minor.build` */
  readonly firmware: { readonly current: string; readonly committed: string }
  /** version 5; null before */
  readonly mitigations: { readonly launch: string; readonly current: string } | null
  readonly endorsement: {
    /** SHA-256 of the certificate */
    readonly certificate: string
    readonly validUntil: UnixSeconds
    readonly crlValidUntil: UnixSeconds | null
  }
}

/** A masked chip id names no machine, and neither does a key that a cloud has for all of its own. */
export function snpMachine({ measurement, chipId, debug, product, tcb, platformInfo }: SnpClaims): Machine {
  const { fmc, ...reported } = tcb.reported
  return {
    ...measurementsOf(measurement),
    platformId: chipId,
    debug,
    product,
    tcbStatus: null,
    ...amdAdvisories(platformInfo.aliasCheckComplete),
    svns: { ...reported, ...(fmc === null ? {} : { fmc }) },
  }
}

/** The claims of a verified report. */
export function snpClaims(verified: VerifiedSnp): SnpClaims {
  const { report, endorsement, product, tcb, vek, crl } = verified
  const hex = (name: Field) => toHex(report.bytesOf(name))
  const chipId = report.bytesOf('chipId')
  return {
    reportVersion: report.version,
    product,
    cpuid: report.cpuid,
    signingKey: report.signingKey,
    cspId: endorsement.cspId,
    chipId: isZero(chipId) ? null : toHex(chipId),
    reportData: hex('reportData'),
    measurement: hex('measurement'),
    hostData: hex('hostData'),
    idKeyDigest: hex('idKeyDigest'),
    authorKeyDigest: report.authorKeyEnabled ? hex('authorKeyDigest') : null,
    familyId: hex('familyId'),
    imageId: hex('imageId'),
    reportId: hex('reportId'),
    guestSvn: report.guestSvn,
    vmpl: report.vmpl,
    debug: bit(report.policy, policyBit.debugAllowed),
    policy: policyClaims(report.policy),
    platformInfo: platformClaims(report.platformInfo),
    tcb,
    firmware: {
      current: firmwareVersion(report.bytesOf('currentFirmware')),
      committed: firmwareVersion(report.bytesOf('committedFirmware')),
    },
    mitigations: report.version >= 5 ? { launch: hex('launchMitVector'), current: hex('currentMitVector') } : null,
    endorsement: {
      certificate: certificateDigest(vek),
      validUntil: vek.notAfter,
      crlValidUntil: crl ? crl.nextUpdate : null,
    },
  }
}

function bit(bits: bigint, at: number): boolean {
  return ((bits >> BigInt(at)) & 1n) === 1n
}

function policyClaims(policy: bigint): SnpClaims['policy'] {
  return {
    abiMinor: Number(policy & 0xffn),
    abiMajor: Number((policy >> 8n) & 0xffn),
    smtAllowed: bit(policy, policyBit.smtAllowed),
    migrationAgentAllowed: bit(policy, policyBit.migrationAgentAllowed),
    singleSocket: bit(policy, policyBit.singleSocket),
    cxlAllowed: bit(policy, policyBit.cxlAllowed),
    aes256XtsRequired: bit(policy, policyBit.aes256XtsRequired),
    raplDisabledRequired: bit(policy, policyBit.raplDisabledRequired),
    ciphertextHidingRequired: bit(policy, policyBit.ciphertextHidingRequired),
    pageSwapDisabled: bit(policy, policyBit.pageSwapDisabled),
  }
}

function platformClaims(info: bigint): SnpClaims['platformInfo'] {
  return {
    smtEnabled: bit(info, platformBit.smtEnabled),
    tsmeEnabled: bit(info, platformBit.tsmeEnabled),
    eccEnabled: bit(info, platformBit.eccEnabled),
    raplDisabled: bit(info, platformBit.raplDisabled),
    ciphertextHidingEnabled: bit(info, platformBit.ciphertextHidingEnabled),
    aliasCheckComplete: bit(info, platformBit.aliasCheckComplete),
    iommuWriteSafe: bit(info, platformBit.iommuWriteSafe),
    sevTioEnabled: bit(info, platformBit.sevTioEnabled),
    unknown: (info >> 8n).toString(16),
  }
}

function firmwareVersion(bytes: Uint8Array): string {
  return `${bytes[2]}.${bytes[1]}.${bytes[0]}`
}
