/** What an audit convicts a log, or the brokers that write it, of: no honest one does it. */
export type AuditCode =
  /** two trees that the log signed do not lead to each other: it shows different people different pasts */
  | 'audit/split-view'
  /** the log serves an older tree than one that it had signed before */
  | 'audit/older'
  /** the entries that it serves are not those of its tree */
  | 'audit/tiles'
  /** a leaf that is no entry */
  | 'audit/entry'
  /** an entry from the future */
  | 'audit/time'
  /** an owner's first entry is not the statement that makes it one */
  | 'audit/tenant'
  /** a change of an owner without the one before it, or twice */
  | 'audit/sequence'
  /** a decision that did not apply the owner's last change */
  | 'audit/state-index'
  /** a decision before changes that a restored database had lost were said again */
  | 'audit/decided-behind'
  /** two decisions about one nonce: a denial that became a release, perhaps */
  | 'audit/nonce-twice'
  /** one lease was granted to two nodes, or for longer */
  | 'audit/lease-twice'
  /** a renewal, or a last word, of a lease that nobody released */
  | 'audit/lease-unknown'
  /** a lease went on behind its end, or behind its node's last word */
  | 'audit/lease-over'
  /** what an operator said of a restored database cannot be */
  | 'audit/rollback'

/** What is worth a look, and convicts nobody. */
export type NoticeCode =
  /** a witness that the reader trusts has not cosigned the newest tree */
  | 'notice/witness-missing'
  /** nothing was cosigned for longer than the reader waits */
  | 'notice/stalled'
  /** the log cannot be read; told once, by an auditor that watches */
  | 'notice/unreachable'
  /** more was found than is kept */
  | 'notice/more'
  /** an operator put back an older database */
  | 'notice/rollback'
  | 'notice/kek-rotation'
  | 'notice/kbs-policy'
  /** an owner's first entry */
  | 'notice/tenant'
  /** of any owner: a denial whose reason happens to no honest machine (one device in two leases, a place that contradicts itself) */
  | 'notice/alarm'
  /** of the reader's own: a node that had no key before */
  | 'notice/new-node'
  /** of the reader's own: a release by a policy that is not among those that it named */
  | 'notice/policy'
  /** of the reader's own: a change of what decides */
  | 'notice/change'
  /** of the reader's own: a denial */
  | 'notice/denial'
  /** of the reader's own: a release to simulated evidence */
  | 'notice/simulated'

export type FindingCode = AuditCode | NoticeCode

/** index: of the entry in the log; null where it is about no entry */
export interface Finding {
  readonly code: FindingCode
  readonly index: number | null
  readonly message: string
}

/** Whether it convicts. */
export const convicts = ({ code }: Finding): boolean => code.startsWith('audit/')

/** Of one reading are kept so many that convict, and so many others. */
export const findingsMax = { convicting: 1000, other: 10_000 } as const

/** What is found in one reading, bounded: a log may be nothing but faults. */
export class Findings {
  readonly kept: Finding[]
  #dropped = 0
  #convicting = 0

  constructor(before: readonly Finding[] = []) {
    this.kept = []
    this.add(before)
  }

  add(found: readonly Finding[]): void {
    for (const one of found) {
      const kind = convicts(one)
      const kept = kind ? this.#convicting : this.kept.length - this.#convicting
      if (kept >= (kind ? findingsMax.convicting : findingsMax.other)) this.#dropped++
      else this.kept.push(one)
      if (kind && this.#convicting < findingsMax.convicting) this.#convicting++
    }
  }

  /** All that is kept, and how much is not. */
  all(): readonly Finding[] {
    if (this.#dropped === 0) return this.kept
    return [...this.kept, { code: 'notice/more', index: null, message: `${this.#dropped} more findings are not kept` }]
  }
}
