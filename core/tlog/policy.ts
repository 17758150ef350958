import { Failure } from '#core/failure.js'
import { nameLengthMax, policyNamesMax, policySizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'
import type { VerifiedSignature } from '#core/tlog/note.js'
import { parseVkey, type VerifierKey } from '#core/tlog/vkey.js'

/** A witness as the policy names it. */
export interface PolicyWitness {
  readonly name: string
  readonly key: VerifierKey
  /** prefix of its submission address, as the policy spells it; null where the policy names none */
  readonly url: string | null
}

interface Group {
  readonly threshold: number
  readonly members: readonly string[]
}

/** Which logs and which witnesses a reader trusts, and how many of the latter must have cosigned. */
export interface TlogPolicy {
  readonly logs: readonly VerifierKey[]
  readonly witnesses: readonly PolicyWitness[]
  readonly groups: ReadonlyMap<string, Group>
  /** the name of a witness or a group, or `none` */
  readonly quorum: string
}

/** A witness whose cosignature verified. `name` is the policy's, `vkeyName` the witness's own, `time` what it signed. */
export interface Cosigner {
  readonly name: string
  readonly vkeyName: string
  readonly time: UnixSeconds
}

interface Draft {
  readonly logs: VerifierKey[]
  readonly witnesses: PolicyWitness[]
  readonly groups: Map<string, Group>
  readonly members: Set<string>
  quorum: string | undefined
}

const refuse = (line: number, message: string, cause?: unknown) =>
  new Failure<TlogCode>('tlog/policy', `policy line ${line}: ${message}`, cause === undefined ? {} : { cause })

function keyOf(text: string, use: VerifierKey['use'], line: number): VerifierKey {
  let key: VerifierKey
  try {
    key = parseVkey(text)
  } catch (cause) {
    throw refuse(line, 'key is not one that can be used', cause)
  }
  if (key.use !== use) throw refuse(line, `key ${key.name} is of type ${key.use}, expected ${use}`)
  return key
}

const isSameKey = (a: VerifierKey, b: VerifierKey) => a.publicKey.x === b.publicKey.x
const isDefined = (draft: Draft, name: string) =>
  draft.groups.has(name) || draft.witnesses.some((witness) => witness.name === name)

function verifyNewName(draft: Draft, name: string, line: number): void {
  if (name.length > nameLengthMax) throw refuse(line, `name is longer than ${nameLengthMax} characters`)
  if (name === 'none' || isDefined(draft, name)) throw refuse(line, `name ${JSON.stringify(name)} is taken`)
}

function readLog(draft: Draft, items: readonly string[], line: number): void {
  if (items.length < 1 || items.length > 2) throw refuse(line, 'expected: log VKEY [URL]')
  const key = keyOf(items[0]!, 'log', line)
  if (draft.logs.some((one) => isSameKey(one, key))) throw refuse(line, `log key of ${key.name} stands there twice`)
  draft.logs.push(key)
}

function readWitness(draft: Draft, items: readonly string[], line: number): void {
  if (items.length < 2 || items.length > 3) throw refuse(line, 'expected: witness NAME VKEY [URL]')
  const name = items[0]!
  verifyNewName(draft, name, line)
  const key = keyOf(items[1]!, 'cosigner', line)
  if (draft.witnesses.some((one) => isSameKey(one.key, key))) throw refuse(line, `key of ${name} stands there twice`)
  draft.witnesses.push({ name, key, url: items[2] ?? null })
}

function readGroup(draft: Draft, items: readonly string[], line: number): void {
  const [name, rule, ...members] = items
  if (name === undefined || rule === undefined || members.length === 0) {
    throw refuse(line, 'expected: group NAME all|any|NUMBER MEMBER...')
  }
  verifyNewName(draft, name, line)
  const threshold = rule === 'all' ? members.length : rule === 'any' ? 1 : parseDecimal(rule)
  if (threshold === undefined || threshold < 1 || threshold > members.length) {
    throw refuse(line, `threshold is not all, any or a number from 1 to ${members.length}`)
  }
  for (const member of members) {
    if (!isDefined(draft, member)) throw refuse(line, `${JSON.stringify(member)} is not defined above`)
    // Invariant: nobody counts twice towards a quorum, by whatever path.
    if (draft.members.has(member)) throw refuse(line, `${JSON.stringify(member)} is a member already`)
    draft.members.add(member)
  }
  draft.groups.set(name, { threshold, members })
}

function readQuorum(draft: Draft, items: readonly string[], line: number): void {
  const [name] = items
  if (name === undefined || items.length !== 1) throw refuse(line, 'expected: quorum NAME')
  if (draft.quorum !== undefined) throw refuse(line, 'a second quorum')
  if (name !== 'none' && !isDefined(draft, name)) throw refuse(line, `${JSON.stringify(name)} is not defined above`)
  draft.quorum = name
}

const readers: Readonly<Record<string, (draft: Draft, items: readonly string[], line: number) => void>> = {
  log: readLog,
  witness: readWitness,
  group: readGroup,
  quorum: readQuorum,
}

/**
 * The policy that a text spells: at most 64 KiB, and 128 logs, witnesses and groups each.
 *
 * Every line ends in a newline. A key is trusted as a log or as a witness, never as both.
 * throws  tlog/policy
 * source  C2SP tlog-policy, "Policy file syntax and structure"
 */
export function parsePolicy(text: string): TlogPolicy {
  if (text.length > policySizeMax) throw refuse(0, `longer than ${policySizeMax} characters`)
  if (/[\u0000-\u0008\u000b-\u001f\u007f]|\p{Surrogate}/u.test(text)) throw refuse(0, 'holds a control character')
  if (!text.endsWith('\n')) throw refuse(0, 'last line does not end in a newline')
  const draft: Draft = { logs: [], witnesses: [], groups: new Map(), members: new Set(), quorum: undefined }
  for (const [i, line] of text.slice(0, -1).split('\n').entries()) {
    const [word, ...items] = line.split(/[ \t]+/).filter((item) => item !== '')
    if (word === undefined || word.startsWith('#')) continue
    const read = Object.hasOwn(readers, word) ? readers[word] : undefined
    if (read === undefined) throw refuse(i + 1, 'does not begin with log, witness, group or quorum')
    read(draft, items, i + 1)
    if (Math.max(draft.logs.length, draft.witnesses.length, draft.groups.size) > policyNamesMax) {
      throw refuse(i + 1, `more than ${policyNamesMax} logs, witnesses or groups`)
    }
  }
  if (draft.quorum === undefined) throw refuse(0, 'has no quorum')
  const both = draft.witnesses.find((witness) => draft.logs.some((log) => isSameKey(log, witness.key)))
  if (both !== undefined) throw refuse(0, `witness ${both.name} has the key of a log`)
  return { logs: draft.logs, witnesses: draft.witnesses, groups: draft.groups, quorum: draft.quorum }
}

/** Whether these witnesses, by the policy's names, are a quorum. */
function isQuorum(policy: TlogPolicy, cosigned: ReadonlySet<string>): boolean {
  if (policy.quorum === 'none') return true
  const reached = new Set(cosigned)
  // A group refers to names above it only, so one pass in the order of definition is enough.
  for (const [name, group] of policy.groups) {
    const count = group.members.filter((member) => reached.has(member)).length
    if (count >= group.threshold) reached.add(name)
  }
  return reached.has(policy.quorum)
}

/**
 * The policy's witnesses among verified signatures, which are a quorum.
 *
 * latest  cosignatures of a later time do not count (the reader's clock and what it forgives)
 * trusts  that `verifyNote` returned `signatures` for the checkpoint in question
 * throws  tlog/quorum
 */
export function verifyQuorum(
  policy: TlogPolicy,
  signatures: readonly VerifiedSignature[],
  latest: UnixSeconds = Number.MAX_SAFE_INTEGER,
): readonly Cosigner[] {
  const cosigners: Cosigner[] = []
  for (const { name, key } of policy.witnesses) {
    const times = signatures.flatMap((one) =>
      one.time !== null && one.time <= latest && one.key.id === key.id && isSameKey(one.key, key) ? [one.time] : [],
    )
    if (times.length > 0) cosigners.push({ name, vkeyName: key.name, time: Math.max(...times) })
  }
  const names = cosigners.map((one) => one.name)
  if (!isQuorum(policy, new Set(names))) {
    throw new Failure<TlogCode>(
      'tlog/quorum',
      `cosigned by ${names.join(', ') || 'nobody'}, expected ${policy.quorum}`,
      {
        detail: { cosigned: names, expected: policy.quorum },
      },
    )
  }
  return cosigners
}
