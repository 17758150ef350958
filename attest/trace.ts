/** A step of a verification, or a comparison of an appraisal, as every surface names it. */
export interface Step {
  /** stable; the same in CLI, JSON and docs/spec/checks.md */
  readonly id: string
  /** the specification, with its revision */
  readonly document: string
  /** the title of its section: numbers move */
  readonly section: string
  /** what has to be true, in words */
  readonly expected: string
  /** only for a step that evidence may come without the input for: what is said when it was left out */
  readonly without?: string
}

/** What a kind of evidence goes through. It stands in the `steps.ts` of the kind. */
export interface KindSteps {
  /** the verification, in order: one for each `trace` call */
  readonly steps: readonly Step[]
  /** every comparison that the appraisal can make */
  readonly checks: readonly Step[]
}

/** What became of a step. A skip is never a pass. */
export type Verdict = 'pass' | 'fail' | 'skip'

/** One line of the trace of a result, the same on every surface. */
export interface TracedStep {
  readonly id: string
  readonly document: string
  readonly section: string
  readonly expected: string
  /** the value found, what the failure says, or why the step was skipped */
  readonly found: string
  readonly verdict: Verdict
  /** passed, but with something known to be weak: the tier of the comparison is `warning` */
  readonly warning: boolean
  /** of the failure that ended the verification here; null elsewhere */
  readonly code: string | null
  /** what can be done about it; empty where nothing is wrong */
  readonly hint: string
}

/**
 * Takes each step of a verification right after it has been passed: its id, which stands in the `steps.ts` of the kind,
 * and what was found, in a few words for a reader. A step for which the evidence has no input is told as `skip` in its
 * place, so that what fails next is not taken for it. CLI and console show all of it.
 */
export type Trace = (step: string, found?: Found, verdict?: 'skip') => void

/** A text, or what writes it: nobody writes it for a caller who does not show steps. */
export type Found = string | (() => string)

/** The text of what was found. */
export const foundText = (found: Found | undefined): string => (typeof found === 'function' ? found() : (found ?? ''))

/** For callers that do not show steps. */
export const noTrace: Trace = () => undefined
