import type { Statement, StatementKind } from '#core/wire/statements.js'
import { isSubset, same } from '#policies/approvals/compare.js'
import { isTighterPolicy } from '#policies/approvals/tighter-policy.js'
import { isTighterValues } from '#policies/approvals/tighter-values.js'

type Compare<K extends StatementKind> = (last: Statement<K>, next: Statement<K>) => boolean

/** For each kind, whether `next` allows nothing that `last` did not. What is not shown to be so here is loosening. */
const tighter: { readonly [K in StatementKind]: Compare<K> } = {
  tenant: () => false,
  // Who approves, and how many, is for those who approve, whatever the change.
  approvers: () => false,
  trust: (last, next) =>
    same(next.class, last.class) &&
    same(next.witnessPolicy, last.witnessPolicy) &&
    (['brokers', 'verifiers', 'logs', 'simulatedRoots', 'independentWitnesses'] as const).every((name) =>
      isSubset(next[name], last[name]),
    ),
  registration: (last, next) =>
    next.version === last.version &&
    next.manifestDigest === last.manifestDigest &&
    next.versionFloor >= last.versionFloor &&
    isSubset(next.delivery, last.delivery) &&
    isTighterLease(last.lease, next.lease) &&
    isTighterCallers(last.callers, next.callers) &&
    (next.keyExchange ?? last.keyExchange) === next.keyExchange &&
    hasSameRest(last, next, [
      'version',
      'manifestDigest',
      'versionFloor',
      'delivery',
      'lease',
      'callers',
      'keyExchange',
    ]),
  policy: (last, next) =>
    isTighterPolicy(last.text, next.text) && (next.accepts === undefined || next.accepts === last.accepts),
  'reference-values': (last, next) => isTighterValues(last.values, next.values),
  revocation: (last, next) => isSubset(last.revoked, next.revoked),
  // It only ever allows more; 0 seconds ends it.
  'break-glass': (_, next) => next.seconds === 0,
  // Another registry or directory may say anything of anybody.
  sources: () => false,
  kek: (last, next) => isSubset(next.keys, last.keys),
  access: (last, next) =>
    isSubset(next.identities, last.identities) &&
    isSubset(next.authorities, last.authorities) &&
    next.requestsPerMinute <= last.requestsPerMinute,
}

type Lease = Statement<'registration'>['lease']

function isTighterLease(last: Lease, next: Lease): boolean {
  const { budget: before, ...terms } = last
  const { budget: after, ...others } = next
  return isLess(terms, others, ['seconds', 'nodes']) && isLess(before, after, ['requests', 'inputBytes', 'workUnits'])
}

/** None of the named numbers rises, and nothing else differs. */
function isLess(last: object, next: object, names: readonly string[]): boolean {
  const [before, after] = [last as Record<string, unknown>, next as Record<string, unknown>]
  return Object.keys({ ...before, ...after }).every((name) => {
    const [old, one] = [before[name], after[name]]
    return same(old, one) || (names.includes(name) && typeof old === 'number' && typeof one === 'number' && one <= old)
  })
}

type Callers = Statement<'registration'>['callers']

function isTighterCallers(last: Callers, next: Callers): boolean {
  if (last === 'any') return true
  if (next === 'any') return false
  return next.every((one) =>
    last.some((old) => {
      const { expiresAt: before, ...rest } = old
      const { expiresAt: after, ...others } = one
      return after <= before && same(rest, others)
    }),
  )
}

/** Members that no comparison above knows are the same in both. */
function hasSameRest(last: object, next: object, known: readonly string[]): boolean {
  const own = new Set([...known, 'type', 'tenant', 'sequence', 'previous', 'issuedAt', 'why'])
  const rest = (value: object) => Object.fromEntries(Object.entries(value).filter(([name]) => !own.has(name)))
  return same(rest(last), rest(next))
}

/** Whether `next` allows nothing that `last`, the statement that it replaces, did not. */
export function isTightening<K extends StatementKind>(kind: K, last: Statement<K>, next: Statement<K>): boolean {
  return (tighter[kind] as Compare<K>)(last, next)
}
