import { createMetrics, httpMetrics, type Metrics } from '#host/metrics.js'
import type { LogRecord, Store } from '#keybroker/ports.js'
import type { Readiness } from '#keybroker/service/readiness.js'

const pendingMax = 1000

/**
 * The figures of a broker. Releases, denials and refusals are told apart by the status of their route: 200, 403, 422.
 * Nothing says whose they are (I10).
 */
export function brokerMetrics(of: {
  readonly ready: () => Promise<Readiness>
  readonly log: LogRecord
  readonly store: Pick<Store, 'loadPending'>
}): Metrics {
  const metrics = createMetrics(httpMetrics)
  for (const part of ['database', 'log', 'witnesses', 'key'] as const)
    metrics.gauge(`claviger_ready_${part}`, `1 when the ${part} can be worked with`, async () =>
      (await of.ready())[part] === 'ok' ? 1 : 0,
    )
  metrics.gauge('claviger_log_entries', 'entries of the log under a cosigned checkpoint', () => of.log.size())
  metrics.gauge('claviger_entries_pending', `entries that wait for the log, ${pendingMax} at most`, () =>
    // While the database is away nobody knows.
    of.store.loadPending(null, pendingMax).then(
      (rows) => rows.length,
      () => null,
    ),
  )
  metrics.gauge('process_resident_memory_bytes', 'memory of this process', () => process.memoryUsage.rss())
  metrics.gauge('process_cpu_seconds_total', 'processor time of this process', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  return metrics
}
