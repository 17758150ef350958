import { Failure } from '#core/failure.js'
import { parsePolicy } from '#core/tlog/policy.js'

/** Failures of one witness policy out of those of several brokers. */
export type MergeCode = 'init/witness-policy'

/**
 * One witness policy (C2SP tlog-policy) for the logs of several brokers: names get the broker's in front, and an entry counts
 * when the quorum of any of the brokers cosigned. That of a single broker stays as it is.
 *
 * throws  init/witness-policy, tlog/...
 */
export function mergeWitnessPolicies(given: readonly { readonly alias: string; readonly text: string }[]): string {
  const [first] = given
  if (given.length === 1) return first!.text
  const logs = new Set<string>()
  const lines: string[] = []
  const quorums: string[] = []
  for (const { alias, text } of given) {
    parsePolicy(text)
    const own = (name: string) => `${alias}-${name}`
    for (const line of text.split('\n')) {
      const [word, ...rest] = line.trim().split(/\s+/)
      if (word === undefined || word === '' || word.startsWith('#')) continue
      if (word === 'log') logs.add(line.trim())
      else if (word === 'witness') lines.push(['witness', own(rest[0]!), ...rest.slice(1)].join(' '))
      else if (word === 'group') lines.push(['group', own(rest[0]!), rest[1]!, ...rest.slice(2).map(own)].join(' '))
      else if (rest[0] === 'none')
        throw new Failure<MergeCode>('init/witness-policy', `broker ${alias} asks for no witness: its log could be two`)
      else quorums.push(own(rest[0]!))
    }
  }
  const merged = [...logs, ...lines, `group any-broker any ${quorums.join(' ')}`, 'quorum any-broker', ''].join('\n')
  parsePolicy(merged)
  return merged
}
