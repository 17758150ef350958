import type { ReportedDocument, ReportedSources } from '#client/report/model.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { verifyDirectory } from '#policies/credentials/directory.js'
import { verifySources } from '#policies/credentials/sources.js'
import type { Registry } from '#policies/registry/document.js'
import { type KeptHeader, keepersOf, type VerifiedKept } from '#policies/registry/keepers.js'
import { type Belonging, jurisdictionsOf, type PlaceAsked } from '#policies/registry/resolve.js'
import { verifyRegistry } from '#policies/registry/signed.js'

/**
 * Whom an owner believes, and whether the reader's own trust file names the keepers that signed it.
 *
 * places  countries and areas that decisions were about
 * throws  what verifySources throws
 */
export async function reportSources(
  signed: Signed<Statement<'sources'>>,
  trust: Trust,
  places: readonly string[],
  at: UnixSeconds,
): Promise<ReportedSources> {
  const { registry: law, directory: who, sequence, issuedAt, inside } = signed.value
  const { registry, directory } = await verifySources(signed.value, null)
  return {
    sequence,
    signedAt: issuedAt,
    inside,
    registry: shown(registry, await refusalOf(() => verifyRegistry(law.document, keepersOf(trust.registries), null))),
    directory: shown(directory, await refusalOf(() => verifyDirectory(who.document, keepersOf(trust.issuers), null))),
    issuers: directory.document.issuers.map(({ id, title, controlledBy, roles }) => ({
      id,
      title,
      controlledBy: controlledBy ?? null,
      kinds: [...new Set(roles.map(({ kind }) => kind))].sort(),
    })),
    belongings: belongingsOf(registry.document, places, at),
  }
}

/** Each row once. A place that the registry does not know, or that is disputed, belongs to nothing by it. */
function belongingsOf(registry: Registry, places: readonly string[], at: UnixSeconds): ReportedSources['belongings'] {
  const shown = registry.conditions.map(({ name }) => name)
  const rows = new Map<string, Belonging>()
  for (const code of [...new Set(places)].sort())
    for (const row of becauseOf(registry, { code, exclave: false, at, shown })) rows.set(JSON.stringify(row), row)
  return [...rows.values()]
}

function becauseOf(registry: Registry, asked: PlaceAsked): readonly Belonging[] {
  try {
    return jurisdictionsOf(registry, asked).because
  } catch (error) {
    if (!isFailure(error)) throw error
    return []
  }
}

async function refusalOf(verify: () => Promise<unknown>): Promise<string | null> {
  try {
    await verify()
    return null
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

function shown({ document, digest }: VerifiedKept<KeptHeader>, refused: string | null): ReportedDocument {
  const { name, version, issuedAt, validUntil } = document
  return { name, version, issuedAt, validUntil, digest, refused }
}
