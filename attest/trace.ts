/**
 * Takes each step of a verification once it has been passed: its id, which stands in the `steps.ts` of the kind, and
 * what was found, in a few words for a reader. CLI and console show both.
 */
export type Trace = (step: string, found?: string) => void

/** For callers that do not show steps. */
export const noTrace: Trace = () => undefined
