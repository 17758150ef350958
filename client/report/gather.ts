import { judgeBundle, type VerifiedAnyBundle } from '#client/any-bundle.js'
import type { LogSource } from '#client/audit/follow.js'
import { type LogRange, readSince } from '#client/audit/range.js'
import { actOf, modelOfChange, reportChange } from '#client/report/changes.js'
import { type Decided, decisionIn, placesIn, tallyEvidence } from '#client/report/decisions.js'
import type { AtBroker, NotVerified, ReportedChange, ReportedPolicy } from '#client/report/model.js'
import { reportPolicy } from '#client/report/policies.js'
import { reportSources } from '#client/report/sources.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { Entry } from '#core/wire/entries.js'
import type { DecisionsAnswer } from '#core/wire/owner-query.js'
import type { Signed, Statement, StatementKind } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { policyDigest } from '#policies/index.js'

/** Failures of making a report. */
export type ReportCode =
  /** the model is not registered there, or has no policy: nothing of it is released */
  | 'report/model'
  /** nothing in the log that was read is of this owner */
  | 'report/unlogged'

/** A broker and its log, as an owner reads them. */
export interface ReportSource {
  readonly url: string
  /** thumbprint of its key */
  readonly key: string
  readonly standing: string
  readonly log: LogSource
  /** what was said last, verified with the owner's key; null when nothing */
  newest<K extends StatementKind>(kind: K, model: string | null): Promise<Signed<Statement<K>> | null>
  /** decisions about all models of the owner, the newest first: those before an entry, or the last; empty when there are no more */
  decisions(before: number | null): Promise<DecisionsAnswer['decisions']>
  /** null when the broker has none for the owner */
  bundle(entry: number): Promise<Json | null>
}

export interface GatherOptions {
  /** full id */
  readonly model: string
  /** both ends count */
  readonly since: UnixSeconds
  readonly until: UnixSeconds
  readonly at: UnixSeconds
  readonly trust: Trust
  /** decisions that are judged at most, the newest first */
  readonly last: number
  /** entries of the log that are read at most */
  readonly entriesMax: number
  readonly progress?: (what: string, done: number) => void
}

/** Bundles that are asked for, to find which of the log's entries are the owner's. */
const triesMax = 64
const decisionKinds: ReadonlySet<string> = new Set(['release', 'renewal', 'denial', 'kbs'])

/**
 * What a broker and its log have of a model in a period. Which entries are the owner's, the log says, of which nothing is left out; what
 * each of them is about, its bundle says, and each is judged by the reader's own trust file.
 *
 * throws  report/..., audit-range/..., tlog/..., policy/..., and what the source throws
 */
export async function gather(source: ReportSource, options: GatherOptions): Promise<AtBroker> {
  return new Gathering(source, options).run()
}

class Gathering {
  readonly #source: ReportSource
  readonly #options: GatherOptions
  readonly #judged = new Map<number, VerifiedAnyBundle | null>()
  readonly #notVerified: NotVerified[] = []
  #done = 0

  constructor(source: ReportSource, options: GatherOptions) {
    this.#source = source
    this.#options = options
  }

  async run(): Promise<AtBroker> {
    const { trust, model } = this.#options
    const tenant = await this.#said('tenant', null)
    const registration = (await this.#said('registration', model)).value
    const policy = await this.#said('policy', model)
    const sources = await this.#source.newest('sources', null)
    const named = await this.#named()
    const range = await this.#readLog(policy, named)
    const { decided, policies, others, unnamed, notLookedAt } = await this.#decisions(range, named)
    const { changes, effects } = await this.#changes(range, policy)
    const { url, key, standing } = this.#source
    const { version, versionFloor, manifestDigest, delivery } = registration
    const { tree, from, isWhole, unreadable } = range
    return {
      ...{ url, key, standing, version, versionFloor, manifestDigest, delivery },
      class: tenant.value.class,
      splitAmong: registration.quorum?.shares.map(({ name }) => name) ?? [],
      policies: policiesOf([policy, ...policies], decided, effects),
      sources: sources && (await reportSources(sources, trust, placesIn(decided), this.#options.at)),
      decisions: decided.map(({ reported }) => reported),
      evidence: tallyEvidence(decided),
      changes,
      acts: this.#within(range).flatMap(({ index, entry }) => {
        const says = actOf(entry)
        return says === null ? [] : [{ entry: index, at: entry.at, says }]
      }),
      notVerified: this.#notVerified.toSorted((a, b) => a.entry - b.entry),
      log: {
        origin: tree.origin,
        size: tree.treeSize,
        cosigners: tree.cosigners.map(({ name }) => name).sort(),
        ...{ from, isWhole, unreadable, others, unnamed, notLookedAt },
      },
    }
  }

  async #said<K extends StatementKind>(kind: K, model: string | null): Promise<Signed<Statement<K>>> {
    const found = await this.#source.newest(kind, model)
    if (found !== null) return found
    const what = model === null ? 'you' : model
    throw new Failure<ReportCode>('report/model', `the broker has no ${kind} statement of ${what}`, {
      detail: { hint: 'your models there are shown by: ./claviger tenant show' },
    })
  }

  /** What the broker names when it is asked: which entry is a decision about which model. */
  async #named(): Promise<ReadonlyMap<number, string>> {
    const { since, entriesMax } = this.#options
    const named = new Map<number, string>()
    for (let before: number | null = null; named.size < entriesMax; ) {
      const page: DecisionsAnswer['decisions'] = await this.#source.decisions(before)
      for (const { entry, model } of page) named.set(entry, model)
      this.#options.progress?.('decisions named', named.size)
      const oldest = page.at(-1)
      if (oldest === undefined || oldest.at < since - clockSkewSeconds || oldest.entry >= (before ?? Infinity)) break
      before = oldest.entry
    }
    return named
  }

  /** The log as far back as the period, or as the policy in force is old: only entries of the owner's, and of the operator's own. */
  async #readLog(policy: Signed<Statement<'policy'>>, named: ReadonlyMap<number, string>): Promise<LogRange> {
    const { model } = this.#options
    const ofModel = [...named].sort(([, a], [, b]) => Number(b === model) - Number(a === model))
    for (const [entry] of ofModel.slice(0, triesMax)) {
      const tenant = tenantIn((await this.#judge(entry)).found)
      if (tenant !== null) return this.#read(policy, (one) => isOwn(one, tenant))
    }
    const { sequence, issuedAt } = policy.value
    const isCandidate = (one: Entry) => one.kind === 'state' && one.change === 'policy' && one.sequence === sequence
    const { entries } = await this.#read(policy, isCandidate)
    const since = entries.filter(({ entry }) => entry.at >= issuedAt - clockSkewSeconds)
    for (const { index } of since.slice(0, triesMax)) {
      const { found } = await this.#judge(index)
      if (found?.kind !== 'state' || found.statement.digest !== policy.digest) continue
      const { tenant } = found.entry
      return this.#read(policy, (one) => isOwn(one, tenant))
    }
    throw new Failure<ReportCode>('report/unlogged', 'no entry of the log could be shown to be yours', {
      detail: { hint: 'your trust file has to name the broker and its log; ./claviger audit judges the whole of it' },
    })
  }

  #read(policy: Signed<Statement<'policy'>>, keep: (entry: Entry) => boolean): Promise<LogRange> {
    const { trust, at, since, entriesMax, progress } = this.#options
    return readSince(this.#source.log, {
      trust: { logVkeys: trust.logs, policy: trust.witnessPolicy },
      at,
      since: Math.min(since, policy.value.issuedAt),
      entriesMax,
      keep,
      ...(progress && { progress: (done) => progress('entries of the log', done) }),
    })
  }

  #within({ entries }: LogRange): LogRange['entries'] {
    const { since, until } = this.#options
    return entries.filter(({ entry }) => entry.at >= since && entry.at <= until)
  }

  async #decisions(range: LogRange, named: ReadonlyMap<number, string>) {
    const { model, last } = this.#options
    const own = this.#within(range).filter(({ entry }) => decisionKinds.has(entry.kind))
    const asked = own.filter(({ index }) => (named.get(index) ?? model) === model).toReversed()
    const decided: Decided[] = []
    const unnamed: number[] = []
    // Each bundle brings its own copy: one of each is kept.
    const policies = new Map<string, Signed<Statement<'policy'>>>()
    for (const { index, entry } of asked.slice(0, last)) {
      const found = await this.#keep(index)
      const decision = found && decisionIn(found)
      if (decision === null || decision.about.model !== model) continue
      const { about, ...one } = decision
      decided.push(one)
      if (!policies.has(about.policy.digest)) policies.set(about.policy.digest, about.policy)
      // The KBS route’s are in no answer to that question.
      if (!named.has(index) && entry.kind !== 'kbs') unnamed.push(index)
      this.#options.progress?.('decisions judged', decided.length)
    }
    this.#refuseStrange(range, named)
    const others = own.length - asked.length
    const notLookedAt = Math.max(0, asked.length - last)
    return { decided, policies: policies.values(), others, unnamed: unnamed.toSorted((a, b) => a - b), notLookedAt }
  }

  /** What the broker names as a decision about the model, and the log has as something else. */
  #refuseStrange({ tree, from, entries }: LogRange, named: ReadonlyMap<number, string>): void {
    const known = new Set(entries.flatMap(({ index, entry }) => (decisionKinds.has(entry.kind) ? [index] : [])))
    for (const [entry, model] of named) {
      if (model !== this.#options.model || entry < from || entry >= tree.treeSize || known.has(entry)) continue
      const message = 'the broker names it as a decision about your model; in the log it is no decision of yours'
      this.#notVerified.push({ entry, code: 'client/entry-index', message })
    }
  }

  async #changes(range: LogRange, policy: Signed<Statement<'policy'>>) {
    const effects = new Map<string, { readonly entry: number; readonly at: UnixSeconds }>()
    const changes: ReportedChange[] = []
    const within = new Set(this.#within(range).map(({ index }) => index))
    const { sequence } = policy.value
    for (const { index, entry } of range.entries) {
      const isPolicy = entry.kind === 'state' && entry.change === 'policy'
      const isEffect = isPolicy && entry.sequence === sequence
      if ((entry.kind !== 'state' && entry.kind !== 'proposal') || !(within.has(index) || isEffect)) continue
      const found = await this.#keep(index)
      if (found?.kind !== 'state' && found?.kind !== 'proposal') continue
      const model = modelOfChange(found)
      if (model !== null && model !== this.#options.model) continue
      if (isPolicy) effects.set(found.statement.digest, { entry: index, at: entry.at })
      if (within.has(index)) changes.push(await reportChange(found))
    }
    return { changes, effects }
  }

  /** The bundle of an entry that is the owner's; null, with the reason in the report, where it does not verify. */
  async #keep(entry: number): Promise<VerifiedAnyBundle | null> {
    const { found, why } = await this.#judge(entry)
    this.#judged.delete(entry) // a bundle is large, and nobody asks twice
    if (why !== null && !this.#notVerified.some((one) => one.entry === entry)) this.#notVerified.push(why)
    return found
  }

  async #judge(entry: number): Promise<{ readonly found: VerifiedAnyBundle | null; readonly why: NotVerified | null }> {
    const known = this.#judged.get(entry)
    if (known) return { found: known, why: null }
    const refuse = (code: string, message: string) => ({ found: null, why: { entry, code, message } })
    const bundle = await this.#source.bundle(entry)
    this.#options.progress?.('bundles', ++this.#done)
    if (bundle === null) return refuse('broker/unknown-entry', 'the broker has no bundle of it for you')
    const verdict = await judgeBundle(bundle, this.#options.trust)
    if (!verdict.ok) return refuse(verdict.failure.code, verdict.failure.message)
    if (verdict.value.inclusion.index !== entry)
      return refuse('client/entry-index', `the bundle is of entry ${verdict.value.inclusion.index}`)
    this.#judged.set(entry, verdict.value)
    return { found: verdict.value, why: null }
  }
}

/** The owner's pseudonym in the log. */
function tenantIn(found: VerifiedAnyBundle | null): string | null {
  return found === null ? null : found.entry.tenant
}

function isOwn(entry: Entry, tenant: string): boolean {
  return 'tenant' in entry ? entry.tenant === tenant : actOf(entry) !== null
}

/** statements: the one in force first; of several with one text that one, or the newest */
function policiesOf(
  [inForce, ...others]: readonly [Signed<Statement<'policy'>>, ...Signed<Statement<'policy'>>[]],
  decided: readonly Decided[],
  effects: ReadonlyMap<string, { readonly entry: number; readonly at: UnixSeconds }>,
): readonly ReportedPolicy[] {
  const all = new Map([[policyDigest(inForce.value.text), inForce]])
  for (const policy of others) {
    const digest = policyDigest(policy.value.text)
    if (!all.has(digest)) all.set(digest, policy)
  }
  const decisions = decided.map(({ reported }) => reported)
  return [...all.values()].map((policy) =>
    reportPolicy(policy, decisions, { isInForce: policy === inForce, effect: effects.get(policy.digest) ?? null }),
  )
}
