import { fromBase64Url } from '#core/bytes/bytes.js'
import type { Connection } from '#host/database.js'
import { bytesOf, type NamedStatement, namedRows } from '#host/named.js'
import { readShare } from '#keybroker/model-key.js'
import type { StatementRow } from '#keybroker/store/tenants.js'
import type { StateMark, StoredModelKey, StoredStanding, StoredTenant } from '#keybroker/stored.js'

/** The parts of a standing as rows of one form: `facts` is a JSON array, in the order in which `readPart` takes it apart. */
const standingText = (lock: '' | 'for share') => `
  with tenant as materialized (select id, class, owner_keys_digest from keybroker.tenants where id = $1 ${lock})
  select 'tenant' as part, json_build_array(t.class, t.owner_keys_digest, p.opening)::text as facts,
      null::bytea as body, null::bytea as other
    from tenant t join keybroker.pseudonyms p on p.tenant = t.id
  union all
  select 'mark', json_build_array(max(entry_index), count(*), count(*) filter (where entry_index is null),
      (select count(*) from keybroker.statements s join keybroker.entries e on e.id = s.entry and e.is_state
        where s.tenant = $1 and e.tenant = $1)
      + (select count(*) from keybroker.proposals p
        join keybroker.entries e on (e.id = p.entry or e.id = p.cancelled_entry) and e.is_state
        where p.tenant = $1 and e.tenant = $1))::text, null, null
    from keybroker.entries where tenant = $1 and is_state
  union all
  (select distinct on (kind, model) 'statement',
      json_build_array(kind, model, sequence, digest, predecessor, entry, recorded_at)::text, envelope, accepted
    from keybroker.statements where tenant = $1 and model in ('', $2)
    order by kind, model, sequence desc)
  union all
  select 'key', json_build_array(manifest_digest, trust_digest, key_id)::text, wrapped, share
    from keybroker.model_keys where tenant = $1 and model = $2 and version = $3`

const read: NamedStatement = { name: 'standing', text: standingText('') }
const hold: NamedStatement = { name: 'standing_held', text: standingText('for share') }

/** A standing whose statements are not read yet. */
export type StandingRows = Omit<StoredStanding, 'statements'> & { readonly statements: readonly StatementRow[] }

/**
 * What an owner decided about a model, of one moment, since it is one statement: the tenant, the newest statement of each kind, the
 * mark of its public changes and the key of a version.
 *
 * held  nobody changes what the tenant decided until the transaction ends
 */
export async function loadStanding(
  db: Connection,
  of: { readonly tenant: string; readonly model: string; readonly version: number | null },
  held: boolean,
): Promise<StandingRows> {
  const rows = await namedRows(db, held ? hold : read, [of.tenant, of.model, of.version])
  let tenant: StoredTenant | null = null
  let mark: StateMark = { index: null, pending: false, entries: 0, statements: 0 }
  let key: StoredModelKey | null = null
  const statements: StatementRow[] = []
  for (const { part, facts: text, body, other } of rows) {
    const facts = JSON.parse(String(text)) as readonly unknown[]
    if (part === 'tenant') tenant = toTenant(of.tenant, facts)
    else if (part === 'mark') mark = toMark(facts)
    else if (part === 'key') key = toKey({ ...of, version: of.version ?? 0 }, facts, body, other)
    else statements.push(toRow(of.tenant, facts, body, other))
  }
  return { tenant, mark, key, statements }
}

function toTenant(id: string, [tenantClass, ownerKeysDigest, opening]: readonly unknown[]): StoredTenant {
  fromBase64Url(String(opening), 32)
  return {
    id,
    class: tenantClass === 'production' ? 'production' : 'development',
    ownerKeysDigest: String(ownerKeysDigest),
    opening: String(opening),
  }
}

function toMark([index, entries, pending, statements]: readonly unknown[]): StateMark {
  return {
    index: index === null ? null : Number(index),
    pending: Number(pending) > 0,
    entries: Number(entries),
    statements: Number(statements),
  }
}

function toKey(
  of: Pick<StoredModelKey, 'tenant' | 'model' | 'version'>,
  [manifestDigest, trustDigest, keyId]: readonly unknown[],
  wrapped: unknown,
  share: unknown,
): StoredModelKey {
  return {
    tenant: of.tenant,
    model: of.model,
    version: of.version,
    manifestDigest: String(manifestDigest),
    trustDigest: String(trustDigest),
    keyId: String(keyId),
    wrapped: bytesOf(wrapped),
    share: readShare(share === null ? null : bytesOf(share)),
  }
}

function toRow(tenant: string, facts: readonly unknown[], envelope: unknown, accepted: unknown): StatementRow {
  const [kind, model, sequence, digest, predecessor, entry, recordedAt] = facts
  const textOrNull = (value: unknown) => (value === null ? null : String(value))
  return {
    tenant,
    kind: String(kind),
    model: String(model),
    sequence: Number(sequence),
    digest: String(digest),
    predecessor: textOrNull(predecessor),
    envelope: bytesOf(envelope),
    entry: textOrNull(entry),
    recordedAt: Number(recordedAt),
    accepted: accepted === null ? null : bytesOf(accepted),
  }
}
