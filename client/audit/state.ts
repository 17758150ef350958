import type { Finding } from '#client/audit/findings.js'
import { fromHex, fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { noteSizeMax } from '#core/limits.js'
import { emptyFrontier, type Frontier, makeFrontier } from '#core/tlog/frontier.js'
import { idShape, timeShape } from '#core/wire/names.js'

/** Failures of what an auditor remembers. */
export type AuditStateCode =
  /** the file of it is not one */
  | 'audit-state/form'
  /** a log with more owners, changes or leases than an auditor keeps */
  | 'audit-state/limit'

/** What is remembered at most: changes of all owners, leases that may still go on, decisions whose nonces are known, what convicts. */
export const auditLimits = { changes: 1_000_000, leases: 500_000, nonces: 20_000, convictions: 1000 } as const

/** A change of an owner's: its entry, and its kind with `*` where it is about one model (which the log does not say). */
export interface Said {
  readonly index: number
  readonly change: string
  readonly sequence: number
}

/** What an auditor knows of one owner. */
export interface OwnerState {
  /** its last entry that a decision has to have applied; null where a restored database may have lost it */
  last: number | null
  said: Said[]
  /** how many changes of each kind are at each version */
  readonly counts: Map<string, number>
  /** changes that a restored database had lost, and whether all of these have to come again before anything is decided */
  lost: Said[]
  lostAll: boolean
  /** of the reader's own: keysets that had a key */
  readonly nodes: Set<string>
}

const leaseShape = object({
  id: idShape,
  tenant: hex(32),
  keyset: hex(32),
  version: integer({ min: 1 }),
  expiresAt: timeShape,
  /** its node has said its last word */
  over: boolean,
})
export type LeaseState = Shaped<typeof leaseShape>

/** What an auditor remembers of a log, from its first entry to where it stands. It changes as entries are judged. */
export interface AuditState {
  readonly origin: string
  frontier: Frontier
  /** the newest checkpoint that was verified, as it came; the tree has grown beyond it while entries are read */
  checkpoint: string | null
  readonly owners: Map<string, OwnerState>
  readonly leases: Map<string, LeaseState>
  /** digests of the last nonces that were decided, the oldest first */
  readonly nonces: Set<string>
  /** what convicts, and nobody has acknowledged: the first ones */
  convictions: readonly Finding[]
  /** found, and told to nobody yet: of a reading that has not come to its end */
  untold: readonly Finding[]
}

export const newState = (origin: string): AuditState => ({
  origin,
  frontier: emptyFrontier,
  checkpoint: null,
  owners: new Map(),
  leases: new Map(),
  nonces: new Set(),
  convictions: [],
  untold: [],
})

export const newOwner = (): OwnerState => ({
  last: null,
  said: [],
  counts: new Map(),
  lost: [],
  lostAll: false,
  nodes: new Set(),
})

export const keyOf = (change: string, sequence: number): string => `${change} ${sequence}`

export function keepSaid(owner: OwnerState, said: Said): void {
  const key = keyOf(said.change, said.sequence)
  owner.said.push(said)
  owner.counts.set(key, (owner.counts.get(key) ?? 0) + 1)
}

/**
 * Changes that the owner made are missing in its broker's database. Where it is known which (`all` within the range), they count as not
 * made, and have to come again before anything is decided; else they may.
 */
export function lose(owner: OwnerState, within: (one: Said) => boolean, all: boolean): void {
  const gone = owner.said.filter(within)
  // The database may have lost that one: which it then decides by is learnt with the next.
  owner.last = null
  owner.lost = [...owner.lost.filter((one) => !within(one)), ...gone]
  if (gone.length === 0) return
  owner.lostAll = all
  if (!all) return
  const left = owner.said.filter((one) => !within(one))
  owner.said = []
  owner.counts.clear()
  for (const one of left) keepSaid(owner, one)
}

/** Nothing that one judges is seen by the other. */
export const copyState = (state: AuditState): AuditState => decodeState(encodeState(state))

const saidShape = object({ index: integer(), change: string({ max: 40 }), sequence: integer({ min: 1 }) })
const headShape = object({
  type: literal('claviger/audit-state/v1'),
  origin: string({ max: 200 }),
  size: integer(),
  frontier: list(hex(32), { max: 53 }),
  checkpoint: nullable(string({ max: noteSizeMax })),
})
const ownerShape = object({
  owner: hex(32),
  last: nullable(integer()),
  said: list(saidShape),
  lost: list(saidShape),
  lostAll: boolean,
  nodes: list(hex(32)),
})
const findingShape: Shape<Finding> = object({
  code: string({ max: 60, form: /^(?:audit|notice)\/[a-z-]+$/ }) as Shape<Finding['code']>,
  index: nullable(integer()),
  message: string({ max: 2000 }),
})
const linesShape = {
  lease: object({ lease: leaseShape }),
  nonce: object({ nonce: hex(32) }),
  conviction: object({ conviction: findingShape }),
  untold: object({ untold: findingShape }),
}

// A line each: no one line grows with the log, but that of an owner with its changes.
export function encodeState(state: AuditState): Uint8Array {
  const { origin, frontier, checkpoint } = state
  const lines: unknown[] = [
    {
      type: 'claviger/audit-state/v1',
      origin,
      size: frontier.size,
      frontier: frontier.hashes.map(toHex),
      checkpoint,
    },
  ]
  for (const [owner, { last, said, lost, lostAll, nodes }] of state.owners)
    for (let at = 0; at === 0 || at < said.length; at += saidInLine)
      lines.push({
        owner,
        last,
        said: said.slice(at, at + saidInLine),
        lost: at === 0 ? lost : [],
        lostAll,
        nodes: at === 0 ? [...nodes] : [],
      })
  for (const lease of state.leases.values()) lines.push({ lease })
  for (const nonce of state.nonces) lines.push({ nonce })
  for (const conviction of state.convictions) lines.push({ conviction })
  for (const untold of state.untold) lines.push({ untold })
  return utf8(lines.map((line) => `${fromUtf8(canonicalJson(line))}\n`).join(''))
}

const saidInLine = 10_000

const lineOf = <T>(line: string, shape: Shape<T>): T => shape(parseJson(utf8(line)), 'audit state')

/** @throws audit-state/form, json/..., shape/..., tlog/range */
export function decodeState(bytes: Uint8Array): AuditState {
  const [first, ...rest] = fromUtf8(bytes).split('\n').slice(0, -1)
  if (first === undefined) throw new Failure<AuditStateCode>('audit-state/form', 'there is nothing in it')
  const head = lineOf(first, headShape)
  const state: AuditState = {
    ...newState(head.origin),
    frontier: makeFrontier(
      head.size,
      head.frontier.map((one) => fromHex(one, 32)),
    ),
    checkpoint: head.checkpoint,
  }
  const convictions: Finding[] = []
  const untold: Finding[] = []
  for (const line of rest) {
    if (line.startsWith('{"lease"')) {
      const { lease } = lineOf(line, linesShape.lease)
      state.leases.set(lease.id, lease)
    } else if (line.startsWith('{"conviction"')) convictions.push(lineOf(line, linesShape.conviction).conviction)
    else if (line.startsWith('{"untold"')) untold.push(lineOf(line, linesShape.untold).untold)
    else if (line.startsWith('{"nonce"')) state.nonces.add(lineOf(line, linesShape.nonce).nonce)
    else {
      const { owner, last, said, lost, lostAll, nodes } = lineOf(line, ownerShape)
      const known = state.owners.get(owner) ?? newOwner()
      for (const one of said) keepSaid(known, one)
      known.lost = [...known.lost, ...lost]
      known.last = last
      known.lostAll ||= lostAll
      for (const node of nodes) known.nodes.add(node)
      state.owners.set(owner, known)
    }
  }
  return { ...state, convictions, untold }
}
