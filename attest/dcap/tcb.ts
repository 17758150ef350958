import type {
  EnclaveLevel,
  EnclaveStatus,
  PlatformStatus,
  TcbInfo,
  TdxModuleIdentity,
} from '#attest/dcap/collateral.js'
import type { Pck } from '#attest/dcap/pck.js'
import type { UnixSeconds } from '#core/time.js'

/** A status with what it rests on. `NotSupported`: Intel lists no level that this part reaches. */
export interface Level<Status extends string> {
  readonly status: Status | 'NotSupported'
  readonly date: UnixSeconds | null
  readonly advisories: readonly string[]
}
export type TcbStatus = PlatformStatus | 'TDRelaunchAdvised' | 'TDRelaunchAdvisedConfigurationNeeded' | 'NotSupported'

/** What a machine's TCB comes to, part by part and as a whole. */
export interface TcbResult {
  readonly status: TcbStatus
  readonly platform: Level<PlatformStatus>
  /** null for SGX, and for a module that has no identity of its own (TDX 1.0) */
  readonly module: Level<EnclaveStatus> | null
  readonly qe: Level<EnclaveStatus>
  /** sorted, each once, over all parts */
  readonly advisories: readonly string[]
}

const notSupported = { status: 'NotSupported', date: null, advisories: [] } as const

function levelOf<Status extends string>(found: {
  readonly tcbStatus: Status
  readonly tcbDate: UnixSeconds
  readonly advisoryIDs?: readonly string[] | undefined
}): Level<Status> {
  return { status: found.tcbStatus, date: found.tcbDate, advisories: found.advisoryIDs ?? [] }
}

/**
 * The level of a machine: the first, from the highest, that it reaches in all SGX components and PCESVN, and for TDX in
 * the TDX components too.
 *
 * info       with its levels highest first, as verifyTcbInfo gives it
 * teeTcbSvn  16 bytes of a TD report; null for SGX. With a module of a version above 0, components 0 and 1 are the
 *            module's own and are judged through its identity.
 * source     Intel Quote Verification Library, "TcbLevelCheck"
 */
export function platformLevel(info: TcbInfo, pck: Pck, teeTcbSvn: Uint8Array | null): Level<PlatformStatus> {
  const from = teeTcbSvn && teeTcbSvn[1]! > 0 ? 2 : 0
  const reached = info.tcbLevels.find(
    ({ tcb }) =>
      tcb.sgxtcbcomponents.every((svn, i) => pck.components[i]! >= svn) &&
      pck.pceSvn >= tcb.pcesvn &&
      (teeTcbSvn === null || (tcb.tdxtcbcomponents ?? []).every((svn, i) => i < from || teeTcbSvn[i]! >= svn)),
  )
  return reached ? levelOf(reached) : notSupported
}

/** The level of an enclave or module: the first, from the highest, that its security version reaches. */
export function enclaveLevel(levels: readonly EnclaveLevel[], isvSvn: number): Level<EnclaveStatus> {
  const reached = levels.toSorted((a, b) => b.tcb.isvsvn - a.tcb.isvsvn).find((level) => isvSvn >= level.tcb.isvsvn)
  return reached ? levelOf(reached) : notSupported
}

/** The identity of a TDX module by its version, from 1; undefined when Intel lists none. */
export function moduleIdentity(info: TcbInfo, version: number): TdxModuleIdentity | undefined {
  const id = `TDX_${version.toString(16).padStart(2, '0')}`.toLowerCase()
  return info.tdxModuleIdentities?.find((one) => one.id.toLowerCase() === id)
}

/**
 * All parts as one status.
 *
 * source  Intel Quote Verification Library, "TcbLevelCheck", "TdxModuleCheck"
 */
export function converge(
  platform: Level<PlatformStatus>,
  module: Level<EnclaveStatus> | null,
  qe: Level<EnclaveStatus>,
): TcbStatus {
  const parts = [module?.status ?? 'UpToDate', qe.status]
  if (platform.status === 'Revoked' || parts.includes('Revoked')) return 'Revoked'
  if (platform.status === 'NotSupported' || parts.includes('NotSupported')) return 'NotSupported'
  return parts.includes('OutOfDate') ? outOfDate[platform.status] : platform.status
}

/** What a platform's status becomes when the module or the quoting enclave is out of date. */
const outOfDate: Readonly<Record<PlatformStatus, PlatformStatus>> = {
  UpToDate: 'OutOfDate',
  SWHardeningNeeded: 'OutOfDate',
  ConfigurationNeeded: 'OutOfDateConfigurationNeeded',
  ConfigurationAndSWHardeningNeeded: 'OutOfDateConfigurationNeeded',
  OutOfDate: 'OutOfDate',
  OutOfDateConfigurationNeeded: 'OutOfDateConfigurationNeeded',
  Revoked: 'Revoked',
}

/**
 * For a TD 1.5: whether the host was patched since the TD was started, so that starting it again is what mends it. Only
 * where the module alone is old, and what the platform runs now reaches Intel's newest level.
 *
 * now     teeTcbSvn2 of the report, 16 bytes
 * source  Intel Quote Verification Library, "TDRelaunchCheck"
 */
export function relaunchAdvised(
  info: TcbInfo,
  platform: Level<PlatformStatus>,
  module: Level<EnclaveStatus> | null,
  qe: Level<EnclaveStatus>,
  now: Uint8Array,
): 'TDRelaunchAdvised' | 'TDRelaunchAdvisedConfigurationNeeded' | null {
  if (module?.status !== 'OutOfDate' || qe.status !== 'UpToDate') return null
  const newest = info.tcbLevels[0]?.tcb.tdxtcbcomponents ?? []
  const [svn, version, component2] = [now[0]!, now[1]!, now[2]!]
  let least = newest[0]!
  if (version > 0) {
    const identity = moduleIdentity(info, version)
    if (!identity) return null
    least = Math.max(...identity.tcbLevels.map((level) => level.tcb.isvsvn))
  }
  if (svn < least || component2 < newest[2]!) return null
  if (platform.status === 'UpToDate' || platform.status === 'SWHardeningNeeded') return 'TDRelaunchAdvised'
  if (platform.status === 'ConfigurationNeeded' || platform.status === 'ConfigurationAndSWHardeningNeeded')
    return 'TDRelaunchAdvisedConfigurationNeeded'
  return null
}

/** All parts, the whole, and every advisory that stands against any of them. */
export function tcbResult(
  status: TcbStatus,
  platform: Level<PlatformStatus>,
  module: Level<EnclaveStatus> | null,
  qe: Level<EnclaveStatus>,
): TcbResult {
  const advisories = [...new Set([platform, module, qe].flatMap((level) => level?.advisories ?? []))].sort()
  return { status, platform, module, qe, advisories }
}
