/** One comparison: a figure of ours and of the peer's, taken in each round. Higher is better. */
export interface Comparison {
  readonly name: string
  readonly ours: readonly number[]
  readonly peer: readonly number[]
  /** ours over peer, median over rounds, is at least this */
  readonly goal: number
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** `name ours peer ratio min max PASS|FAIL`: medians; the ratio is that of the two figures of one round. */
export function comparisonLine({ name, ours, peer, goal }: Comparison): string {
  const ratios = ours.map((value, round) => value / peer[round]!)
  const ratio = median(ratios)
  const figures = [median(ours), median(peer), ratio, Math.min(...ratios), Math.max(...ratios)]
  return `${[name, ...figures.map((one) => one.toFixed(2))].join(' ')} ${ratio >= goal ? 'PASS' : 'FAIL'}\n`
}
