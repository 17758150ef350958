import type { UnixSeconds } from '#core/time.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { presentationNonce } from '#core/wire/sources.js'
import { type EstablishedFacts, establish } from '#policies/credentials/establish.js'
import type { Borders } from '#policies/location/borders.js'
import type { Appraised, AppraisedNode } from '#policies/release/appraised.js'
import type { VerifiedStatements } from '#policies/release/statements.js'

/**
 * What others signed about this node, as far as its owner believes them; null where the owner never said whom. A presentation
 * counts for this request alone: it answers a digest of all that the evidence binds.
 */
export function establishedFor(
  { sources }: VerifiedStatements,
  { binding, presented, keyset, lease }: Pick<ReleaseRequest, 'binding' | 'presented' | 'keyset' | 'lease'>,
  result: AppraisedNode<Appraised>,
  declared: { readonly country: string } | null,
  at: UnixSeconds,
  borders: Borders,
): Promise<EstablishedFacts> | null {
  if (sources === null) return null
  const { platformId } = result.subject.machine
  const { model } = binding
  const bound = {
    model,
    audience: binding.audience,
    nonce: presentationNonce(binding),
    timeable: {
      landmarkKey: keyset.landmark,
      keysetDigest: binding.keyset_digest,
      challenge: binding.nonce,
      lease,
    },
  }
  return establish({ sources: sources.value, presented, ...bound, platformId, declared, at, borders })
}
