import { groupsOf } from '#client/report/groups.js'
import type { AtBroker, ReportedPolicy } from '#client/report/model.js'

/** What no policy of this kind can know, whatever its rules say. */
const ofEveryPolicy = [
  'Facts are as good as whoever states them. Signatures show who said something, not that it is so; whom to believe, the owner decides, by its trust file and its sources.',
  'A rule is what its author made of a law. That a rule allowed something does not show that the law does, and a law that no rule names was not asked about.',
  'Nobody looks between decisions: a release lasts as long as its lease, and is looked at again when it is renewed.',
  'What a model was asked and what it answered stands nowhere, nor whether it was personal data: a report of releases says nothing about single uses.',
  'People who were not shown are not known: whether somebody else has access to a machine, no evidence says.',
  'A request that was refused before its evidence verified to a trust anchor is no decision and stands in no report: such requests are counted in the log for all owners together.',
] as const

/** What stands on the broker's own word, or is open otherwise, at this broker. */
export function limitsAt({ standing, log, notVerified, decisions }: AtBroker): readonly string[] {
  const simulated = decisions.some(({ platform }) => platform === 'simulated')
  return [
    ...(standing === 'UNATTESTED BROKER'
      ? [
          'UNATTESTED BROKER: it runs outside a TEE, or did not prove otherwise. Whoever operates it can read the keys that it holds, and the log shows what it says it released: not that it released nothing else.',
        ]
      : []),
    ...(simulated
      ? ['Some decisions rest on simulated evidence: NOT HARDWARE. They show nothing about any machine.']
      : []),
    ...(log.cosigners.length === 0
      ? ['No witness cosigned the log: that it shows everybody the same, nobody else says.']
      : []),
    ...(log.isWhole
      ? []
      : [`The log was read back to entry #${log.from} only: what stands before it is not in this report.`]),
    ...(log.unreadable > 0
      ? [
          `${log.unreadable} leaves of the log are no entries: what they are, nobody can say, and an audit convicts the log.`,
        ]
      : []),
    ...(log.notLookedAt > 0
      ? [`${log.notLookedAt} older decisions of the period were not looked at: this report was asked for fewer.`]
      : []),
    ...(notVerified.length > 0
      ? [`${notVerified.length} entries did not verify: what they say is counted nowhere in this report.`]
      : []),
  ]
}

/** What these rules cannot know: by the group of facts that they read, and then what holds of every policy. */
export function limitsOf({
  rules,
}: ReportedPolicy): readonly { readonly group: string | null; readonly says: string }[] {
  return [
    ...groupsOf(rules.flatMap(({ facts }) => facts)).map(({ group, cannot }) => ({ group, says: cannot })),
    ...ofEveryPolicy.map((says) => ({ group: null, says })),
  ]
}
