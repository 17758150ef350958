import type { Backoff } from '#attest/collateral/backoff.js'
import { laneOf } from '#attest/collateral/fetch/sources.js'
import type { Held } from '#attest/collateral/held.js'
import type { VerifiedItem } from '#attest/endorsements/item.js'
import type { UnixSeconds } from '#core/time.js'

/** `held-through-outage`: in its time, while its source or its renewal fails. */
export type ItemState = 'current' | 'held-through-outage' | 'expired'

export interface CollateralStatus {
  readonly at: UnixSeconds
  readonly fetching: boolean
  readonly items: readonly {
    readonly name: string
    readonly root: string
    readonly platform: 'hardware' | 'simulated'
    readonly state: ItemState
    readonly issuedAt: UnixSeconds
    readonly validUntil: UnixSeconds
    readonly edition: string | null
    /** an answer that says that its certificate is revoked: it counts after its time too */
    readonly revoked: boolean
    readonly receivedAt: UnixSeconds
    /** why it could not be renewed */
    readonly failure: string | null
  }[]
  readonly sources: readonly {
    readonly name: string
    readonly state: 'ok' | 'failing'
    readonly failures: number
    readonly failure: { readonly code: string; readonly message: string } | null
    readonly lastSuccess: UnixSeconds | null
    readonly lastFailure: UnixSeconds | null
    readonly nextTry: UnixSeconds | null
  }[]
}

interface Parts {
  readonly held: Held
  /** by lane, and by name of a document */
  readonly sources: Backoff
  readonly documents: Backoff
}

function stateOf({ sources, documents }: Parts, item: VerifiedItem, at: UnixSeconds): ItemState {
  if (item.validUntil < at) return 'expired'
  const trouble = documents.of(item.label).failures + sources.of(laneOf[item.name.kind]).failures
  return trouble > 0 ? 'held-through-outage' : 'current'
}

/** What a store holds and how its sources do, for people and for machines. Nothing is left out because it is well. */
export function statusOf(
  parts: Parts,
  { fetching, at, nowMs }: { readonly fetching: boolean; readonly at: UnixSeconds; readonly nowMs: number },
): CollateralStatus {
  const timeOf = (ms: number) => (ms === 0 ? null : at - Math.round((nowMs - ms) / 1000))
  const items = parts.held.all().map(({ item, receivedAt }) => ({
    name: item.label,
    root: item.root,
    platform: item.platform,
    state: stateOf(parts, item, at),
    issuedAt: item.issuedAt,
    validUntil: item.validUntil,
    edition: item.edition === null ? null : item.edition.toString(),
    revoked: item.revoked,
    receivedAt,
    failure: parts.documents.of(item.label).failure?.code ?? null,
  }))
  const sources = [...parts.sources.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, health]) => ({
      name,
      state: health.failures === 0 ? ('ok' as const) : ('failing' as const),
      failures: health.failures,
      failure: health.failure,
      lastSuccess: timeOf(health.succeededAtMs),
      lastFailure: timeOf(health.failedAtMs),
      nextTry: health.failures === 0 ? null : timeOf(health.nextTryAtMs),
    }))
  return { at, fetching, items, sources }
}
