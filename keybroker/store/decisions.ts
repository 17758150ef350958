import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Connection } from '#host/database.js'
import { bytesOf, type NamedStatement, namedRows } from '#host/named.js'
import type { StoreCode } from '#keybroker/store/open.js'
import type { DecisionWrites, PlacesWanted, StoredLease, StoredPlaces } from '#keybroker/stored.js'

/** The parts of `StoredPlaces` as rows of one form: `facts` is a JSON array. */
const placesStatement: NamedStatement = {
  name: 'places',
  text: `
  with granted as materialized
    (select id, digest, lease from keybroker.requests where tenant = $1 and id = any($4::text[]))
  select 'live' as part, json_build_array(count(*))::text as facts, null::bytea as body
    from keybroker.leases where tenant = $1 and model = $2 and ended_at is null and expires_at > $3
  union all
  select 'granted', json_build_array(id, digest, lease)::text, null from granted
  union all
  select 'lease', json_build_array(id, tenant, model, version, platform, keyset_digest, entry, granted_at, expires_at, ended_at,
      (select count(*) from keybroker.leases b where b.tenant = $1 and b.model = $2 and b.ended_at is null
        and b.expires_at > $3 and (b.granted_at, b.id) < (l.granted_at, l.id)))::text, terms
    from keybroker.leases l where id = any($5::text[]) or id in (select lease from granted)
  union all
  select 'device', json_build_array(d.lease, d.device)::text, null
    from keybroker.lease_devices d join keybroker.leases l on l.id = d.lease
    where d.device = any($6::text[]) and l.ended_at is null and l.expires_at > $3
  union all
  select 'account', json_build_array(
      (select id from keybroker.entries where account = $7 order by position desc limit 1))::text,
      (select state from keybroker.accounts where id = $7)
    where $7::text is not null
  union all
  select 'contradicted', json_build_array(platform, seen_at)::text, null
    from keybroker.contradictions where tenant = $1 and platform = any($8::text[])`,
}

/** What places for requests are found by, of one moment, since it is one statement. */
export async function loadPlaces(db: Connection, wanted: PlacesWanted): Promise<StoredPlaces> {
  const { tenant, model, at, requests, leases, devices, platforms, account } = wanted
  const rows = await namedRows(db, placesStatement, [
    ...[tenant, model, at, requests, leases, devices, account],
    platforms,
  ])
  const places = {
    live: 0,
    granted: new Map<string, { readonly digest: string; readonly lease: string | null }>(),
    leases: new Map<string, StoredLease & { readonly before: number }>(),
    devices: [] as { readonly lease: string; readonly device: string }[],
    contradicted: new Map<string, UnixSeconds>(),
    account: { state: null as Uint8Array | null, entry: null as string | null },
  }
  const textOrNull = (value: unknown) => (value === null ? null : String(value))
  for (const { part, facts: text, body } of rows) {
    const facts = JSON.parse(String(text)) as readonly unknown[]
    if (part === 'live') places.live = Number(facts[0])
    else if (part === 'granted')
      places.granted.set(String(facts[0]), { digest: String(facts[1]), lease: textOrNull(facts[2]) })
    else if (part === 'lease') places.leases.set(String(facts[0]), toLease(facts, body))
    else if (part === 'device') places.devices.push({ lease: String(facts[0]), device: String(facts[1]) })
    else if (part === 'contradicted') places.contradicted.set(String(facts[0]), Number(facts[1]))
    else places.account = { state: body === null ? null : bytesOf(body), entry: textOrNull(facts[0]) }
  }
  return places
}

function toLease(facts: readonly unknown[], terms: unknown): StoredLease & { readonly before: number } {
  const [id, tenant, model, version, platform, keysetDigest, entry, grantedAt, expiresAt, endedAt, before] = facts
  return {
    id: String(id),
    tenant: String(tenant),
    model: String(model),
    version: Number(version),
    platform: String(platform),
    keysetDigest: String(keysetDigest),
    entry: String(entry),
    grantedAt: Number(grantedAt),
    expiresAt: Number(expiresAt),
    endedAt: endedAt === null ? null : Number(endedAt),
    terms: bytesOf(terms),
    before: Number(before),
  }
}

/**
 * One statement: what its parts refer to in each other is compared when all of it is written. Devices that a lease keeps are left
 * where they are, since the order of the parts is not ours.
 */
const writesStatement: NamedStatement = {
  name: 'decisions',
  text: `
  with logged as (
    insert into keybroker.entries (id, tenant, kind, is_state, leaf, bundle, recorded_at, account)
    select id, tenant, kind, false, leaf, bundle, recorded_at, account
      from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[], $7::text[])
        with ordinality as new (id, tenant, kind, leaf, bundle, recorded_at, account, place)
      order by place),
  granted as (
    insert into keybroker.leases (id, tenant, model, version, platform, keyset_digest, entry, granted_at, expires_at, terms)
    select * from unnest($8::text[], $9::text[], $10::text[], $11::integer[], $12::text[], $13::text[], $14::text[],
      $15::bigint[], $16::bigint[], $17::bytea[])),
  renewed as (
    update keybroker.leases l set entry = new.entry, expires_at = new.expires_at, terms = new.terms, keyset_digest = new.keyset_digest
      from unnest($18::text[], $19::text[], $20::bigint[], $21::bytea[], $22::text[]) as new (id, entry, expires_at, terms, keyset_digest)
      where l.id = new.id and l.ended_at is null and l.expires_at > $23
      returning l.id),
  gone as (
    delete from keybroker.lease_devices d where d.lease = any($18::text[])
      and not exists (select 1 from unnest($24::text[], $25::text[]) as kept (lease, device)
        where kept.lease = d.lease and kept.device = d.device)),
  placed as (
    insert into keybroker.lease_devices (lease, device) select * from unnest($24::text[], $25::text[]) on conflict do nothing),
  known as (
    insert into keybroker.requests (tenant, id, digest, lease, entry, decided_at)
    select * from unnest($26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::bigint[]) on conflict do nothing),
  counted as (
    insert into keybroker.accounts (id, state) select $32::text, $33::bytea where $32::text is not null
      on conflict (id) do update set state = excluded.state),
  contradicted as (
    insert into keybroker.contradictions (tenant, platform, seen_at, because, entry)
    select * from unnest($34::text[], $35::text[], $36::bigint[], $37::text[], $38::text[])
      on conflict (tenant, platform) do update
        set seen_at = excluded.seen_at, because = excluded.because, entry = excluded.entry
        where excluded.seen_at > contradictions.seen_at)
  select count(*) as renewed from renewed`,
}

/**
 * Decisions are stored with all that follows from them. Call it in the transaction in which they were made.
 *
 * at      a lease that ended or expired by then is not renewed
 * throws  store/lease-unknown
 */
export async function storeDecisions(db: Connection, writes: DecisionWrites, at: UnixSeconds): Promise<void> {
  const { entries, granted, renewed, requests, account, contradictions } = writes
  const devices = writes.devices.flatMap(({ lease, devices: some }) => some.map((device) => ({ lease, device })))
  const [row] = await namedRows(db, writesStatement, [
    entries.map((one) => one.id),
    entries.map((one) => one.tenant),
    entries.map((one) => one.kind),
    entries.map((one) => one.leaf),
    entries.map((one) => one.bundle),
    entries.map((one) => one.recordedAt),
    entries.map((one) => one.account),
    granted.map((one) => one.id),
    granted.map((one) => one.tenant),
    granted.map((one) => one.model),
    granted.map((one) => one.version),
    granted.map((one) => one.platform),
    granted.map((one) => one.keysetDigest),
    granted.map((one) => one.entry),
    granted.map((one) => one.grantedAt),
    granted.map((one) => one.expiresAt),
    granted.map((one) => one.terms),
    renewed.map((one) => one.id),
    renewed.map((one) => one.entry),
    renewed.map((one) => one.expiresAt),
    renewed.map((one) => one.terms),
    renewed.map((one) => one.keysetDigest),
    at,
    devices.map((one) => one.lease),
    devices.map((one) => one.device),
    requests.map((one) => one.tenant),
    requests.map((one) => one.id),
    requests.map((one) => one.digest),
    requests.map((one) => one.lease),
    requests.map((one) => one.entry),
    requests.map((one) => one.decidedAt),
    account?.id ?? null,
    account?.state ?? null,
    contradictions.map((one) => one.tenant),
    contradictions.map((one) => one.platform),
    contradictions.map((one) => one.seenAt),
    contradictions.map((one) => one.because),
    contradictions.map((one) => one.entry),
  ])
  if (Number(row?.renewed) !== renewed.length)
    throw new Failure<StoreCode>('store/lease-unknown', 'a lease that is renewed is not live')
}
