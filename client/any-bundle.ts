import { type Judged, judged, type Steps } from '#client/steps.js'
import { bundleSteps, readBundle, type VerifiedBundle, verifyBundle } from '#client/verify-bundle.js'
import { kbsBundleSteps, readKbsBundle, type VerifiedKbsBundle, verifyKbsBundle } from '#client/verify-kbs-bundle.js'
import {
  proposalBundleSteps,
  readProposalBundle,
  type VerifiedProposalBundle,
  verifyProposalBundle,
} from '#client/verify-proposal-bundle.js'
import {
  readStateBundle,
  stateBundleSteps,
  type VerifiedStateBundle,
  verifyStateBundle,
} from '#client/verify-state-bundle.js'
import type { Json } from '#core/encoding/json.js'
import type { Trust } from '#core/wire/trust-file.js'
import { type Borders, noBorders } from '#policies/location/borders.js'

export { atlasOf } from '#policies/location/borders.js'

/** A bundle that was judged good, of whichever kind its `type` says. */
export type VerifiedAnyBundle =
  | ({ readonly kind: 'decision' } & VerifiedBundle)
  | ({ readonly kind: 'state' } & VerifiedStateBundle)
  | ({ readonly kind: 'proposal' } & VerifiedProposalBundle)
  | ({ readonly kind: 'kbs' } & VerifiedKbsBundle)

interface Kind {
  readonly plan: readonly (readonly [string, string])[]
  /** what the file alone shows */
  read(file: Json, steps: Steps): Promise<unknown>
  verify(file: Json, trust: Trust, steps: Steps, borders: Borders): Promise<VerifiedAnyBundle>
}

const decision: Kind = {
  plan: bundleSteps,
  read: readBundle,
  verify: async (...given) => ({ kind: 'decision', ...(await verifyBundle(...given)) }),
}
const kinds: ReadonlyMap<unknown, Kind> = new Map([
  ['claviger/bundle/v1', decision],
  [
    'claviger/state-bundle/v1',
    {
      plan: stateBundleSteps,
      read: readStateBundle,
      verify: async (file, trust, steps) => ({ kind: 'state', ...(await verifyStateBundle(file, trust, steps)) }),
    },
  ],
  [
    'claviger/proposal-bundle/v1',
    {
      plan: proposalBundleSteps,
      read: readProposalBundle,
      verify: async (file, trust, steps) => ({ kind: 'proposal', ...(await verifyProposalBundle(file, trust, steps)) }),
    },
  ],
  [
    'claviger/kbs-bundle/v1',
    {
      plan: kbsBundleSteps,
      read: readKbsBundle,
      verify: async (file, trust, steps) => ({ kind: 'kbs', ...(await verifyKbsBundle(file, trust, steps)) }),
    },
  ],
])

/** Whether a document's `type` is that of a bundle. */
export function isBundleType(type: string): boolean {
  return kinds.has(type)
}

/** Of a document that is no bundle, the form of a decision is what fails. */
function kindOf(file: Json): Kind {
  return kinds.get((file as { readonly type?: unknown } | null)?.type) ?? decision
}

/**
 * What a bundle shows without anybody's anchors: its form, and that its parts belong together. `ok` is no verdict: who made
 * it can have made all of it (I19), and the steps that need a trust file stay `not checked`.
 */
export function checkBundle(file: Json): Promise<Judged<unknown>> {
  const { plan, read } = kindOf(file)
  return judged(plan, (steps) => read(file, steps))
}

/**
 * The verdict on a bundle of any kind, by the reader's own anchors.
 *
 * borders  the map, for decisions that rest on round trips of landmarks (`atlasOf`): without it those are not made again
 */
export function judgeBundle(
  file: Json,
  trust: Trust,
  borders: Borders = noBorders,
): Promise<Judged<VerifiedAnyBundle>> {
  const { plan, verify } = kindOf(file)
  return judged(plan, (steps) => verify(file, trust, steps, borders))
}
