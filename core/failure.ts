/** What belongs here: the one error type of expected trouble. Codes are closed unions owned by the folder that raises them. */

export interface FailureOptions {
  /** values a caller may show: field, expected, actual; never a secret */
  readonly detail?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/**
 * Expected trouble: bad input, a refused verification, a peer that is away.
 * Callers branch on `code` (`area/reason`), never on the message.
 *
 * Raise it with the folder's own union: `throw new Failure<SnpCode>('snp/signature', '...')`.
 */
export class Failure<Code extends string = string> extends Error {
  override readonly name = 'Failure'
  readonly code: Code
  readonly detail: Readonly<Record<string, unknown>> | undefined

  constructor(code: Code, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail
  }
}

/** Whether `error` is a Failure, and not a bug. */
export function isFailure(error: unknown): error is Failure {
  return error instanceof Failure
}
