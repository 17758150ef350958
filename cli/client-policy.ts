import type { Command } from 'commander'
import { thumbprint } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { type ClientPolicy, clientPolicyShape } from '#core/wire/client-policy.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of what was typed. */
export type UsageCode =
  | 'usage/model'
  | 'usage/number'
  | 'usage/countries'
  | 'usage/manifest'
  | 'usage/policy'
  | 'usage/bodies'

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

/** A demand that cannot be meant, by the option that said it. */
function malformed(code: UsageCode, option: string, text: string, expected: string, example: string): Failure {
  return new Failure<UsageCode>(code, `${option} is ${JSON.stringify(text)}, expected ${expected}`, {
    detail: { hint: `for example: ${option} ${example}` },
  })
}

function number(option: string, text: string, min: number, max: number, example: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  const expected = `a whole number from ${min} to ${max}`
  throw malformed('usage/number', option, text, expected, String(example))
}

function countries(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null
  const codes = text.split(',')
  if (codes.length <= 250 && codes.every((one) => /^[A-Z]{2}$/.test(one))) return codes
  const expected = 'countries of two capital letters, with commas between them'
  throw malformed('usage/countries', '--countries', text, expected, 'DE,FR')
}

function manifests(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null
  if (/^[0-9a-f]{64}$/.test(text)) return [text]
  const example = 'the digest that `claviger inspect` prints, without its spaces'
  throw malformed('usage/manifest', '--manifest', text, 'SHA-256 in 64 characters of lowercase hex', example)
}

/** What was typed, in its form: of everything but the model, which a trust file explains. @throws usage/... */
export function readDemands(args: PolicyArguments) {
  if (args.model !== undefined && !/^[^/]+\/[a-z0-9][a-z0-9._-]{0,99}$/.test(args.model))
    throw malformed('usage/model', '--model', args.model, 'owner and name', 'acme/whisper')
  return {
    manifests: manifests(args.manifest),
    versionMin: number('--version-min', args.versionMin ?? defaults.versionMin, 1, Number.MAX_SAFE_INTEGER, 3),
    countries: countries(args.countries),
    beatAgeSecondsMax: number('--beat-age', args.beatAge ?? defaults.beatAge, 1, 86_400, 300),
    witnessesMin: number('--witnesses', args.witnesses ?? defaults.witnesses, 0, 64, 1),
    dangerousAllowSimulated: args.dangerousAllowSimulated === true,
  }
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
  const demands = readDemands(args)
  const named = args.model === undefined ? model : resolveModel(args.model, trust)
  if (named === undefined)
    throw new Failure<UsageCode>('usage/model', 'no model is named', { detail: { hint: 'add --model OWNER/NAME' } })
  return clientPolicyShape({ type: 'claviger/client-policy/v1', model: named, ...demands }, 'policy')
}
