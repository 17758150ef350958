import { type Block, idFor, list, note, paragraph } from '#client/report/blocks.js'
import { changeBlocks, decisionBlocks } from '#client/report/content-decisions.js'
import { policyBlocks, sourcesBlocks } from '#client/report/content-policy.js'
import { toHtml } from '#client/report/html.js'
import { limitsAt } from '#client/report/limits.js'
import { toMarkdown } from '#client/report/markdown.js'
import type { AtBroker, Report } from '#client/report/model.js'
import { formatTime } from '#core/time.js'

export const reportFormats = ['md', 'html'] as const
export type ReportFormat = (typeof reportFormats)[number]

/** The report for people to read. The same report gives the same text. */
export function renderReport(report: Report, format: ReportFormat): string {
  const blocks = contentOf(report)
  return format === 'md' ? toMarkdown(blocks) : toHtml(titleOf(report), blocks)
}

const nameOf = ({ model }: Report) => model.slice(44)
const titleOf = (report: Report) => `Compliance report: ${nameOf(report)}`

function contentOf(report: Report): readonly Block[] {
  const { brokers } = report
  return [
    { kind: 'heading', level: 1, text: titleOf(report), id: 'top' },
    note(
      { strong: 'Not legal advice.' },
      ' This report says which rules decided about a model and on what evidence. Whether a law is kept is for people to judge who answer for it.',
    ),
    aboutTerms(report),
    note(
      'It names companies, places and issuers, and quotes the policy with its lists of what is accepted: its owner decides who reads it.',
    ),
    ...splitNotes(brokers),
    ...(brokers.length === 1 ? brokers.flatMap((broker) => brokerBlocks(broker, '')) : brokers.flatMap(ofSeveral)),
    { kind: 'heading', level: 2, text: 'How this was verified', id: 'verified' },
    ...verifiedBlocks,
  ]
}

/** Each broker of a split key decides and logs for itself. */
function splitNotes(brokers: readonly AtBroker[]): readonly Block[] {
  const names = new Set(brokers.flatMap(({ splitAmong }) => splitAmong))
  if (names.size <= brokers.length) return []
  return [
    note(
      { strong: 'Not the whole:' },
      ` the key is split among ${[...names].sort().join(', ')}, and this report is about ${brokers.length} of them.`,
    ),
  ]
}

function aboutTerms({ model, since, until, madeAt, brokers }: Report): Block {
  return {
    kind: 'terms',
    caption: 'What this report is about',
    rows: [
      ['model', [model.slice(44)]],
      ['owner', ['key ', { code: model.slice(0, 43) }]],
      ['period', [`${formatTime(since)} to ${formatTime(until)}`]],
      ['made', [formatTime(madeAt)]],
      ['brokers', [brokers.map(({ url }) => url).join(', ')]],
    ],
  }
}

/** Headings say which of several brokers they are about. */
function ofSeveral(broker: AtBroker, index: number): readonly Block[] {
  const name = `broker ${index + 1}`
  return brokerBlocks(broker, `${name}-`).map((block) =>
    block.kind === 'heading' ? { ...block, text: `${block.text} (${name})` } : block,
  )
}

/** prefix: of ids */
function brokerBlocks(broker: AtBroker, prefix: string): readonly Block[] {
  const { url, key, standing, version, versionFloor, manifestDigest, delivery, log } = broker
  const cosigned = log.cosigners.length === 0 ? 'nobody' : log.cosigners.join(', ')
  const open = limitsAt(broker)
  return [
    {
      kind: 'heading',
      level: 2,
      text: 'Where it is decided',
      id: idFor(prefix, 'broker'),
    },
    {
      kind: 'terms',
      caption: 'The broker, and what the owner registered there',
      rows: [
        ['broker', [url, ', key ', { code: key }]],
        ['standing', [{ strong: standing }]],
        ['class', [broker.class === 'production' ? 'production' : 'development: simulated evidence may be accepted']],
        ['model version', [`${version}, not below ${versionFloor}, manifest SHA-256 `, { code: manifestDigest }]],
        ['key is given out by', [delivery.join(', ')]],
        ['log', [{ code: log.origin }, `, ${log.size} entries, cosigned by ${cosigned}; read from entry #${log.from}`]],
      ],
    },
    ...(open.length === 0 ? [] : [paragraph('What is open at this broker:'), list(...open.map((one) => [one]))]),
    ...broker.policies.flatMap((policy) => policyBlocks(policy, broker, prefix)),
    ...sourcesBlocks(broker.sources, prefix),
    ...decisionBlocks(broker, prefix),
    ...otherBlocks(broker),
    ...changeBlocks(broker, prefix),
  ]
}

function otherBlocks({ log: { others } }: AtBroker): readonly Block[] {
  if (others === 0) return []
  return [
    paragraph(
      `${others} more decisions of this owner in the period are about other models, by the broker’s word alone.`,
    ),
  ]
}

const verifiedBlocks: readonly Block[] = [
  list(
    ['Statements of the owner (policy, registration, sources): with the owner’s own key.'],
    [
      'The log: its newest checkpoint, by the log’s key and the witnesses of the reader’s trust file. Every entry from the first that was read to the last was held against that tree, so that none in between is left out.',
    ],
    [
      'Each decision: from its bundle, against the reader’s trust file. Its entry stands in the log; evidence, statements and policy were judged again offline, at the time of the decision, with the same outcome. Where facts rest on credentials, registry and directory were signed by keepers of the trust file.',
    ],
    [
      'Each change: by the owner’s signature, by the statement that it follows, and by its entry. Where approvals are asked for, these too.',
    ],
  ),
  paragraph({ strong: 'By the broker’s word alone:' }),
  list(
    [
      'That the policy shown is the one that it decides by now. What it decided in the period is shown by each decision.',
    ],
    ['Times of entries: they are the broker’s clock.'],
    [
      'That it wrote no entry about this owner under another pseudonym, and that it released no key without an entry, unless it proved that it is an attested broker.',
    ],
    ['Which of the owner’s other decisions are about other models.'],
  ),
  paragraph(
    'Whether the log shows everybody the same, and whether an entry convicts a broker, is judged by ',
    { code: 'claviger audit' },
    '.',
  ),
]
