/**
 * What belongs in cli/doctor: what `keybroker doctor` looks at, one file for each thing that a broker stands on. A finding
 * names what mends it. Nothing here changes anything, but for what a provider of keys writes down when it is used.
 */
import { isFailure } from '#core/failure.js'

/**
 * `fault`: a broker does not start, or must not be relied on. `warning`: it runs, and something should be mended.
 * `skipped`: could not be looked at. `note`: true, and worth knowing.
 */
type State = 'ok' | 'note' | 'warning' | 'skipped' | 'fault'

export interface Finding {
  readonly check: string
  readonly state: State
  readonly message: string
  /** of the failure behind it, when there is one */
  readonly code: string | null
  /** the line that mends it */
  readonly fix: string | null
}

export const finding = (check: string, state: State, message: string, fix: string | null = null): Finding => ({
  check,
  state,
  message,
  code: null,
  fix,
})

/** `NAME (sql state): message` tells an operator more than a failure alone. */
function causeOf(error: Error): string {
  return error.cause instanceof Error && error.cause.message !== '' ? `: ${error.cause.message.slice(0, 200)}` : ''
}

/** What a failure says, as a finding: its hint mends it. A bug stays one. */
export function failed(check: string, error: unknown, state: State = 'fault', fix: string | null = null): Finding {
  if (!isFailure(error)) throw error
  const hint = error.detail?.hint
  return {
    check,
    state,
    message: `${error.message}${causeOf(error)}`,
    code: error.code,
    fix: typeof hint === 'string' ? hint : fix,
  }
}

/** What `work` found, or the one finding that its failure is. */
export async function looking(
  check: string,
  work: () => Promise<readonly Finding[]>,
  fix: string | null = null,
): Promise<readonly Finding[]> {
  try {
    return await work()
  } catch (error) {
    return [failed(check, error, 'fault', fix)]
  }
}
