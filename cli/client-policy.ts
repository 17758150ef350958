import type { Command } from 'commander'
import { thumbprint } from '#core/crypto/jwk.js'
import { integer, type Shape } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { type ClientPolicy, clientPolicyShape } from '#core/wire/client-policy.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of what was typed. */
export type UsageCode = 'usage/model' | 'usage/number' | 'usage/policy' | 'usage/bodies'

/** What a client demands, as typed. */
export interface PolicyArguments {
  readonly model?: string | undefined
  readonly countries?: string | undefined
  readonly manifest?: string | undefined
  readonly versionMin?: string | undefined
  readonly beatAge?: string | undefined
  readonly witnesses?: string | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
}

const defaults = { versionMin: '1', beatAge: '300', witnesses: '0' } as const

/** Adds the options that say what a client demands. */
export function describePolicy(command: Command): Command {
  return command
    .option('--model <id>', 'the model that is expected: owner alias and name, or the full id')
    .option('--countries <list>', 'accepted countries of the declared place, such as DE,FR')
    .option('--manifest <sha256>', 'the only manifest that is accepted')
    .option('--version-min <n>', 'oldest version that is accepted', defaults.versionMin)
    .option('--beat-age <seconds>', 'oldest sign of life that is accepted', defaults.beatAge)
    .option('--witnesses <n>', 'independent witnesses that are asked for', defaults.witnesses)
    .option('--dangerous-allow-simulated', 'accept a simulated node: NOT HARDWARE, for development only')
}

function number(name: string, text: string, shape: Shape<number> = integer()): number {
  if (!/^[0-9]{1,9}$/.test(text))
    throw new Failure<UsageCode>('usage/number', `--${name} is ${text}, expected a whole number`)
  return shape(Number(text), name)
}

/** `acme/whisper` becomes `<owner key thumbprint>/whisper` by the trust file; a full id stays as it is. @throws usage/model */
export function resolveModel(model: string, trust: Trust): string {
  const slash = model.indexOf('/')
  const owner = trust.owners.find(({ alias }) => alias === model.slice(0, slash))
  if (owner) return `${thumbprint(owner.key)}${model.slice(slash)}`
  if (/^[A-Za-z0-9_-]{43}\//.test(model)) return model
  const known = trust.owners.map(({ alias }) => alias).join(', ') || 'none'
  throw new Failure<UsageCode>('usage/model', `model ${model} names no owner in the trust file`, {
    detail: { hint: `owners there: ${known}` },
  })
}

/** Returns only when no demand was typed: what would not be compared is not taken in silence. @throws usage/policy */
export function refusePolicy(args: PolicyArguments, what: string): void {
  const typed = (['model', 'countries', 'manifest'] as const).filter((name) => args[name] !== undefined)
  const raised = (['versionMin', 'beatAge', 'witnesses'] as const).filter(
    (name) => args[name] !== undefined && args[name] !== defaults[name],
  )
  const [first] = [...typed, ...raised]
  if (first !== undefined)
    throw new Failure<UsageCode>('usage/policy', `${first} is a demand on a node, and this is ${what}`)
}

/** The policy that the arguments say, for `model` when no other is named. @throws usage/..., shape/... */
export function clientPolicy(args: PolicyArguments, trust: Trust, model?: string): ClientPolicy {
  const named = args.model === undefined ? model : resolveModel(args.model, trust)
  if (named === undefined)
    throw new Failure<UsageCode>('usage/model', 'no model is named', { detail: { hint: 'add --model OWNER/NAME' } })
  return clientPolicyShape(
    {
      type: 'claviger/client-policy/v1',
      model: named,
      manifests: args.manifest === undefined ? null : [args.manifest],
      versionMin: number('version-min', args.versionMin ?? defaults.versionMin),
      countries: args.countries === undefined ? null : args.countries.split(','),
      beatAgeSecondsMax: number('beat-age', args.beatAge ?? defaults.beatAge),
      witnessesMin: number('witnesses', args.witnesses ?? defaults.witnesses),
      dangerousAllowSimulated: args.dangerousAllowSimulated === true,
    },
    'policy',
  )
}
