import type { Quote } from '#attest/dcap/quote.js'
import type { Level, TcbResult, TcbStatus } from '#attest/dcap/tcb.js'
import type { Collateral, Machine } from '#attest/dcap/verify.js'
import { toHex } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { certificateDigest } from '#core/x509/digests.js'

/** One part of the TCB. `date` is that of the level which it reaches; null when it reaches none. */
export interface LevelClaims {
  readonly status: string
  readonly date: UnixSeconds | null
  readonly advisories: readonly string[]
}

/** What TDX and SGX claims have in common. Byte strings are lowercase hex. */
export interface DcapClaims {
  readonly quoteVersion: number
  /** PPID: the same for a machine through all its TCBs */
  readonly chipId: string
  readonly fmspc: string
  readonly pceId: string
  readonly pceSvn: number
  readonly cpuSvn: string
  readonly tcbStatus: TcbStatus
  readonly tcbLevels: {
    readonly platform: LevelClaims
    readonly module: LevelClaims | null
    readonly qe: LevelClaims
  }
  readonly advisories: readonly string[]
  /** the lower of TCB info and QE identity */
  readonly tcbEvaluationDataNumber: number
  readonly endorsement: {
    /** SHA-256 of the PCK certificate */
    readonly certificate: string
    readonly validUntil: UnixSeconds
    /** when the first part of the collateral has to be fetched anew */
    readonly collateralValidUntil: UnixSeconds
  }
}

function levelClaims({ status, date, advisories }: Level<string>): LevelClaims {
  return { status, date, advisories }
}

/** The part of the claims that comes from quote, machine and collateral. */
export function dcapClaims(quote: Quote, machine: Machine, collateral: Collateral, tcb: TcbResult): DcapClaims {
  const { pck, certificate } = machine
  const { tcbInfo, qeIdentity, validUntil } = collateral
  return {
    quoteVersion: quote.version,
    chipId: toHex(pck.ppid),
    fmspc: toHex(pck.fmspc),
    pceId: toHex(pck.pceId),
    pceSvn: pck.pceSvn,
    cpuSvn: toHex(pck.cpuSvn),
    tcbStatus: tcb.status,
    tcbLevels: {
      platform: levelClaims(tcb.platform),
      module: tcb.module && levelClaims(tcb.module),
      qe: levelClaims(tcb.qe),
    },
    advisories: tcb.advisories,
    tcbEvaluationDataNumber: Math.min(tcbInfo.tcbEvaluationDataNumber, qeIdentity.tcbEvaluationDataNumber),
    endorsement: {
      certificate: certificateDigest(certificate),
      validUntil: certificate.notAfter,
      collateralValidUntil: validUntil,
    },
  }
}
