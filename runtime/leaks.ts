import type { Leak } from '#core/wire/runtime-config.js'

/** What an edge read of the machine and of this process; null where it could not be read. */
export interface HostState {
  /** text of /proc/swaps */
  readonly swaps: string | null
  /** text of /proc/sys/kernel/core_pattern */
  readonly corePattern: string | null
  /** text of /proc/self/limits */
  readonly limits: string | null
  /** flags of this process and those of NODE_OPTIONS */
  readonly flags: readonly string[]
  /** whether a diagnostic report is written on an error, an uncaught exception or a signal */
  readonly writesReports: boolean
  readonly hasInspector: boolean
}

/** Where a dump by this pattern goes nowhere, whoever is killed. */
const discarding = ['', '/dev/null', '|/bin/false', '|/usr/bin/false']

function isSwapping(swaps: string | null): boolean {
  if (swaps === null) return true
  const [, ...devices] = swaps.trimEnd().split('\n')
  return devices.length > 0
}

/** A dump into a file is bounded by the limit; one into a program is not (core(5), "Piping core dumps to a program"). */
function isDumping(pattern: string | null, limits: string | null): boolean {
  if (pattern === null) return true
  const text = pattern.trim()
  if (discarding.includes(text)) return false
  return text.startsWith('|') || !/^Max core file size +0 +0 /m.test(limits ?? '')
}

const flagRules: readonly (readonly [Leak, RegExp])[] = [
  ['core-dump', /^--abort[-_]on[-_]uncaught[-_]exception/],
  ['diagnostic-report', /^--(experimental[-_])?report/],
  ['heap-snapshot', /^--(heapsnapshot|heap[-_]prof)/],
  ['inspector', /^--(inspect|debug)/],
]

/**
 * The ways in which memory of this process could leave it: what is not known counts as one (I4). In this order, each once.
 *
 * source  core(5), "Naming of core dump files"; proc_swaps(5); Node.js documentation, "Command-line API"
 */
export function findLeaks(state: HostState): readonly Leak[] {
  const flagged = (leak: Leak) =>
    flagRules.some(([one, form]) => one === leak && state.flags.some((flag) => form.test(flag)))
  const found: Readonly<Record<Leak, boolean>> = {
    swap: isSwapping(state.swaps),
    'core-dump': isDumping(state.corePattern, state.limits) || flagged('core-dump'),
    'diagnostic-report': state.writesReports || flagged('diagnostic-report'),
    'heap-snapshot': flagged('heap-snapshot'),
    inspector: state.hasInspector || flagged('inspector'),
  }
  return (Object.keys(found) as Leak[]).filter((leak) => found[leak])
}
