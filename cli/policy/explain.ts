import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { policyText } from '#cli/policy/text.js'
import { describeReason } from '#cli/reasons.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { json } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { bundleShape } from '#core/wire/bundle.js'
import { statementShapes } from '#core/wire/statements.js'
import { type Explained, explainRecord } from '#policies/explained.js'
import { explainFor, type Facts, parseDecisionRecord } from '#policies/index.js'

/** Failures of explaining a decision. */
export type PolicyExplainCode =
  /** a decision record names rules and quotes none */
  'policy-explain/policy'

export interface ExplainArguments {
  readonly policy?: string | undefined
  readonly json?: boolean | undefined
}

interface Read {
  readonly record: Json | undefined
  readonly text: string
  /** as its statement calls it */
  readonly name: string | null
}

/** A decision with the text that it was made under: a bundle holds both. */
async function readDecision(file: string, { policy }: ExplainArguments): Promise<Read> {
  const value = await readDocument(file, json, 'decision')
  const type = (value as { readonly type?: unknown } | null)?.type
  if (type === 'claviger/bundle/v1') {
    const { decision, statements } = bundleShape(value, 'bundle')
    if (policy !== undefined || statements.policy === null)
      return { record: decision, text: await textOf(policy), name: null }
    const { text, name } = statementShapes.policy(parseCanonicalJson(fromBase64(statements.policy.payload)), 'policy')
    return { record: decision, text, name }
  }
  return { record: value, text: await textOf(policy), name: null }
}

function textOf(policy: string | undefined): Promise<string> {
  if (policy !== undefined) return policyText(policy)
  throw new Failure<PolicyExplainCode>('policy-explain/policy', 'the file names rules and holds no policy', {
    detail: { hint: 'give the policy with --policy FILE, or the bundle of the decision' },
  })
}

/** Who says where the node is and who runs it, and how well that is founded (I13). */
function sayersOf({ place, operator, company, site, credentials }: Facts): readonly string[] {
  const by = (one: { basis: string; grade: number; ageSeconds: number }, issuers: readonly string[]) =>
    `${one.basis}, L${one.grade}, by ${issuers.map((id) => id.slice(0, 43)).join(', ')}, ${one.ageSeconds} s old`
  const refused = credentials?.refused ?? []
  return [
    `place     ${place.stated ? `${place.country}: ${by(place, [place.issuer])}` : 'not stated'}`,
    `operator  ${operator.stated ? `${operator.name}, ${operator.country}: ${by(operator, [operator.issuer])}` : 'not stated'}`,
    ...(site === undefined
      ? []
      : [`site      ${site.proven ? `${site.facility}, ${site.area}: ${by(site, site.issuers)}` : 'not proven'}`]),
    ...(company === undefined
      ? []
      : [
          `company   ${company.proven ? `${company.name}, ${company.seat}: ${by(company, company.issuers)}` : 'not proven'}`,
        ]),
    ...(refused.length === 0 ? [] : [`refused   ${refused.join(', ')}`]),
  ]
}

function headline({ record, isBroken }: Explained, name: string | null, io: Io): string {
  const verdict = record.allow ? paint(io, 'green', 'ALLOWED') : paint(io, 'red', 'DENIED')
  const { facts } = record
  const about = facts === null ? '' : ` of ${facts.model.name} v${facts.model.version} at ${formatTime(facts.time)}`
  const under = name === null ? '' : ` ${printable(name)}`
  const broken = isBroken ? ', while the glass was broken' : ''
  return `${verdict} ${record.action}${about}${broken}, by policy${under} ${record.policyDigest.slice(0, 16)}\n`
}

function show(explained: Explained, name: string | null, io: Io): void {
  const { record, again, code, facts } = explained
  io.stdout(headline(explained, name, io))
  const { reasons, permittedBy, nearest } = again
    ? explainFor('owner', again)
    : { reasons: [], permittedBy: [], nearest: [] }
  const own = new Set(reasons.map(({ id }) => id))
  for (const id of code)
    if (!own.has(id)) io.stdout(`  ${paint(io, 'red', printable(id))}: refused in code, whatever the policy says\n`)
  for (const reason of reasons) io.stdout(describeReason(io, reason))
  for (const { id, explain, law } of permittedBy)
    io.stdout(
      `  ${paint(io, 'green', printable(id))}${[explain, law].map((one) => (one === null ? '' : `: ${printable(one)}`)).join('')}\n`,
    )
  if (nearest.length > 0) io.stdout(`what would turn it\n${nearest.map((line) => `  ${printable(line)}\n`).join('')}`)
  if (facts.length > 0) io.stdout('what these rules read\n')
  for (const { path, value } of facts)
    io.stdout(`  context.${path} ${value === undefined ? 'is not stated' : printable(JSON.stringify(value))}\n`)
  if (record.facts !== null)
    io.stdout(
      `who says so\n${sayersOf(record.facts)
        .map((line) => `  ${printable(line)}\n`)
        .join('')}`,
    )
  io.stdout('Nothing was verified: `./claviger bundle verify` judges a bundle. Not legal advice.\n')
}

/** Why a decision came out as it did, on one screen. */
export async function runExplain(file: string, args: ExplainArguments, io: Io): Promise<number> {
  const { record, text, name } = await readDecision(file, args)
  const explained = explainRecord(parseDecisionRecord(record), text)
  if (args.json) {
    const { again, code, isBroken, facts } = explained
    const shown = again && explainFor('owner', again)
    io.stdout(`${JSON.stringify({ allow: explained.record.allow, code, isBroken, policy: shown, facts }, null, 2)}\n`)
  } else show(explained, name, io)
  return exitCodes.ok
}

export function describeExplain(policy: Command, io: Io): void {
  policy
    .command('explain')
    .argument('<file>', 'a bundle, or a decision record; - is standard input')
    .description('why a decision came out as it did: rules, facts, who says them, and what would turn it')
    .option('--policy <file>', 'the text that a record was made under, or a name of the library')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger policy explain bundle.json\n\nExit 0 explained, 1 where the text does not lead to the decision.',
    )
    .action(async (file: string, args: ExplainArguments) => io.exit(await runExplain(file, args, io)))
}
