import type { Reason as WireReason } from '#core/wire/release.js'
import type { Decision } from '#policies/decide.js'
import type { Reason, Unmet } from '#policies/explain.js'
import { factWord } from '#policies/language/vocabulary.js'
import type { Change } from '#policies/nearest.js'

/** Who reads an explanation. */
export type Reader = 'host' | 'owner'

/** Why a decision came out as it did, in the form that problem documents carry, and what would turn it. */
export interface Explanation {
  readonly allow: boolean
  readonly policyDigest: string
  /** what refused; empty when allowed */
  readonly reasons: readonly WireReason[]
  /** the rules that allowed; empty when denied */
  readonly permittedBy: readonly { readonly id: string; readonly law: string | null; readonly explain: string | null }[]
  /** one line for each fact that would have to be otherwise; empty when allowed or unknown */
  readonly nearest: readonly string[]
}

const reasonsMax = 64
const expectationLengthMax = 4000
const remedyLengthMax = 2000

/**
 * The explanation of a decision for one reader.
 *
 * A host reads which rule refused, what it expected and what would satisfy it, but no value of an owner's allow-list of
 * measurements (TRUST 14), and nothing of rules that are made for another node, act or model.
 */
export function explainFor(reader: Reader, decision: Decision): Explanation {
  const { allow, policyDigest } = decision
  if (allow) {
    const permittedBy = decision.reasons.map(({ policyId, law, explain }) => ({ id: policyId, law, explain }))
    return { allow, policyDigest, reasons: [], permittedBy, nearest: [] }
  }
  const shown = decision.reasons.filter((reason) => reader === 'owner' || !reason.unmet.some((one) => one.head))
  const reasons = shown.flatMap((reason) => wireReason(reader, reason)).slice(0, reasonsMax)
  return {
    allow,
    policyDigest,
    reasons: reasons.length > 0 ? reasons : [madeForOthers],
    permittedBy: [],
    nearest: (decision.nearest ?? []).map((change) => changeLine(reader, change)),
  }
}

const madeForOthers: WireReason = {
  id: 'claviger/no-permit',
  effect: 'code',
  law: null,
  explain: 'No rule of the policy is made for this node, this model and this act.',
  expected: null,
  actual: null,
  remedy: 'ask the owner which nodes the policy is made for',
}

function wireReason(reader: Reader, reason: Reason): readonly WireReason[] {
  if (reason.effect === 'permit') return [] // no refusal
  const join = (texts: readonly string[], by: string) =>
    texts.length === 0 ? null : cut([...new Set(texts)].join(by), expectationLengthMax)
  const expected = reason.unmet.map((one) => expectedFor(reader, one))
  return [
    {
      id: reason.policyId,
      effect: reason.effect,
      law: reason.law,
      explain: reason.explain,
      expected: join(expected, ' && '),
      actual: join(
        reason.unmet.map((one) => one.actual),
        ', ',
      ),
      remedy: reason.remedy ?? remedyOf(reason),
    },
  ]
}

function isHidden(path: string): boolean {
  return factWord(path)?.hiddenFromHost === true
}

function expectedFor(reader: Reader, unmet: Unmet): string {
  const hidden = unmet.facts.filter(isHidden)
  if (reader === 'owner' || hidden.length === 0) return unmet.expected
  // The whole condition is withheld: which part of it holds the owner's values cannot be told apart safely.
  return `${hidden.map((path) => `context.${path}`).join(' and ')} as the owner approves (values not shown)`
}

/** What a host does about the facts that a rule refuses, where the rule's author says nothing. */
function remedyOf(reason: Reason): string | null {
  const mends = reason.unmet.flatMap((one) => one.facts.flatMap((path) => factWord(path)?.mend || []))
  return mends.length === 0 ? null : cut([...new Set(mends)].join('; '), remedyLengthMax)
}

function changeLine(reader: Reader, change: Change): string {
  const from = change.from === null ? 'not stated' : JSON.stringify(change.from)
  const wanted = reader === 'host' && isHidden(change.fact) ? 'a value that the owner approves' : change.wanted
  return cut(`context.${change.fact} is ${from}, needed is ${wanted}`, expectationLengthMax)
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
