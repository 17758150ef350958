import type { Command } from 'commander'
import { type BrokerAttesterArguments, brokerAttesterOf } from '#cli/broker-attester.js'
import type { Io } from '#cli/output.js'
import { obtainKek } from '#cli/released-kek.js'
import { servicePlaces } from '#cli/service-state.js'
import type { KekPorts } from '#keybroker/kek/open.js'
import { type KekSetting, parseKekSetting } from '#keybroker/kek/setting.js'
import { type KekSettings, ownKekSettings } from '#keybroker/service/keys.js'

/** Where the key-encryption keys of a broker live, as they were typed. */
export interface KekArguments {
  readonly state: string
  readonly kek?: string | undefined
  readonly kekPrevious?: readonly string[] | undefined
}

export const kekOption = [
  '--kek <uri>',
  'the key-encryption key: file:…, pkcs11:…, vault:… or broker:…; or CLAVIGER_KEK; without either the file in the state folder',
] as const

/** What `--kek` or the environment names; null where neither does. @throws kek/setting */
export function kekOf({ kek }: Pick<KekArguments, 'kek'>): KekSetting | null {
  const text = kek ?? process.env.CLAVIGER_KEK
  return text === undefined ? null : parseKekSetting(text)
}

/** The keys of a broker. @throws kek/setting */
export function keksOf(args: KekArguments): KekSettings {
  const own = ownKekSettings(servicePlaces(args.state).broker)
  return { current: kekOf(args) ?? own.current, previous: (args.kekPrevious ?? []).map(parseKekSetting) }
}

const all = (text: string, before: readonly string[]) => [...before, text]

export function kekOptions(command: Command): Command {
  return command
    .option(...kekOption)
    .option('--kek-previous <uri>', 'a key that wrapped rows before, to read them with; repeat for more', all, [])
}

/** What keys of these options are opened with: evidence of this machine, where one of them is released to it. @throws attester/..., file/... */
export async function kekPortsOf(
  args: KekArguments & BrokerAttesterArguments,
  io: Io,
): Promise<Pick<KekPorts, 'obtain'>> {
  const { current, previous } = keksOf(args)
  if (![current, ...previous].some(({ provider }) => provider === 'broker')) return {}
  const attester = await brokerAttesterOf(args, io)
  const dangerousAllowSimulated = args.dangerousAllowSimulated === true
  return attester === undefined ? {} : { obtain: obtainKek({ attester, dangerousAllowSimulated }) }
}
