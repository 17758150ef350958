import { isFailure } from '#core/failure.js'

/** The code of the Failure that a call throws; anything else is a bug of the code under test. */
export function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
  return 'ok'
}

/** The same for a promise. */
export async function codeOfPromise(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
  return 'ok'
}
