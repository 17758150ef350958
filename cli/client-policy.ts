import type { Command } from 'commander'
import { thumbprint } from '#core/crypto/jwk.js'
import { integer, type Shape } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { type ClientPolicy, clientPolicyShape } from '#core/wire/client-policy.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of what was typed. */
export type UsageCode = 'usage/model' | 'usage/number'

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

/** Adds the options that say what a client demands. */
export function describePolicy(command: Command): Command {
  return command
    .option('--model <id>', 'the model that is expected: owner alias and name, or the full id')
    .option('--countries <list>', 'accepted countries of the declared place, such as DE,FR')
    .option('--manifest <sha256>', 'the only manifest that is accepted')
    .option('--version-min <n>', 'oldest version that is accepted', '1')
    .option('--beat-age <seconds>', 'oldest sign of life that is accepted', '300')
    .option('--witnesses <n>', 'independent witnesses that are asked for', '0')
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
      versionMin: number('version-min', args.versionMin ?? '1'),
      countries: args.countries === undefined ? null : args.countries.split(','),
      beatAgeSecondsMax: number('beat-age', args.beatAge ?? '300'),
      witnessesMin: number('witnesses', args.witnesses ?? '0'),
      dangerousAllowSimulated: args.dangerousAllowSimulated === true,
    },
    'policy',
  )
}
