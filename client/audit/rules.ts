import type { AuditCode, Finding, FindingCode } from '#client/audit/findings.js'
import {
  type AuditState,
  type AuditStateCode,
  auditLimits,
  keepSaid,
  keyOf,
  lose,
  newOwner,
  type OwnerState,
  type Said,
} from '#client/audit/state.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type DenialEntry,
  type Entry,
  parseEntry,
  type ReleaseEntry,
  type RollbackEntry,
  type StateEntry,
  type UsageEntry,
} from '#core/wire/entries.js'
import { alarmsIn } from '#policies/release/alarms.js'

/** Whose entries the reader can tell from others', and what it allowed. */
export interface Own {
  /** pseudonyms: the commitment to the reader's tenant id, as all of its entries have it */
  readonly tenants: ReadonlySet<string>
  /** digests of the policies that the reader signed; null where it named none */
  readonly policies: ReadonlySet<string> | null
}
export const nobody: Own = { tenants: new Set(), policies: null }

/** Restored databases of one log that are looked at. */
const rollbacksMax = 1000
/** How long the lease of a node that said no last word is remembered behind its end, in seconds. */
const leaseMemorySeconds = 30 * 86_400

/**
 * Judges the entries of a log one after the other by what stands before them. What no honest broker writes is a finding that convicts;
 * the state is as it is behind the entry, whatever was found.
 *
 * source  docs/spec/audit.md, "Rules"
 */
export class Auditor {
  readonly #state: AuditState
  readonly #own: Own
  readonly #now: UnixSeconds
  #found: Finding[] = []
  #changes: number
  #rollbacks = 0

  constructor(state: AuditState, own: Own, now: UnixSeconds) {
    this.#state = state
    this.#own = own
    this.#now = now
    this.#changes = [...state.owners.values()].reduce((sum, { said }) => sum + said.length, 0)
  }

  /** @throws audit-state/limit */
  judge(index: number, leaf: Uint8Array): readonly Finding[] {
    this.#found = []
    let entry: Entry
    try {
      entry = parseEntry(leaf)
    } catch (error) {
      if (!isFailure(error)) throw error
      this.#say('audit/entry', index, `${error.message} (${error.code})`)
      return this.#found
    }
    if (entry.at > this.#now + clockSkewSeconds) this.#say('audit/time', index, `says that it was made at ${entry.at}`)
    this.#judge(index, entry)
    return this.#found
  }

  #say(code: FindingCode, index: number, message: string): void {
    this.#found.push({ code, index, message })
  }

  #judge(index: number, entry: Entry): void {
    switch (entry.kind) {
      case 'state':
        this.#stated(index, entry)
        break
      case 'release':
      case 'renewal':
        this.#decided(index, entry.tenant, entry.state_index)
        this.#nonce(index, entry.nonce_digest)
        this.#granted(index, entry)
        break
      case 'denial':
        this.#decided(index, entry.tenant, entry.state_index)
        this.#nonce(index, entry.nonce_digest)
        this.#denied(index, entry)
        break
      case 'kbs':
        if (entry.tenant !== null) this.#decided(index, entry.tenant, entry.state_index)
        break
      case 'usage':
        this.#used(index, entry)
        break
      case 'proposal':
        this.#ownerOf(index, entry.tenant).last = index
        break
      case 'rollback':
        this.#rolledBack(index, entry)
        break
      case 'kek-rotation':
        this.#say('notice/kek-rotation', index, `stored keys are wrapped by another key, held by ${entry.holder}`)
        break
      case 'kbs-policy':
        this.#say('notice/kbs-policy', index, `the operator set a ${entry.decides} policy of its KBS route`)
        break
      case 'refusals':
        break
    }
  }

  /** The owner of an entry; one that nobody has heard of is a finding, and known from then on. */
  #ownerOf(index: number, tenant: string): OwnerState {
    const known = this.#state.owners.get(tenant)
    if (known !== undefined) return known
    this.#say('audit/tenant', index, `owner ${short(tenant)} has no statement that makes it one`)
    return this.#newOwner(tenant)
  }

  #newOwner(tenant: string): OwnerState {
    const made = newOwner()
    this.#state.owners.set(tenant, made)
    this.#bound()
    return made
  }

  #bound(): void {
    if (++this.#changes > auditLimits.changes)
      throw new Failure<AuditStateCode>('audit-state/limit', `more than ${auditLimits.changes} owners and changes`)
  }

  #stated(index: number, entry: StateEntry): void {
    const isFirst = !this.#state.owners.has(entry.tenant)
    if (isFirst && entry.change === 'tenant' && entry.sequence === 1)
      this.#say('notice/tenant', index, `owner ${short(entry.tenant)} is new`)
    const owner =
      isFirst && entry.change === 'tenant' ? this.#newOwner(entry.tenant) : this.#ownerOf(index, entry.tenant)
    const change = `${entry.change}${entry.model === null ? '' : '*'}`
    const { sequence } = entry
    const again = owner.lost.findIndex((one) => one.change === change && one.sequence === sequence)
    const count = (wanted: number) => owner.counts.get(keyOf(change, wanted)) ?? 0
    // The log does not say which model a change is about: of all models together no more can be at a version than were at the one before.
    const follows = sequence === 1 ? change.endsWith('*') || count(1) === 0 : count(sequence) < count(sequence - 1)
    if (again >= 0) owner.lost.splice(again, 1)
    if (!follows && again < 0)
      this.#say('audit/sequence', index, `${entry.change} ${sequence} does not follow the one before`)
    owner.last = index
    keepSaid(owner, { index, change, sequence })
    this.#bound()
    if (this.#own.tenants.has(entry.tenant))
      this.#say('notice/change', index, `${entry.change} ${sequence} of yours took effect`)
  }

  #decided(index: number, tenant: string, stateIndex: number | null): void {
    const owner = this.#ownerOf(index, tenant)
    const { last } = owner
    if (last !== null && last !== stateIndex)
      this.#say('audit/state-index', index, `decided by the changes up to #${stateIndex}, the last one is #${last}`)
    if (owner.lostAll && owner.lost.length > 0)
      this.#say('audit/decided-behind', index, `${owner.lost.length} changes that were lost have not come again`)
  }

  #nonce(index: number, digest: string): void {
    const { nonces } = this.#state
    if (nonces.has(digest)) this.#say('audit/nonce-twice', index, 'its nonce was decided before')
    nonces.add(digest)
    if (nonces.size > auditLimits.nonces) for (const oldest of nonces) return void nonces.delete(oldest)
  }

  #granted(index: number, entry: ReleaseEntry): void {
    const { leases } = this.#state
    const known = leases.get(entry.lease_id)
    const { tenant, version, keyset_digest: keyset, lease_expires_at: expiresAt, lease_id: id } = entry
    const say = (code: AuditCode, message: string) => this.#say(code, index, `lease ${short(id)} ${message}`)
    if (expiresAt <= entry.at) say('audit/lease-over', 'ends before it begins')
    if (known === undefined) {
      if (entry.kind === 'renewal') say('audit/lease-unknown', 'is renewed, and was not released')
    } else {
      if (known.tenant !== tenant || known.keyset !== keyset) say('audit/lease-twice', 'is that of another node')
      // A request that is made again keeps the end that it was given first.
      if (entry.kind === 'release' && (known.version !== version || expiresAt > known.expiresAt))
        say('audit/lease-twice', 'was released before, to end sooner')
      if (known.over) say('audit/lease-over', 'goes on behind the last word of its node')
      else if (entry.at > known.expiresAt + clockSkewSeconds) say('audit/lease-over', 'goes on behind its end')
    }
    leases.set(id, { id, tenant, keyset, version, expiresAt, over: known?.over ?? false })
    this.#forget(entry.at)
    this.#mine(index, entry)
  }

  #mine(index: number, entry: ReleaseEntry): void {
    if (!this.#own.tenants.has(entry.tenant)) return
    const { nodes } = this.#ownerOf(index, entry.tenant)
    const { keyset_digest: keyset, policy_digest: policy } = entry
    if (!nodes.has(keyset)) this.#say('notice/new-node', index, `a new node has your key: keyset ${short(keyset)}`)
    nodes.add(keyset)
    if (this.#own.policies !== null && !this.#own.policies.has(policy))
      this.#say('notice/policy', index, `released by policy ${policy}, which is none that you named`)
    if (entry.platform === 'simulated')
      this.#say('notice/simulated', index, 'released to simulated evidence: NOT HARDWARE')
  }

  #denied(index: number, { tenant, reasons }: DenialEntry): void {
    for (const { reason, seen } of alarmsIn(reasons))
      this.#say('notice/alarm', index, `a node of owner ${short(tenant)} was denied by ${reason}: ${seen}`)
    if (this.#own.tenants.has(tenant))
      this.#say('notice/denial', index, `a node was denied your key by ${reasons.join(', ')}`)
  }

  #used(index: number, { tenant, lease_id: id }: UsageEntry): void {
    this.#ownerOf(index, tenant)
    const known = this.#state.leases.get(id)
    if (known === undefined || known.tenant !== tenant) {
      this.#say('audit/lease-unknown', index, `the last word on lease ${short(id)}, which was not released`)
      return
    }
    if (known.over) this.#say('audit/lease-over', index, `a second last word on lease ${short(id)}`)
    this.#state.leases.set(id, { ...known, over: true })
  }

  #rolledBack(index: number, entry: RollbackEntry): void {
    const { log_size: size, first_lost: first, lost, changes_lost: changes } = entry
    const what = `${lost} entries from #${first} on`
    if (size > index || first >= size || lost > size - first || changes > lost) {
      this.#say('audit/rollback', index, `${what} cannot be missing of ${size}`)
      return
    }
    // Each costs a look at all changes.
    if (++this.#rollbacks > rollbacksMax)
      throw new Failure<AuditStateCode>('audit-state/limit', `more than ${rollbacksMax} restored databases`)
    this.#say('notice/rollback', index, `an operator put back an older database: ${what} are missing in it`)
    const within = (one: Said) => one.index >= first && one.index < size
    const owners = [...this.#state.owners.values()]
    const missing = owners.reduce((sum, { said }) => sum + said.filter(within).length, 0)
    for (const owner of owners) lose(owner, within, missing === changes)
  }

  #forget(at: UnixSeconds): void {
    const { leases } = this.#state
    if (leases.size < auditLimits.leases || leases.size % 1000 !== 0) return
    for (const [id, { expiresAt, over }] of leases)
      if (expiresAt < at - (over ? clockSkewSeconds : leaseMemorySeconds)) leases.delete(id)
    if (leases.size >= 2 * auditLimits.leases)
      throw new Failure<AuditStateCode>('audit-state/limit', `more than ${2 * auditLimits.leases} leases at a time`)
  }
}

const short = (digest: string) => digest.slice(0, 12)
