import { assert } from '#core/assert.js'

/**
 * Figures of a process in the text form that Prometheus reads.
 *
 * Written here and not taken from a library: three kinds of lines are all that is needed, a label's values are a closed set by
 * construction, and nothing registers itself. Names of tenants, models, nodes and addresses are no labels (I10).
 * source  Prometheus, "Exposition formats", "Text-based format" 0.0.4
 */
export interface Metrics {
  /** counts up by one */
  count(name: string, labels?: Labels): void
  /** one more duration, in seconds */
  observe(name: string, seconds: number, labels?: Labels): void
  /** read when the text is made; null leaves the line out */
  gauge(name: string, help: string, read: () => number | null | Promise<number | null>): void
  text(): Promise<string>
}
export type Labels = Readonly<Record<string, string>>

/** What is known of a figure before it first occurs. */
export interface MetricShape {
  readonly kind: 'counter' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

const bucketsSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** Of one figure: beyond it values are counted under `other`, so that no caller makes the list longer. */
const seriesMax = 500

interface Series {
  count: number
  sum: number
  readonly buckets: number[]
}

const escaped = (value: string) => value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
const labelText = (labels: Labels) =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',')
const braced = (text: string) => (text === '' ? '' : `{${text}}`)

/** shapes  every figure that is counted here, by its name */
export function createMetrics(shapes: Readonly<Record<string, MetricShape>>): Metrics {
  const all = new Map<string, Map<string, Series>>(Object.keys(shapes).map((name) => [name, new Map()]))
  const gauges = new Map<
    string,
    { readonly help: string; readonly read: () => number | null | Promise<number | null> }
  >()

  function seriesOf(name: string, kind: MetricShape['kind'], labels: Labels): Series {
    const shape = shapes[name]
    const known = all.get(name)
    assert(shape?.kind === kind && known, `${name} is a ${kind} of this process`)
    assert(Object.keys(labels).join() === shape.labels.join(), `${name} has the labels ${shape.labels.join()}`)
    let key = labelText(labels)
    if (!known.has(key) && known.size >= seriesMax)
      key = labelText(Object.fromEntries(shape.labels.map((label) => [label, 'other'])))
    let series = known.get(key)
    if (series === undefined) known.set(key, (series = { count: 0, sum: 0, buckets: bucketsSeconds.map(() => 0) }))
    return series
  }

  function lines(name: string, { kind }: MetricShape, key: string, { count, sum, buckets }: Series): string[] {
    if (kind === 'counter') return [`${name}${braced(key)} ${count}`]
    const at = (bound: string) => braced([key, `le="${bound}"`].filter(Boolean).join(','))
    return [
      ...bucketsSeconds.map((bound, i) => `${name}_bucket${at(String(bound))} ${buckets[i]}`),
      `${name}_bucket${at('+Inf')} ${count}`,
      `${name}_sum${braced(key)} ${sum}`,
      `${name}_count${braced(key)} ${count}`,
    ]
  }

  return {
    count(name, labels = {}) {
      seriesOf(name, 'counter', labels).count++
    },
    observe(name, seconds, labels = {}) {
      const series = seriesOf(name, 'histogram', labels)
      series.count++
      series.sum += seconds
      for (const [i, bound] of bucketsSeconds.entries()) if (seconds <= bound) series.buckets[i]!++
    },
    gauge(name, help, read) {
      gauges.set(name, { help, read })
    },
    async text() {
      const out: string[] = []
      for (const [name, shape] of Object.entries(shapes)) {
        out.push(`# HELP ${name} ${shape.help}`, `# TYPE ${name} ${shape.kind}`)
        for (const [key, series] of all.get(name)!) out.push(...lines(name, shape, key, series))
      }
      for (const [name, { help, read }] of gauges) {
        const value = await read()
        if (value !== null) out.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${value}`)
      }
      return `${out.join('\n')}\n`
    },
  }
}

/** Figures of an HTTP service. `route` is the pattern of a route, never a path that a caller made. */
export const httpMetrics = {
  claviger_http_requests_total: { kind: 'counter', help: 'requests that were answered', labels: ['route', 'status'] },
  claviger_http_seconds: { kind: 'histogram', help: 'from a whole request to its answer', labels: ['route'] },
  claviger_http_refused_total: { kind: 'counter', help: 'requests refused by a bound', labels: ['code'] },
} as const satisfies Record<string, MetricShape>
