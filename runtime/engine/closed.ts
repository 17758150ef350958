import inspector from 'node:inspector'
import koffi from 'koffi'
import { Failure } from '#core/failure.js'

/** A process that could be read or steered from outside. */
export type ClosedCode = 'closed/options' | 'closed/inspector' | 'closed/system'

// <linux/prctl.h>, <bits/resource.h>
const PR_SET_PDEATHSIG = 1
const PR_GET_DUMPABLE = 3
const PR_SET_DUMPABLE = 4
const PR_SET_NO_NEW_PRIVS = 38
const RLIMIT_CORE = 4
const SIGKILL = 9
// <malloc.h>
const M_PERTURB = -6
// <linux/close_range.h>
const CLOSE_RANGE_CLOEXEC = 4

export interface CloseOptions {
  /** Leaves the memory readable from outside, for tests that scan it. The node document shows it. */
  readonly dangerousAllowInspection: boolean
  /** Ends this process when its parent ends. */
  readonly endWithParent: boolean
}

/** Environment that loads code, opens ports or writes memory to disk. */
const refusedVariables = ['NODE_OPTIONS', 'NODE_V8_COVERAGE', 'NODE_REPL_EXTERNAL_MODULE', 'LD_PRELOAD', 'LD_AUDIT']
/** The only flag of Node that may stand before the script: it closes the door that SIGUSR1 opens. */
const acceptedFlags = ['--disable-sigusr1']

interface System {
  prctl(option: number, a: number, b: number, c: number, d: number): number
  setrlimit(resource: number, limit: BigUint64Array): number
  closeRange(first: number, last: number, flags: number): number
}

function system(): Pick<System, 'prctl' | 'setrlimit'> {
  const libc = koffi.load(null)
  return {
    prctl: libc.func('int prctl(int, ulong, ulong, ulong, ulong)') as unknown as System['prctl'],
    setrlimit: libc.func('int setrlimit(int, void *)') as unknown as System['setrlimit'],
  }
}

function done(result: number, call: string): void {
  if (result !== 0) throw new Failure<ClosedCode>('closed/system', `${call} returned ${result}`)
}

/**
 * Memory that this process frees is overwritten at once, where its allocator is glibc's: buffers that held a request, an
 * answer or a key and that nobody can reach any more do not lie about until the room is used again.
 *
 * source  mallopt(3), "M_PERTURB"
 */
export function overwriteFreed(): void {
  let mallopt: (parameter: number, value: number) => number
  try {
    mallopt = koffi.load(null).func('int mallopt(int, int)') as unknown as typeof mallopt
  } catch {
    return // another C library: nothing is promised of freed memory there
  }
  mallopt(M_PERTURB, 0xa5)
}

/**
 * No descriptor of this process passes to a child, but those that are handed over: also not one that came to it open from
 * whoever started it.
 *
 * throws  closed/system
 * source  close_range(2), "CLOSE_RANGE_CLOEXEC"
 */
export function keepDescriptors(): void {
  const closeRange = koffi.load(null).func('int close_range(uint, uint, int)') as unknown as System['closeRange']
  done(closeRange(3, 0xffffffff, CLOSE_RANGE_CLOEXEC), 'close_range')
}

/**
 * This process cannot be debugged by signal, dumps no core, gains no privilege and, for any user but root, cannot be read by
 * other processes, those of the same user included. Called first, before a key exists: signals that came earlier are seen,
 * since the inspector they open is then refused.
 *
 * throws  closed/options for environment or flags that load code, closed/inspector, closed/system
 * source  prctl(2), "PR_SET_DUMPABLE"; proc(5), "/proc/pid/mem"; Node.js documentation, "Signal events" (SIGUSR1)
 */
export function closeProcess(options: CloseOptions): void {
  // With a listener of our own, Node's handler that starts the inspector is replaced.
  process.on('SIGUSR1', () => {})
  const variables = refusedVariables.filter((name) => process.env[name] !== undefined)
  const flags = process.execArgv.filter((flag) => !acceptedFlags.includes(flag))
  if (variables.length > 0 || flags.length > 0) {
    throw new Failure<ClosedCode>('closed/options', `not accepted: ${[...variables, ...flags].join(', ')}`)
  }
  if (inspector.url() !== undefined) throw new Failure<ClosedCode>('closed/inspector', 'an inspector is open')
  if (process.platform !== 'linux') throw new Failure<ClosedCode>('closed/system', 'memory is closed on linux only')
  const { prctl } = system()
  if (options.endWithParent) done(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), 'prctl PR_SET_PDEATHSIG')
  done(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'prctl PR_SET_NO_NEW_PRIVS')
  shutMemory(options.dangerousAllowInspection)
}

function shutMemory(dangerousAllowInspection: boolean): void {
  const { prctl, setrlimit } = system()
  overwriteFreed()
  done(setrlimit(RLIMIT_CORE, new BigUint64Array(2)), 'setrlimit RLIMIT_CORE')
  if (dangerousAllowInspection) return
  done(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl PR_SET_DUMPABLE')
  done(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 'prctl PR_GET_DUMPABLE')
}

/**
 * The memory of a command, which holds keys for as long as it runs: no core file, no debugger by signal, and no other process of
 * the same user reads it. An owner works on any system and with any settings of Node: where memory cannot be closed, it stays
 * open.
 *
 * throws  closed/system where Linux refuses
 */
export function closeMemory(): void {
  process.on('SIGUSR1', () => {})
  if (process.platform === 'linux') shutMemory(false)
}
