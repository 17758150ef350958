import { type Block, idFor, type Line, list, note, paragraph } from '#client/report/blocks.js'
import { tallyOutcomes } from '#client/report/decisions.js'
import type { AtBroker, ReportedChange, ReportedDecision, Tally } from '#client/report/model.js'
import { shellWord } from '#core/shown.js'
import { formatTime } from '#core/time.js'
import { tilePath, tileWidth } from '#core/tlog/tiles.js'

/* What was decided in the period, what changed in it, and where that stands in the log. */

const heading = (level: 2 | 3, text: string, id: string): Block => ({ kind: 'heading', level, text, id: idFor(id) })

/** An entry with its proof, and the tile that it stands in. */
function entryLine(entry: number, { url, log }: AtBroker): Line {
  const base = url.replace(/\/$/, '')
  const index = Math.floor(entry / tileWidth)
  const tile = tilePath({ level: 'entries', index, width: Math.min(tileWidth, log.size - index * tileWidth) })
  return [
    { link: `#${entry}`, href: `${base}/v1/log/proofs/${entry}` },
    ...(entry < log.size ? [', ', { link: 'tile', href: `${base}/${tile}` } as const] : []),
  ]
}

const words = { release: 'release', renewal: 'renewal', denial: 'denial', kbs: 'KBS route' } as const

function outcome({ allow, act, platform, isBroken }: ReportedDecision): Line {
  return [
    { strong: allow ? 'allowed' : 'denied' },
    act === 'denial' ? '' : `, ${words[act]}`,
    isBroken ? ', while the glass was broken' : '',
    platform === 'simulated' ? ', NOT HARDWARE' : '',
  ]
}

const effects = { permit: '', forbid: ' (refused)', 'no-permit': ' (not satisfied)', code: ' (in code)' } as const

function reasonLine({ reasons }: ReportedDecision): Line {
  return reasons.flatMap(({ id, effect }, i) => [i === 0 ? '' : ', ', { code: id }, effects[effect]])
}

export function decisionBlocks(broker: AtBroker, prefix: string): readonly Block[] {
  const { decisions } = broker
  const title = heading(2, 'Decisions of the period', `${prefix}decisions`)
  if (decisions.length === 0)
    return [title, note('Nothing about this model was decided in the period.'), ...doubts(broker)]
  const allowed = decisions.filter(({ allow }) => allow)
  const acts = (['release', 'renewal', 'kbs'] as const)
    .map((act) => [act, allowed.filter((one) => one.act === act).length] as const)
    .filter(([, count]) => count > 0)
    .map(([act, count]) => `${count} ${words[act]}`)
  return [
    title,
    paragraph(
      `${decisions.length} decisions: `,
      { strong: `${allowed.length} allowed` },
      acts.length === 0 ? '' : ` (${acts.join(', ')})`,
      ', ',
      { strong: `${decisions.length - allowed.length} denied` },
      '.',
    ),
    ...countBlocks(broker),
    ...repeatBlocks(broker),
    {
      kind: 'table',
      caption: 'Every decision, the newest first',
      head: ['log entry', 'time', 'outcome', 'determining rules', 'where', 'who runs it', 'to repeat it'],
      rows: decisions.map((one) => [
        entryLine(one.entry, broker),
        [formatTime(one.at)],
        outcome(one),
        reasonLine(one),
        [one.where],
        [one.whom],
        [{ code: `claviger bundle ${one.entry}` }],
      ]),
    },
    ...doubts(broker),
  ]
}

function countBlocks({ decisions, policies }: AtBroker): readonly Block[] {
  const { codes, places, companies } = tallyOutcomes(decisions)
  const rules = policies.flatMap(({ name, digest, rules: all }) =>
    all.map(({ id, effect, counts }): Line[] => [
      [{ code: id }],
      [effect === 'permit' ? 'allows' : 'refuses'],
      [`${name} ${digest.slice(0, 16)}`],
      [String(counts.allowed)],
      [String(counts.refused)],
      [String(counts.notSatisfied)],
    ]),
  )
  const counted = (caption: string, what: string, rows: readonly Tally[]): readonly Block[] =>
    rows.length === 0
      ? []
      : [
          {
            kind: 'table',
            caption,
            head: [what, 'allowed', 'denied'],
            rows: rows.map(({ group, says, allowed, denied }) => [
              [group === 'code' ? { code: says } : says],
              [String(allowed)],
              [String(denied)],
            ]),
          },
        ]
  return [
    {
      kind: 'table',
      caption: 'By rule',
      head: ['rule', 'what it does', 'policy', 'allowed', 'refused', 'not satisfied'],
      rows: rules,
    },
    ...counted('Refused in code, whatever the policy says', 'code', codes),
    ...counted('By place, with basis and grade', 'place', places),
    ...counted('By who runs the node, with basis and grade', 'company', companies),
  ]
}

function repeatBlocks({ url }: AtBroker): readonly Block[] {
  return [
    paragraph(
      'Each decision can be made again, offline, from its bundle, which holds evidence, statements, credentials and the proof of its log entry. The owner fetches it and anybody with a trust file judges it:',
    ),
    {
      kind: 'listing',
      text: [
        `claviger bundle N --broker ${shellWord(url)} --keys KEYS --out bundle.json`,
        'claviger bundle verify bundle.json --trust trust.json',
        'claviger policy explain bundle.json',
      ].join('\n'),
    },
  ]
}

/** What keeps this list from being the whole of it. */
function doubts({ notVerified, log }: AtBroker): readonly Block[] {
  return [
    ...(notVerified.length === 0
      ? []
      : [
          note({ strong: 'Not verified' }, ', and counted nowhere above:'),
          list(...notVerified.map(({ entry, code, message }): Line => [`#${entry}: ${message} (`, { code }, ')'])),
        ]),
    ...(log.unnamed.length === 0
      ? []
      : [
          note(
            { strong: 'The broker did not name' },
            ` these decisions when it was asked, and the log has them: ${log.unnamed.map((one) => `#${one}`).join(', ')}.`,
          ),
        ]),
  ]
}

export function changeBlocks(broker: AtBroker, prefix: string): readonly Block[] {
  const { changes, acts } = broker
  return [
    heading(2, 'What changed in the period', `${prefix}changes`),
    changes.length === 0
      ? paragraph('The owner changed nothing that decides about this model.')
      : {
          kind: 'table',
          caption: 'Statements of the owner, the oldest first',
          head: ['log entry', 'time', 'statement', 'what it says', 'why'],
          rows: changes.map((one) => [
            entryLine(one.entry, broker),
            [formatTime(one.at)],
            [{ code: one.change }, ` ${one.sequence}, ${one.state}`],
            one.says.flatMap((says, i) => [i === 0 ? '' : '; ', says]),
            whyLine(one),
          ]),
        },
    ...(acts.length === 0
      ? []
      : [
          paragraph('Of the broker’s operator, by its own word:'),
          list(
            ...acts.map(({ entry, at, says }): Line => [...entryLine(entry, broker), `, ${formatTime(at)}: ${says}`]),
          ),
        ]),
  ]
}

function whyLine({ why }: ReportedChange): Line {
  if (why === null) return ['no reason given']
  return [why.code, why.note === '' ? '' : `: ${why.note}`]
}
