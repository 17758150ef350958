import { type Command, InvalidArgumentError, Option } from 'commander'
import { logAt } from '#cli/audit/source.js'
import { fetchFor } from '#cli/connection-options.js'
import { type EachBrokerCode, sayIfSplit } from '#cli/each-broker.js'
import { dayOrTime, modelName, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { describeOwner, type Owner, type OwnerArguments, openOwner, ownerExample } from '#cli/owner.js'
import { loadTrust } from '#cli/trust-store.js'
import { type ReportFormat, renderReport, reportFormats } from '#client/report/content.js'
import { gather, type ReportSource } from '#client/report/gather.js'
import type { AtBroker, Report } from '#client/report/model.js'
import { utf8 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { verifyNewFile, writeFileDurably } from '#host/files.js'

/** Failures of asking for a report. */
export type PolicyReportCode =
  /** a period that ends before it begins, or in the future */
  'usage/period'

/** A day or a time, or so many days before now. */
type Since = { readonly days: number } | { readonly at: UnixSeconds }

export interface ReportArguments extends OwnerArguments {
  readonly since: Since
  readonly until?: UnixSeconds | undefined
  readonly format?: ReportFormat | undefined
  readonly out?: string | undefined
  readonly last: number
}

const daySeconds = 86_400
/** Entries of the log that are read at most: some minutes of reading. */
const entriesMax = 1_000_000

function periodOf({ since, until }: Pick<ReportArguments, 'since' | 'until'>, now: UnixSeconds) {
  const period = { since: 'at' in since ? since.at : now - since.days * daySeconds, until: until ?? now }
  if (period.since <= period.until && period.until <= now) return period
  throw new Failure<PolicyReportCode>(
    'usage/period',
    `the period from ${formatTime(period.since)} to ${formatTime(period.until)} is none that is over`,
    { detail: { hint: '--since 2026-10-01 --until 2026-10-31, or --since 30' } },
  )
}

/** The broker as the report reads it: what it has nothing of is null, and any other trouble ends the command. */
function sourceOf(owner: Owner, url: string, fetchWith: typeof fetch): ReportSource {
  return {
    url,
    key: thumbprint(owner.document.key),
    standing: owner.standing,
    log: logAt(url, fetchWith),
    newest: (kind, model) => owner.newest(kind, model),
    decisions: (before) => owner.decisions(before),
    async bundle(entry) {
      try {
        return (await owner.bundle(entry)) as unknown as Json
      } catch (error) {
        if (isFailure(error) && error.detail?.code === 'broker/unknown-entry') return null
        throw error
      }
    },
  }
}

async function makeReport(model: string, args: ReportArguments, io: Io): Promise<Report> {
  const madeAt = io.now()
  const { since, until } = periodOf(args, madeAt)
  const { trust } = await loadTrust(args.trust, madeAt)
  const urls = args.broker.split(',')
  if (new Set(urls).size !== urls.length)
    throw new Failure<EachBrokerCode>('usage/brokers', 'one broker is named twice', {
      detail: { hint: 'name each once: --broker URL,URL' },
    })
  const brokers: AtBroker[] = []
  let id = model
  for (const url of urls) {
    const owner = await openOwner({ ...args, broker: url }, io)
    id = owner.modelId(model)
    if (brokers.length === 0) await sayIfSplit(owner, [id], { ...args, beside: urls }, io)
    const progress = (what: string, done: number) => {
      if (io.isTerminal && done % 10 === 0) io.stderr(`\r\x1b[2K${what}: ${done}`)
    }
    const source = sourceOf(owner, url, await fetchFor(args))
    const options = { model: id, since, until, at: madeAt, trust, last: args.last, entriesMax, progress }
    brokers.push(await gather(source, options))
    if (io.isTerminal) io.stderr('\r\x1b[2K')
  }
  return { type: 'claviger/policy-report/v1', model: id, madeAt, since, until, brokers }
}

const isPartial = ({ notVerified, log }: AtBroker) => notVerified.length > 0 || !log.isWhole || log.notLookedAt > 0

/** A report on a model for people: law, rules, evidence, limits, decisions. Exit 3 when something of it could not be verified, or was left out. */
export async function runReport(model: string, args: ReportArguments, io: Io): Promise<number> {
  const { out } = args
  const isFile = out !== undefined && out !== '-'
  if (isFile) await verifyNewFile(out)
  const report = await makeReport(model, args, io)
  const format = args.format ?? (isFile && /\.html?$/i.test(out) ? 'html' : 'md')
  const text = args.json ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report, format)
  if (isFile) {
    await writeFileDurably(out, utf8(text), { mode: 0o600 })
    io.stdout(args.json ? `${JSON.stringify({ out })}\n` : `${out}\n`)
  } else io.stdout(text)
  for (const { url, decisions, notVerified, log } of report.brokers)
    io.stderr(
      `${url}: ${decisions.length} decisions, ${notVerified.length} entries not verified, ${log.notLookedAt} not looked at, log read from #${log.from} of ${log.size}\n`,
    )
  return report.brokers.some(isPartial) ? exitCodes.verdict : exitCodes.ok
}

const since = (text: string): Since => {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return { days: Number(text) }
  if (!/^\d{4}-/.test(text))
    throw new InvalidArgumentError('expected a day, a time in UTC or a number of days, such as 2026-10-01 or 30')
  return { at: dayOrTime(text) }
}

export function describeReport(policy: Command, io: Io): void {
  describeOwner(
    policy
      .command('report')
      .description('which law and rules decided about a model, on what evidence, and what nobody knows: for people'),
    false,
    'several',
  )
    .argument('<model>', 'the model, as it is registered', modelName)
    .option('--since <day>', 'where the period begins: a day or a time in UTC, or so many days before now', since, {
      days: 30,
    })
    .option('--until <day>', 'where it ends: a day, which is its beginning, or a time (default: now)', dayOrTime)
    .addOption(
      new Option('--format <name>', 'md for Markdown, or html (default: md; html where --out ends so)')
        .choices([...reportFormats])
        .conflicts('json'),
    )
    .option('--out <file>', 'where to write it, readable by you alone (default: standard output)')
    .option('--last <n>', 'how many decisions at most, the newest first', wholeNumber(1, 100_000, 10_000), 10_000)
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger policy report whisper --since 30 --out report.html ${ownerExample}\n  ./claviger policy report whisper --since 2026-10-01 --until 2026-11-01 ${ownerExample}\n\nNot legal advice. Exit 0 all of it was verified, 3 some was not, or was left out: the report says what.`,
    )
    .action(async (model: string, args: ReportArguments) => io.exit(await runReport(model, args, io)))
}
