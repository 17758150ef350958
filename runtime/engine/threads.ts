import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** The share of processors that the control group grants, from cgroup v2 `cpu.max`: `quota period` or `max period`. */
function quotaOf(cpuMax: string): number {
  const [quota, period] = cpuMax.trim().split(/\s+/).map(Number)
  return quota !== undefined && period !== undefined && quota > 0 && period > 0
    ? quota / period
    : Number.POSITIVE_INFINITY
}

/**
 * Threads for one engine: the processors that this process may use, no more than its control group pays for, at least one.
 * More than that makes every run wait for threads that do not run.
 *
 * source  Linux, "Control Group v2", "CPU Interface Files"
 */
export function engineThreads(cpuMaxPath = '/sys/fs/cgroup/cpu.max'): number {
  let quota = Number.POSITIVE_INFINITY
  try {
    quota = quotaOf(readFileSync(cpuMaxPath, 'utf8'))
  } catch {
    // No cgroup v2 here: the processors alone decide.
  }
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quota)))
}
