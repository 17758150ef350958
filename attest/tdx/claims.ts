import { type DcapClaims, dcapClaims } from '#attest/dcap/claims.js'
import { intelAdvisories, type Machine, measurementsOf, named } from '#attest/subject.js'
import type { VerifiedEventLog } from '#attest/tdx/event-log.js'
import { attributeBit, type Field, untrustedAttributes } from '#attest/tdx/layout.js'
import type { VerifiedTdx } from '#attest/tdx/verify.js'
import { isZero, toHex } from '#core/bytes/bytes.js'

/** What a verified TD report says, in neutral words. Byte strings are lowercase hex. */
export interface TdxClaims extends DcapClaims {
  readonly product: 'TDX'
  readonly reportVersion: '1.0' | '1.5'
  readonly reportData: string
  /** MRTD */
  readonly measurement: string
  readonly rtmrs: readonly string[]
  readonly mrSeam: string
  readonly mrSignerSeam: string
  readonly mrConfigId: string
  readonly mrOwner: string
  readonly mrOwnerConfig: string
  /** null when no service TD is bound, and in a report 1.0, which cannot bind one */
  readonly mrServiceTd: string | null
  readonly teeTcbSvn: string
  /** report 1.5; null before */
  readonly teeTcbSvnNow: string | null
  readonly xfam: string
  readonly debug: boolean
  readonly attributes: {
    /** the 8 bytes as they stand in the report */
    readonly raw: string
    /** whether any of bits 0 to 7 is set */
    readonly untrusted: boolean
    readonly septVeDisable: boolean
    readonly migratable: boolean
    readonly protectionKeys: boolean
    readonly keyLocker: boolean
    readonly perfmon: boolean
  }
  /** null when the evidence came without one */
  readonly eventLog: VerifiedEventLog | null
}

/** The machine is named by its PPID. */
export function tdxMachine({ measurement, rtmrs, chipId, debug, product, tcbStatus, advisories }: TdxClaims): Machine {
  const software = measurementsOf(measurement, ...rtmrs)
  return { ...software, platformId: named(chipId), debug, product, tcbStatus, ...intelAdvisories(advisories), svns: {} }
}

/** The claims of a verified quote of a TD. */
export function tdxClaims(verified: VerifiedTdx): TdxClaims {
  const { quote, report, machine, collateral, tcb, eventLog } = verified
  const hex = (name: Field) => toHex(report.bytesOf(name))
  const bit = (at: number) => ((report.tdAttributes >> BigInt(at)) & 1n) === 1n
  const newer = report.version === '1.5'
  return {
    product: 'TDX',
    ...dcapClaims(quote, machine, collateral, tcb),
    reportVersion: report.version,
    reportData: hex('reportData'),
    measurement: hex('mrTd'),
    rtmrs: report.rtmrs.map(toHex),
    mrSeam: hex('mrSeam'),
    mrSignerSeam: hex('mrSignerSeam'),
    mrConfigId: hex('mrConfigId'),
    mrOwner: hex('mrOwner'),
    mrOwnerConfig: hex('mrOwnerConfig'),
    mrServiceTd: newer && !isZero(report.bytesOf('mrServiceTd')) ? hex('mrServiceTd') : null,
    teeTcbSvn: hex('teeTcbSvn'),
    teeTcbSvnNow: newer ? hex('teeTcbSvn2') : null,
    xfam: hex('xfam'),
    debug: bit(attributeBit.debug),
    attributes: {
      raw: hex('tdAttributes'),
      untrusted: (report.tdAttributes & untrustedAttributes) !== 0n,
      septVeDisable: bit(attributeBit.septVeDisable),
      migratable: bit(attributeBit.migratable),
      protectionKeys: bit(attributeBit.protectionKeys),
      keyLocker: bit(attributeBit.keyLocker),
      perfmon: bit(attributeBit.perfmon),
    },
    eventLog,
  }
}
