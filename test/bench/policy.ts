/**
 * `policy [--rounds 9]`: a decision of ours, facts read strictly, reasons and digests made, beside the bare call into Cedar that it
 * cannot do without: `statefulIsAuthorized` on the same policies and the same request, both parsed before, with the same options.
 * Ratios are those of rates, ours over bare, and the goal of at most 1.3 times its time is at least 0.77 of its rate (P19).
 *
 * `deny` and `allow`  one policy of the library, facts that it refuses and facts that it allows
 * `models`            decisions a second over 1,000 models with a policy text of each one's own, over those over 10
 */
import { performance } from 'node:perf_hooks'
import { preparsePolicySet, preparseSchema, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs'
import { decide, type Facts, type PolicySet, validatePolicy } from '#policies/index.js'
import { requestOf } from '#policies/judge.js'
import { requestSchema } from '#policies/language/vocabulary.js'
import { libraryPolicy, libraryWorlds } from '#policies/library/read.js'
import { readWorlds } from '#policies/worlds.js'
import { comparisonLine } from './compare.js'

const decisions = 400
const policyName = 'third-country-control'

/** Decisions a second of so many calls. */
function rateOf(calls: number, work: (i: number) => void): number {
  const start = performance.now()
  for (let i = 0; i < calls; i++) work(i)
  return (calls * 1000) / (performance.now() - start)
}

function bareOf(policy: PolicySet): (facts: Facts) => boolean {
  const name = `bare-${policy.digest}`
  const staticPolicies = Object.fromEntries(policy.policies.map(({ id, text }) => [id, text]))
  for (const { type } of [preparsePolicySet(name, { staticPolicies }), preparseSchema(name, requestSchema)])
    if (type !== 'success') throw new Error('Cedar does not take its own policies')
  return (facts) => {
    const { context, principal: node, resource: model } = requestOf(facts, 'release')
    const [principal, resource] = [
      { type: 'Claviger::Node', id: node },
      { type: 'Claviger::Model', id: model },
    ]
    const answer = statefulIsAuthorized({
      principal,
      action: { type: 'Claviger::Action', id: 'release' },
      resource,
      context: context as unknown as Parameters<typeof statefulIsAuthorized>[0]['context'],
      entities: [principal, resource].map((uid) => ({ uid, attrs: {}, parents: [] })),
      preparsedPolicySetId: name,
      preparsedSchemaName: name,
      validateRequest: true,
    })
    return answer.type === 'success' && answer.response.decision === 'allow'
  }
}

/** The same policy for each model under a digest of its own, as owners who all start from the library have. */
function policiesOf(models: number): readonly PolicySet[] {
  const { text } = libraryPolicy(policyName)
  return Array.from({ length: models }, (_, i) => validatePolicy(`// model ${i}\n${text}`))
}

export async function run(args: readonly string[]): Promise<void> {
  const rounds = args[0] === '--rounds' ? Number(args[1]) : 9
  const policy = validatePolicy(libraryPolicy(policyName).text)
  const worlds = readWorlds(libraryWorlds(policyName)!)
  const bare = bareOf(policy)
  const ours = (facts: Facts) => decide({ policy, facts, action: 'release' }).allow
  for (const verdict of ['deny', 'allow'] as const) {
    const { facts } = worlds.find((one) => one.expect === verdict)!
    if (ours(facts) !== (verdict === 'allow')) throw new Error('the world is decided otherwise')
    const figures = { ours: [] as number[], peer: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      const first = round % 2 === 0 ? 'ours' : 'peer'
      for (const side of [first, first === 'ours' ? 'peer' : 'ours'] as const)
        figures[side].push(rateOf(decisions, () => void (side === 'ours' ? ours : bare)(facts)))
    }
    process.stdout.write(comparisonLine({ name: `policy/${verdict}`, ...figures, goal: 1 / 1.3 }))
  }
  const { facts } = worlds.find((one) => one.expect === 'allow')!
  const [few, many] = [policiesOf(10), policiesOf(1000)]
  const figures = { ours: [] as number[], peer: [] as number[] }
  const over = (sets: readonly PolicySet[]) =>
    rateOf(2000, (i) => void decide({ policy: validatePolicy(sets[i % sets.length]!.text), facts, action: 'release' }))
  for (let round = 0; round < rounds; round++) {
    const [a, b] = round % 2 === 0 ? [few, many] : [many, few]
    const [one, other] = [over(a), over(b)]
    figures.ours.push(round % 2 === 0 ? other : one)
    figures.peer.push(round % 2 === 0 ? one : other)
  }
  process.stdout.write(comparisonLine({ name: 'policy/models', ...figures, goal: 1 / 1.2 }))
}
