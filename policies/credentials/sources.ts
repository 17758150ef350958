import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Statement } from '#core/wire/statements.js'
import { type IssuerDirectory, verifyDirectory } from '#policies/credentials/directory.js'
import { platformName } from '#policies/credentials/platform.js'
import { type Landmarks, verifyLandmarks } from '#policies/location/landmarks.js'
import type { Registry } from '#policies/registry/document.js'
import { type VerifiedKept, verifyFollows } from '#policies/registry/keepers.js'
import { verifyRegistry } from '#policies/registry/signed.js'

/** Failures of an owner's word on whom it believes. */
export type SourcesCode =
  /** control would be seen from a group that the registry does not have */
  'sources/inside'

type Sources = Pick<Statement<'sources'>, 'registry' | 'directory' | 'landmarks' | 'inside'>

/** Whom an owner believes about places and companies, and what they say. */
export interface VerifiedSources {
  readonly registry: VerifiedKept<Registry>
  readonly directory: VerifiedKept<IssuerDirectory>
  /** null where the owner named nobody who times nodes */
  readonly landmarks: VerifiedKept<Landmarks> | null
}

/**
 * Registry, directory and landmarks as their keepers signed them, in their time.
 *
 * trusts  that the statement was verified with its owner's key
 * at      null: whatever their time, for who compares two
 * throws  registry/..., directory/row, landmarks/row, sources/inside, dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifySources(
  { registry: law, directory: issuers, landmarks: timing, inside }: Sources,
  at: UnixSeconds | null,
): Promise<VerifiedSources> {
  const registry = await verifyRegistry(law.document, { keys: law.keepers, threshold: law.threshold }, at)
  const directory = await verifyDirectory(issuers.document, { keys: issuers.keepers, threshold: issuers.threshold }, at)
  const landmarks =
    timing === undefined
      ? null
      : await verifyLandmarks(timing.document, { keys: timing.keepers, threshold: timing.threshold }, at)
  if (!registry.document.groups.some(({ code }) => code === inside))
    throw new Failure<SourcesCode>('sources/inside', `the registry has no group ${inside}`)
  return { registry, directory, landmarks }
}

/**
 * That what an owner says next is no older than what it said: of the same line of versions, a document follows the one
 * before. Another line is the owner's to choose.
 *
 * throws  registry/rollback
 */
export function verifySourcesFollow(next: VerifiedSources, before: VerifiedSources): void {
  for (const name of ['registry', 'directory', 'landmarks'] as const) {
    const [now, then] = [next[name], before[name]]
    if (now !== null && then !== null && now.document.name === then.document.name) verifyFollows(now, then)
  }
}

/** Before when contradictions of a platform's place were looked into by its owner; null for never. */
export function clearedBefore(
  { cleared, placementSalt }: Pick<Statement<'sources'>, 'cleared' | 'placementSalt'>,
  platformId: string,
): UnixSeconds | null {
  const platform = platformName(platformId, placementSalt)
  const times = (cleared ?? []).filter((one) => one.platform === platform).map(({ before }) => before)
  return times.length === 0 ? null : Math.max(...times)
}
