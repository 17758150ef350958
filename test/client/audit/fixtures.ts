import type { LogSource } from '#client/audit/follow.js'
import { Auditor, nobody, type Own } from '#client/audit/rules.js'
import { newState } from '#client/audit/state.js'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { signCheckpoint } from '#core/tlog/checkpoint.js'
import { emptyFrontier, grow, rootOf } from '#core/tlog/frontier.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { encodeNote } from '#core/tlog/note.js'
import { encodeEntries, tileWidth } from '#core/tlog/tiles.js'
import { makeNoteSigner } from '#core/tlog/vkey.js'
import { type Entry, encodeEntry } from '#core/wire/entries.js'

export const begin = 1_780_000_000

/** 32 bytes of hex, by a name. */
export const digest = (name: string): string => toHex(sha256(utf8(name)))
export const id = (name: string): string => digest(name).slice(0, 32)

const head = (at: number, tenant: string) => ({ type: 'claviger/entry/v1', at, tenant: digest(tenant) }) as const

export function state(
  change: Extract<Entry, { kind: 'state' }>['change'],
  sequence: number,
  options: { at?: number; tenant?: string } = {},
): Entry {
  const onModel = ['registration', 'policy', 'reference-values', 'revocation', 'break-glass'].includes(change)
  return {
    kind: 'state',
    ...head(options.at ?? begin, options.tenant ?? 'acme'),
    change,
    model: onModel ? digest(`model ${change} ${sequence}`) : null,
    sequence,
    statement: digest(`statement ${change} ${sequence}`),
    reason: undefined,
  }
}

interface DecisionOptions {
  readonly at?: number
  readonly tenant?: string
  readonly nonce?: string
  readonly lease?: string
  readonly node?: string
  readonly version?: number
  readonly expiresAt?: number
  readonly policy?: string
}

const decided = (stateIndex: number, { at = begin, tenant = 'acme', nonce = 'first' }: DecisionOptions) =>
  ({
    ...head(at, tenant),
    model: digest(`model of ${nonce}`),
    state_index: stateIndex,
    nonce_digest: digest(nonce),
    evidence: digest(`evidence of ${nonce}`),
    decision: digest(`decision of ${nonce}`),
    platform: 'simulated',
    broker: 'UNATTESTED BROKER',
  }) as const

export function granted(kind: 'release' | 'renewal', stateIndex: number, options: DecisionOptions = {}): Entry {
  const at = options.at ?? begin
  return {
    kind,
    ...decided(stateIndex, options),
    version: options.version ?? 1,
    manifest_digest: digest('manifest'),
    keyset_digest: digest(options.node ?? 'node'),
    config_digest: digest('config'),
    trust_digest: digest('trust'),
    policy_digest: digest(options.policy ?? 'policy'),
    reference_values_digest: digest('values'),
    ear_digest: digest('ear'),
    lease_id: id(options.lease ?? 'lease'),
    lease_expires_at: options.expiresAt ?? at + 600,
    route: 'v1',
  }
}

export const denied = (
  stateIndex: number,
  options: DecisionOptions & { readonly reasons?: readonly string[] } = {},
): Entry => ({
  kind: 'denial',
  ...decided(stateIndex, options),
  reasons: options.reasons ?? ['eu-only'],
  policy_digest: digest('policy'),
})

export const used = (lease = 'lease', options: { tenant?: string } = {}): Entry => ({
  kind: 'usage',
  ...head(begin, options.tenant ?? 'acme'),
  model: digest('model of usage'),
  lease_id: id(lease),
  counter: digest('counter'),
})

export const restored = (logSize: number, firstLost: number, lost: number, changesLost: number): Entry => ({
  kind: 'rollback',
  type: 'claviger/entry/v1',
  at: begin,
  log_size: logSize,
  first_lost: firstLost,
  lost,
  changes_lost: changesLost,
  broker: 'UNATTESTED BROKER',
})

/** What an honest broker writes of an owner before anything is decided. The last of it stands at 4. */
export const registered: readonly Entry[] = [
  state('tenant', 1),
  state('trust', 1),
  state('registration', 1),
  state('policy', 1),
  state('reference-values', 1),
]

/** What each of these entries is judged as, in a log that holds nothing else. */
export function judged(entries: readonly (Entry | Uint8Array)[], own: Own = nobody, now = begin + 1000) {
  const auditor = new Auditor(newState('log.example/audit'), own, now)
  return entries.flatMap((entry, index) =>
    auditor
      .judge(index, entry instanceof Uint8Array ? entry : encodeEntry(entry))
      .map(({ code, index: at }) => `${code} ${at}`),
  )
}

/** The same, without what convicts nobody. */
export const convicted = (...given: Parameters<typeof judged>) =>
  judged(...given).filter((one) => one.startsWith('audit/'))

/** Static files of a log over these leaves: they can be changed behind its back. */
export class StaticLog implements LogSource {
  leaves: Uint8Array[]
  /** what the checkpoint is over, where that is not `leaves` */
  signedLeaves: readonly Uint8Array[] | null = null
  asked = 0
  readonly #key: SigningKey
  readonly #origin: string

  constructor(key: SigningKey, origin: string, entries: readonly Entry[]) {
    this.#key = key
    this.#origin = origin
    this.leaves = entries.map((entry) => encodeEntry(entry))
  }

  async checkpoint(): Promise<string> {
    const leaves = this.signedLeaves ?? this.leaves
    const rootHash = rootOf(leaves.reduce((tree, leaf) => grow(tree, hashLeaf(leaf)), emptyFrontier))
    const signer = makeNoteSigner(this.#origin, 'log', this.#key)
    return encodeNote(await signCheckpoint({ origin: this.#origin, size: leaves.length, rootHash }, signer))
  }

  async tile({ level, index, width }: Parameters<LogSource['tile']>[0]): Promise<Uint8Array> {
    this.asked++
    const leaves = this.leaves.slice(index * tileWidth, index * tileWidth + width)
    if (level === 'entries') return encodeEntries(leaves)
    const of = this.signedLeaves ?? this.leaves
    const hashes = (from: number, to: number) => of.slice(from, to).map(hashLeaf)
    const begin = index * tileWidth
    if (level === 0) return new Uint8Array(Buffer.concat(hashes(begin, begin + width)))
    if (level === 1) {
      const rootOfTile = (_: unknown, i: number) =>
        rootOf(hashes((begin + i) * tileWidth, (begin + i + 1) * tileWidth).reduce(grow, emptyFrontier))
      return new Uint8Array(Buffer.concat(Array.from({ length: width }, rootOfTile)))
    }
    throw new Error('no test has so many entries')
  }
}
