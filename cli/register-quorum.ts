import { fetchFor } from '#cli/connection-options.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { pinnedBroker } from '#cli/owner.js'
import { OwnerClient, queryFrom } from '#cli/owner-client.js'
import { standingWords, verifyForKey, wrappingKeyOf } from '#cli/register-broker.js'
import {
  composeAll,
  keyExchangeOf,
  type RegisterArguments,
  type RegisterCode,
  readSealed,
  type Sealed,
} from '#cli/register-statements.js'
import { ensureTenant } from '#cli/register-tenant.js'
import { loadTrust } from '#cli/trust-store.js'
import { loadModelKey, loadOwnerKeys, loadShares, storeModelKey, storeShares } from '#convert/keys/owner-keys.js'
import { type Holder, recordAt, replaceManifest, signQuorum, splitKey } from '#convert/seal/split.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { manifestDigest, modelName } from '#core/sealed/manifest.js'
import { grantableLimit, shareRecordSize } from '#core/sealed/quorum.js'
import { verifyManifest } from '#core/sealed/signature.js'
import type { BrokerDocument, RegisterRequest } from '#core/wire/broker-document.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { Accepted } from '#core/wire/owner-query.js'
import { apiVersion, registerShareInfo } from '#core/wire/release.js'
import type { Trust } from '#core/wire/trust-file.js'

/** What of the arguments says who holds a key together. */
export interface QuorumArguments extends Omit<RegisterArguments, 'broker' | 'token'> {
  readonly brokers: readonly string[]
  readonly threshold: number
  readonly controllers?: readonly string[] | undefined
  /** one for each broker, or one for all */
  readonly token?: readonly string[] | undefined
}

/** A broker that is to hold a share. */
interface Member {
  readonly url: string
  readonly client: OwnerClient
  readonly document: BrokerDocument
  /** what its share is sealed to */
  readonly wrapping: ReturnType<typeof wrappingKeyOf>
  readonly standing: BrokerStanding
  readonly holder: Holder
}

/** What became of one broker. */
interface Outcome {
  readonly member: Member
  readonly accepted: Accepted['accepted'] | null
  readonly failure: Failure | null
}

const refuse = (message: string, hint: string) =>
  new Failure<RegisterCode>('register/quorum', message, { detail: { hint } })

/** What was typed can be meant. @throws register/quorum */
function verifyArguments({ brokers, threshold, controllers, token, delivery, ...args }: QuorumArguments): void {
  if (threshold > brokers.length)
    throw refuse(
      `a threshold of ${threshold} among ${brokers.length} brokers`,
      'name more brokers, or lower the threshold',
    )
  if (controllers !== undefined && controllers.length !== brokers.length)
    throw refuse(`${controllers.length} controllers for ${brokers.length} brokers`, 'one for each, in the same order')
  if (controllers === undefined && args.class === 'production')
    throw refuse(
      'nobody said who controls the brokers, and brokers of one company count once',
      'add --controllers NAME,NAME,…: one for each broker, in the same order',
    )
  if (token !== undefined && token.length > 1 && token.length !== brokers.length)
    throw refuse(`${token.length} token files for ${brokers.length} brokers`, 'one for each, in the same order')
  if (delivery?.some((route) => route !== 'v1'))
    throw refuse('a share of a split key leaves by /v1 alone', 'leave out --delivery')
  const shares = Array.from({ length: brokers.length }, () => ({
    broker: '',
    name: '',
    controller: null,
    commitment: '',
  }))
  const limits = { nodes: args.nodes, requests: args.leaseRequests, bytes: args.leaseBytes, units: args.leaseUnits }
  for (const [name, limit] of Object.entries(limits)) {
    if (grantableLimit(limit, { threshold, shares }) > 0) continue
    const least = Math.ceil(brokers.length / threshold)
    throw refuse(`${limit} ${name} cannot be shared out among ${brokers.length} brokers`, `allow ${least} at least`)
  }
}

async function openMember(args: QuorumArguments, at: number, trust: Trust, owner: SigningKey, io: Io): Promise<Member> {
  const url = args.brokers[at]!
  const client = new OwnerClient(url, await fetchFor(args))
  const pinned = await pinnedBroker(client, trust)
  const broker = thumbprint(pinned.key)
  const known = await client.heads(queryFrom(owner, broker, io.now()), owner)
  // A share opens nothing alone: a broker that proves nothing may hold one.
  const allowed = { ...args, dangerousAllowUnattestedBroker: true }
  const { document, standing } = await verifyForKey(allowed, client, pinned, trust, known, io)
  const { alias } = trust.brokers.find(({ key }) => thumbprint(key) === broker)!
  return {
    url,
    client,
    document,
    standing,
    wrapping: wrappingKeyOf(document, keyExchangeOf(args)),
    holder: { broker, name: alias, controller: args.controllers?.[at] ?? null },
  }
}

/** Those who are to hold a share; one that cannot be asked is none yet, and nothing has been signed. @throws owner/... */
async function openMembers(args: QuorumArguments, trust: Trust, owner: SigningKey, io: Io): Promise<readonly Member[]> {
  const members: Member[] = []
  for (const [at, url] of args.brokers.entries()) {
    const member = await openMember(args, at, trust, owner, io)
    const twin = members.find(
      ({ holder, document }) =>
        holder.broker === member.holder.broker ||
        document.wrapping.x === member.document.wrapping.x ||
        (document.wrappingHybrid !== undefined && document.wrappingHybrid.pub === member.document.wrappingHybrid?.pub),
    )
    if (twin) throw refuse(`${url} is the same broker as ${twin.url}`, 'name each broker once')
    io.stderr(`${member.holder.name} ${url}: ${standingWords(io, member.standing, member.document)}\n`)
    members.push(member)
  }
  return members
}

/** The folder as it is split now, and the records of its shares, for the caller to wipe. */
async function splitOnce(
  args: QuorumArguments,
  sealed: Sealed,
  members: readonly Member[],
  owner: SigningKey,
  io: Io,
): Promise<{ readonly sealed: Sealed; readonly records: Uint8Array }> {
  const { quorum } = sealed.manifest
  const holders = members.map(({ holder }) => holder)
  if (quorum !== undefined) {
    const before = quorum.shares.map(({ commitment: _, ...holder }) => holder)
    const same = (a: Holder, b: Holder | undefined) =>
      a.broker === b?.broker && (args.controllers === undefined || a.controller === b.controller)
    if (
      quorum.threshold !== args.threshold ||
      before.length !== holders.length ||
      !before.every((one, at) => same(one, holders[at]))
    )
      throw refuse(
        `the key is split already: ${quorum.threshold} of ${before.map(({ name }) => name).join(', ')}`,
        'another set of brokers is a new version: seal the model again',
      )
    return { sealed, records: await loadShares(args.keys, sealed.digest, shareRecordSize * before.length) }
  }
  const dek = await loadModelKey(args.keys, sealed.digest)
  try {
    const { quorum: made, records } = await splitKey(dek, sealed.manifest, holders, args.threshold)
    const signed = await signQuorum(sealed.manifest, sealed.signature, made, owner)
    const digest = manifestDigest(signed.manifest)
    if (args.dryRun !== true) {
      await storeShares(args.keys, digest, records) // before anybody can ask for what belongs to it
      await storeModelKey(args.keys, digest, dek)
      await replaceManifest(args.sealed, signed)
      io.stderr(`${args.sealed}: manifest.json and model.sig name the brokers now; nodes need both files\n`)
    }
    const manifest = await verifyManifest(signed.manifest, signed.signature, owner.publicKey)
    return { sealed: { manifest, bytes: signed.manifest, signature: signed.signature, digest }, records }
  } finally {
    wipe(dek)
  }
}

async function registerAt(
  args: QuorumArguments,
  member: Member,
  at: number,
  { sealed, records }: { readonly sealed: Sealed; readonly records: Uint8Array },
  owner: SigningKey,
  trust: Trust,
  io: Io,
): Promise<Accepted['accepted'] | null> {
  const { client } = member
  const own: RegisterArguments = { ...args, broker: member.url, token: args.token?.[args.token.length === 1 ? 0 : at] }
  const known = await client.heads(queryFrom(owner, member.holder.broker, io.now()), owner)
  const heads = await ensureTenant(own, client, owner, known, io)
  const composed = await composeAll(own, owner, sealed, trust, heads, io)
  const of = (kind: (typeof composed)[number]['kind']) => composed.find((one) => one.kind === kind)!.envelope
  const info = registerShareInfo(sealed.digest)
  const { key, wrappedTo } = member.wrapping
  const wrapped = await hpkeSeal(key, info, new Uint8Array(0), recordAt(records, at + 1))
  const request: RegisterRequest = {
    version: apiVersion,
    trust: of('trust'),
    registration: of('registration'),
    policy: of('policy'),
    referenceValues: of('reference-values'),
    manifest: toBase64(sealed.bytes),
    manifestSignature: toBase64(sealed.signature),
    wrapped: toBase64(wrapped),
    wrappedTo,
  }
  return args.dryRun === true ? null : (await client.registerModel(request)).accepted
}

/**
 * Registers a sealed model whose key several brokers hold together: splits it here, and gives each broker its own share and
 * statements. One that refuses does not keep the others from theirs; the same command takes it up again.
 */
export async function runQuorum(args: QuorumArguments, io: Io): Promise<number> {
  verifyArguments(args)
  const { trust } = await loadTrust(args.trust, io.now())
  const { signingKey: owner } = await loadOwnerKeys(args.keys)
  const before = await readSealed(args.sealed, owner)
  const members = await openMembers(args, trust, owner, io)
  if (args.controllers === undefined)
    io.stderr('who controls the brokers is not stated: brokers of one company would count as several\n')
  const split = await splitOnce(args, before, members, owner, io)
  const outcomes: Outcome[] = []
  try {
    for (const [at, member] of members.entries()) {
      try {
        outcomes.push({ member, accepted: await registerAt(args, member, at, split, owner, trust, io), failure: null })
      } catch (failure) {
        if (!isFailure(failure)) throw failure
        outcomes.push({ member, accepted: null, failure })
      }
    }
  } finally {
    wipe(split.records)
  }
  report(args, split.sealed, outcomes, io)
  return outcomes.every(({ failure }) => failure === null) ? exitCodes.ok : exitCodes.failure
}

function report(args: QuorumArguments, sealed: Sealed, outcomes: readonly Outcome[], io: Io): void {
  const { id, version } = sealed.manifest.model
  const failed = outcomes.filter(({ failure }) => failure !== null)
  const count = outcomes.length - failed.length
  if (args.json) {
    const brokers = outcomes.map(({ member: { url, holder }, accepted, failure }, at) => ({
      ...holder,
      url,
      index: at + 1,
      accepted,
      failure: failure && { code: failure.detail?.code ?? failure.code, message: failure.message },
    }))
    const summary = { model: id, version, manifestDigest: sealed.digest, dryRun: args.dryRun === true }
    io.stdout(`${JSON.stringify({ ...summary, threshold: args.threshold, registered: count, brokers }, null, 2)}\n`)
    return
  }
  const said = args.dryRun ? 'would register' : 'registered'
  io.stdout(
    `${said} ${modelName(sealed.manifest)} version ${version} at ${count} of ${outcomes.length} brokers, any ${args.threshold} of which release it\n`,
  )
  // A dry run splits for itself alone: what it would sign is not what will be signed.
  io.stdout(`  model ${id}\n${args.dryRun ? '' : `  manifest sha256 ${sealed.digest}\n`}`)
  for (const { member, accepted, failure } of outcomes) {
    const entry = accepted?.find((one) => one.kind === 'registration')?.entry
    const place = entry === undefined ? '' : `, log entry #${entry}`
    const { name, controller } = member.holder
    const outcome =
      failure === null ? `share ${said}${place}` : paint(io, 'red', `FAILED: ${printable(failure.message)}`)
    io.stdout(`  ${name} (${controller ?? 'controller not stated'}): ${outcome}\n`)
  }
  if (failed.length === 0) return
  const works =
    count >= args.threshold ? 'nodes can be started already' : `no node gets the key before ${args.threshold} have it`
  io.stderr(`hint: the same command goes on where this one ended; ${works}\n`)
}
