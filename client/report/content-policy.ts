import { type Block, idFor, type Line, list, note, type Piece, paragraph } from '#client/report/blocks.js'
import { groupOf, groupsOf } from '#client/report/groups.js'
import { limitsOf } from '#client/report/limits.js'
import type { AtBroker, ReportedPolicy, ReportedRule, ReportedSources, Tally } from '#client/report/model.js'
import { formatTime } from '#core/time.js'
import { factWord } from '#policies/language/vocabulary.js'

/* Which law, which rule, which facts, on what evidence, and what the policy cannot know. */

const heading = (level: 2 | 3 | 4, text: string, ...id: readonly (string | number)[]): Block => ({
  kind: 'heading',
  level,
  text,
  id: idFor(...id),
})

/** prefix: of ids, where a report has several brokers */
export function policyBlocks(policy: ReportedPolicy, broker: AtBroker, prefix: string): readonly Block[] {
  const id = `${prefix}${policy.isInForce ? 'policy' : `policy-${policy.digest.slice(0, 12)}`}`
  const title = policy.isInForce
    ? `Rules in force: ${policy.name}`
    : `Rules of earlier or other decisions: ${policy.name}, sha256 ${policy.digest.slice(0, 16)}`
  return [
    heading(2, title, id),
    policyTerms(policy),
    ...headerBlocks(policy),
    ...lawBlocks(policy, id),
    heading(3, 'What the rules read', id, 'facts'),
    ...factBlocks(policy, broker),
    heading(3, 'What these rules cannot know', id, 'limits'),
    ...limitBlocks(policy),
  ]
}

function policyTerms(policy: ReportedPolicy): Block {
  const { name, sequence, digest, statement, signedBy, signedAt, accepts, effect, decisions } = policy
  const rows: (readonly [string, Line])[] = [
    ['name', [`${name}, statement ${sequence} of the owner’s chain`]],
    ['text', ['SHA-256 ', { code: digest }]],
    ['statement', ['SHA-256 ', { code: statement }]],
    ['signed', [`${formatTime(signedAt)} by key `, { code: signedBy }]],
    [
      'in force since',
      effect === null
        ? ['its entry does not stand in the part of the log that was read']
        : [
            `${formatTime(effect.at)}, log entry #${effect.entry}${policy.isInForce ? '' : '; not the one in force now'}`,
          ],
    ],
    ['decided', [`${decisions} decisions of the period`]],
  ]
  if (accepts !== null)
    rows.push(['accepts', [{ strong: accepts }, ': also a chip that somebody broke, as the owner signed'] as Line])
  return { kind: 'terms', caption: 'The policy', rows }
}

/** What the author says of the policy; where it says nothing, that is said. */
function headerBlocks({ header }: ReportedPolicy): readonly Block[] {
  if (header === null)
    return [
      note(
        'The policy’s text has no comment above its rules: its author names no purpose, no limits, no sources and nobody who answers for it.',
      ),
    ]
  const { title, purpose, owner, sources } = header
  return [
    paragraph('In the words of its author: ', title),
    ...purpose.map((one) => paragraph(one)),
    paragraph('Who answers for it: ', owner ?? 'its author says nothing.'),
    paragraph('Sources: ', sources ?? 'its author says nothing.'),
  ]
}

function lawBlocks({ rules }: ReportedPolicy, id: string): readonly Block[] {
  const laws = [...new Set(rules.map(({ law }) => law))]
  const cites = laws.some((law) => law !== null)
  return [
    ...(cites ? [] : [note('No rule of this policy cites a law: it names no act that it is made for.')]),
    ...laws.flatMap((law, i) => [
      heading(3, law ?? (cites ? 'Rules that cite no law' : 'Its rules'), id, 'law', i + 1),
      ...rules.filter((rule) => rule.law === law).flatMap((rule) => ruleBlocks(rule, id)),
    ]),
  ]
}

function ruleBlocks(rule: ReportedRule, id: string): readonly Block[] {
  const { effect, explain, remedy, breakGlass, text, facts, counts } = rule
  return [
    heading(4, `${effect === 'permit' ? 'Allows' : 'Refuses'}: ${rule.id}`, id, 'rule', rule.id),
    paragraph(explain ?? 'Its author says nothing about it in plain words.'),
    ...(remedy === null ? [] : [paragraph('What would satisfy it: ', remedy)]),
    ...(breakGlass ? [note('While the glass is broken this rule does not refuse.')] : []),
    paragraph(countsText(rule, counts)),
    facts.length === 0
      ? paragraph('It reads no fact.')
      : paragraph(
          'It reads ',
          ...facts.flatMap((path, i): Piece[] => [i === 0 ? '' : ', ', { code: `context.${path}` }]),
          '.',
        ),
    { kind: 'listing', text },
  ]
}

function countsText({ effect }: ReportedRule, { allowed, refused, notSatisfied }: ReportedRule['counts']): string {
  return effect === 'permit'
    ? `Decisions of the period: ${allowed} allowed by it, ${notSatisfied} denied since it was not satisfied, among other reasons perhaps.`
    : `Decisions of the period: ${refused} refused by it.`
}

function factBlocks({ rules }: ReportedPolicy, { evidence, sources }: AtBroker): readonly Block[] {
  const paths = [...new Set(rules.flatMap(({ facts }) => facts))].sort()
  if (paths.length === 0)
    return [note('The rules read no fact: they decide the same for every node that code does not refuse.')]
  const groups = groupsOf(paths)
  const rest = groups.some(({ basis }) => basis.startsWith('credential') || basis.startsWith('auditor'))
  return [
    ...(rest && sources === null
      ? [
          note(
            'The owner signed nothing of whom it believes about places and companies: facts that rest on credentials are absent, and a rule that reads one denies.',
          ),
        ]
      : []),
    {
      kind: 'table',
      caption: 'Facts, and what each rests on',
      head: ['fact', 'what it is', 'comes from', 'basis and grade', 'may be absent'],
      rows: paths.map((path) => {
        const word = factWord(path)
        const of = groups.find(({ group }) => group === groupOf(path))
        return [
          [{ code: `context.${path}` }],
          [word?.about ?? ''],
          [of?.from ?? ''],
          [of?.basis ?? ''],
          [word?.mayBeAbsent === true ? 'yes: then the rule denies' : 'no'],
        ]
      }),
    },
    restedOn(evidence.filter((one) => groups.some(({ group }) => group === one.group))),
  ]
}

function restedOn(evidence: readonly Tally[]): Block {
  if (evidence.length === 0) return paragraph('No decision of the period rested on them.')
  return {
    kind: 'table',
    caption: 'What they rested on in the period, by group',
    head: ['group', 'basis, grade, issuer', 'allowed', 'denied'],
    rows: evidence.map(({ group, says, allowed, denied }) => [
      [{ code: group }],
      [says],
      [String(allowed)],
      [String(denied)],
    ]),
  }
}

function limitBlocks(policy: ReportedPolicy): readonly Block[] {
  const { header } = policy
  return [
    header?.limits == null
      ? note('Its author names no limits in the policy’s text. Those below hold all the same.')
      : paragraph('Its author says: ', header.limits),
    list(
      ...limitsOf(policy).map(
        ({ group, says }): Line => (group === null ? [says] : [{ code: `context.${group}` }, `: ${says}`]),
      ),
    ),
  ]
}

/** Whom the owner believes about places and companies. */
export function sourcesBlocks(sources: ReportedSources | null, prefix: string): readonly Block[] {
  const title = heading(2, 'Whom the owner believes', `${prefix}sources`)
  if (sources === null)
    return [
      title,
      note(
        'The owner never signed whom it believes about places and companies: no credential counts, and there is no registry of jurisdictions.',
      ),
    ]
  const { sequence, signedAt, inside, registry, directory, issuers } = sources
  const of = (one: ReportedSources['registry']): Line => [
    `${one.name} version ${one.version}, of ${formatTime(one.issuedAt)}, valid until ${formatTime(one.validUntil)}, SHA-256 `,
    { code: one.digest },
    one.refused === null
      ? '; signed by keepers of the reader’s trust file'
      : `; NOT signed by keepers of the reader’s trust file (${one.refused})`,
  ]
  return [
    title,
    {
      kind: 'terms',
      caption: `Sources, statement ${sequence} of ${formatTime(signedAt)}`,
      rows: [
        ['registry of jurisdictions', of(registry)],
        ['directory of issuers', of(directory)],
        ['control is seen from', [{ code: inside }]],
      ],
    },
    {
      kind: 'table',
      caption: 'Issuers of the directory',
      head: ['issuer', 'who it is', 'controlled by', 'may issue'],
      rows: issuers.map(({ id, title: who, controlledBy, kinds }) => [
        [{ code: id }],
        [who],
        [controlledBy ?? 'an authority'],
        [kinds.join(', ')],
      ]),
    },
    ...belongingBlocks(sources),
  ]
}

/** By which act a place that decisions were about belongs to what. */
function belongingBlocks({ belongings }: ReportedSources): readonly Block[] {
  if (belongings.length === 0) return []
  return [
    {
      kind: 'table',
      caption: 'Places of the period, what they belong to by this registry when the report was made, and by which act',
      head: ['place or group', 'belongs to', 'by', 'under the condition', 'whether the act was read'],
      rows: belongings.map(({ member, group, act, condition, checked }) => [
        [{ code: member }],
        [{ code: group }],
        [act],
        [condition ?? 'none'],
        [checked === 'act' ? 'yes' : 'no: as others write of it'],
      ]),
    },
  ]
}
