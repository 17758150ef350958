import { newest } from '#cli/owner-statements.js'
import { type GatherOptions, gather, type ReportSource } from '#client/report/gather.js'
import type { Report } from '#client/report/model.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { type DecisionsAnswer, signOwnerQuery } from '#core/wire/owner-query.js'
import { answerOwner, bundleAt, heads } from '#keybroker/queries.js'
import { type Registered, readersTrust, startTime } from '#test/keybroker/fixtures.js'

/** A broker in this process, as its owner reads it. */
export async function sourceAt(
  { test, owner }: Registered,
  changes: Partial<ReportSource> = {},
): Promise<ReportSource> {
  const { broker, log } = test
  const said = (await heads(broker, owner.id)).heads
  return {
    url: 'https://broker.example/',
    key: broker.signer.id,
    standing: broker.standing,
    log,
    newest: (kind, model) => newest(kind, model, owner.key.publicKey, said),
    async decisions(before) {
      const query = { broker: broker.signer.id, tenant: owner.id, ask: 'decisions', entry: before } as const
      const at = test.clock.now
      const signed = await signOwnerQuery({ type: 'claviger/owner-query/v1', ...query, at }, owner.key)
      return ((await answerOwner(broker, signed)) as DecisionsAnswer).decisions
    },
    async bundle(entry) {
      try {
        return parseJson(canonicalJson(await bundleAt(broker, entry, owner.id))) as Json
      } catch (error) {
        if (isFailure(error) && error.code === 'broker/unknown-entry') return null
        throw error
      }
    },
    ...changes,
  }
}

export const period = { since: startTime - 86_400, until: startTime + 86_400 }

/** A report on the model of this owner. */
export async function reportOn(
  chain: Registered,
  changes: Partial<GatherOptions> = {},
  source: Partial<ReportSource> = {},
): Promise<Report> {
  const options = { ...period, ...changes }
  const given = {
    model: chain.owner.model,
    at: chain.test.clock.now + 60,
    trust: readersTrust(chain),
    last: 1000,
    entriesMax: 10_000,
    ...options,
  }
  const broker = await gather(await sourceAt(chain, source), given)
  const { since, until } = options
  return {
    type: 'claviger/policy-report/v1',
    model: chain.owner.model,
    madeAt: startTime,
    since,
    until,
    brokers: [broker],
  }
}

/** What a source refuses with, where a test wants trouble. */
export const trouble = (): never => {
  throw new Failure('test/trouble', 'nobody answers')
}
