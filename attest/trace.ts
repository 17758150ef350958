/** Takes the name of each step of a verification once the step has been passed. CLI and console show them. */
export type Trace = (step: string) => void

/** For callers that do not show steps. */
export const noTrace: Trace = () => undefined
