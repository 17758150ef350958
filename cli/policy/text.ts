import { readInput } from '#cli/input.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { policySizeMax } from '#core/limits.js'
import { listLibrary } from '#policies/library/read.js'

/** Failures of the policy command. */
export type PolicyCommandCode =
  | 'policy-command/file'
  /** it would take any genuine chip in production, and its owner did not say so */
  | 'policy-command/any-genuine-chip'

/** The text of a file, or of a policy of the library when there is no such file. */
export async function policyText(nameOrFile: string): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = await readInput(nameOrFile, 'policy', policySizeMax)
  } catch (cause) {
    if (isFailure(cause) && cause.code === 'input/size') throw cause
    const found = listLibrary().find((one) => one.name === nameOrFile.replace(/\.cedar$/, ''))
    if (found) return found.text
    throw new Failure<PolicyCommandCode>('policy-command/file', `cannot read ${nameOrFile}`, {
      cause,
      detail: { hint: 'give a file, or a name that `./claviger policy library` lists' },
    })
  }
  return fromUtf8(bytes)
}

/** What a policy is called in its statement: the name of its file, or of the library's. */
export function policyName(nameOrFile: string): string {
  return (nameOrFile.split('/').at(-1) ?? 'policy').replace(/\.cedar$/, '').toLowerCase()
}
