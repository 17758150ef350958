import { Session } from 'node:inspector/promises'

/** The fuzzer itself, its seeds and libraries. */
const notProduct = /\/dist\/test\/|\/node_modules\//

interface Block {
  readonly key: string
  readonly from: number
  readonly to: number
}
type Ranges = readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[]

/**
 * Blocks of the product's code that ran. V8 counts them; this reads the counts, and keeps what was ever seen.
 *
 * V8 leaves out a block that ran as often as the one around it: one that was listed once is looked for each time, in the
 * innermost block that is listed then.
 */
export class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()
  readonly #blocks = new Map<string, Map<string, Block>>()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  get edges(): number {
    return this.#seen.size
  }

  /** The blocks that ran since the last call. */
  async take(): Promise<ReadonlySet<string>> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const out = new Set<string>()
    for (const { scriptId, url, functions } of result) {
      if (!url.startsWith('file:') || notProduct.test(url)) continue
      for (const { ranges } of functions)
        for (const { key, from, to } of this.#blocksOf(scriptId, ranges)) {
          // The ranges of a function stand outer ones first, so the last that holds the block is the innermost.
          const inner = ranges.findLast((range) => range.startOffset <= from && to <= range.endOffset)
          if (inner !== undefined && inner.count > 0) out.add(key)
        }
    }
    return out
  }

  #blocksOf(scriptId: string, ranges: Ranges): Iterable<Block> {
    const whole = ranges[0]!
    const id = `${scriptId} ${whole.startOffset} ${whole.endOffset}`
    const blocks = this.#blocks.get(id) ?? new Map<string, Block>()
    this.#blocks.set(id, blocks)
    for (const { startOffset: from, endOffset: to } of ranges) {
      const key = `${scriptId} ${from} ${to}`
      if (!blocks.has(key)) blocks.set(key, { key, from, to })
    }
    return blocks.values()
  }

  /** Those that ran since the last call and never before. */
  async fresh(): Promise<ReadonlySet<string>> {
    const out = new Set<string>()
    for (const block of await this.take()) {
      if (this.#seen.has(block)) continue
      this.#seen.add(block)
      out.add(block)
    }
    return out
  }
}
