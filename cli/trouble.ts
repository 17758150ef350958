import { basename, dirname } from 'node:path'
import { CommanderError } from 'commander'
import { isFailure } from '#core/failure.js'

/* What is said of whatever ended a command: one line, a closed code, the way out, the exit code. */

/** How a command ends: 0 all steps passed, 1 failure, 2 usage, 3 a verdict against, partial or simulated. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, verdict: 3 } as const

export interface Trouble {
  readonly code: string
  readonly message: string
  readonly hint: string | null
  /** lines of a command of ours that ran on the way, and failed */
  readonly said?: readonly string[]
  readonly exit: number
}

/** What the operating system refused. */
export type SystemCode =
  | 'system/absent'
  | 'system/not-allowed'
  | 'system/read-only'
  | 'system/full'
  | 'system/is-folder'
  | 'system/no-folder'
  | 'system/exists'
  | 'system/name'
  | 'system/busy'
  | 'system/limit'
  | 'system/network'
  | 'system/other'

/** What was typed. */
export type UsageCode =
  | 'usage/command-unknown'
  | 'usage/command-missing'
  | 'usage/option-unknown'
  | 'usage/option-missing'
  | 'usage/option-value'
  | 'usage/argument-missing'
  | 'usage/argument-unknown'
  /** words that do not go together */
  | 'usage/words'

const system: Readonly<Record<string, readonly [SystemCode, string, string | null]>> = {
  ENOENT: ['system/absent', 'there is no such file or folder', 'is the path right?'],
  EACCES: ['system/not-allowed', 'this user may not do that there', 'choose another place, or run as its owner'],
  EPERM: ['system/not-allowed', 'this user may not do that there', 'choose another place, or run as its owner'],
  EROFS: ['system/read-only', 'nothing can be written there', 'choose a place on another disk'],
  ENOSPC: ['system/full', 'no space is left there', 'make room, then do it again'],
  EDQUOT: ['system/full', 'the quota of this user is used up', 'make room, then do it again'],
  EISDIR: ['system/is-folder', 'a folder stands there', 'name a file in it'],
  ENOTDIR: ['system/no-folder', 'a part of the path is no folder', 'is the path right?'],
  EEXIST: ['system/exists', 'something stands there already', 'choose another name'],
  ENOTEMPTY: ['system/exists', 'something stands there already', 'choose another name'],
  ELOOP: ['system/name', 'symbolic links there lead in a circle', null],
  ENAMETOOLONG: ['system/name', 'the name is too long', null],
  EBUSY: ['system/busy', 'something else is using it', null],
  EXDEV: ['system/busy', 'it is on another disk', 'choose a place on the same one'],
  EMFILE: ['system/limit', 'too many files are open', 'raise the limit: ulimit -n'],
  ENFILE: ['system/limit', 'too many files are open on this machine', null],
  EADDRINUSE: ['system/network', 'another process listens there', 'choose another port'],
  ECONNREFUSED: ['system/network', 'nobody listens there', 'is the service running?'],
}

interface SystemError extends Error {
  readonly code: string
  readonly path?: unknown
  readonly dest?: unknown
}

/** `ENOSPC` and the like: what the operating system refused, such as a folder that may not be written, is no bug. */
function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string'
}

/** The path that somebody named: a file that is written first stands beside it under a name of ours. */
function pathIn(error: SystemError): string | null {
  const path = [error.dest, error.path].find((one) => typeof one === 'string' && one !== '')
  if (typeof path !== 'string') return null
  return /^\.[0-9a-f]{16}\.tmp$/.test(basename(path)) ? dirname(path) : path
}

function systemTrouble(error: SystemError): Trouble {
  const [code, text, hint] = system[error.code] ?? (['system/other', error.message, null] as const)
  const path = pathIn(error)
  const message = code === 'system/other' ? text : `${path === null ? '' : `${path}: `}${text}, ${error.code}`
  return { code, message, hint, exit: exitCodes.failure }
}

const usage: Readonly<Record<string, UsageCode>> = {
  'commander.unknownCommand': 'usage/command-unknown',
  'commander.help': 'usage/command-missing',
  'commander.unknownOption': 'usage/option-unknown',
  'commander.missingMandatoryOptionValue': 'usage/option-missing',
  'commander.optionMissingArgument': 'usage/option-value',
  'commander.invalidArgument': 'usage/option-value',
  'commander.missingArgument': 'usage/argument-missing',
  'commander.excessArguments': 'usage/argument-unknown',
}

function usageTrouble(error: CommanderError): Trouble {
  const code = usage[error.code] ?? 'usage/words'
  const more = 'add --help for the options and an example'
  if (code === 'usage/command-missing')
    return { code, message: 'a command is missing', hint: more, exit: exitCodes.usage }
  const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  return { code, message, hint: [...rest, more].join('; '), exit: exitCodes.usage }
}

/** Failures of what was typed whose codes are named after their command. */
const typed: readonly string[] = [
  'verify/trust-needed',
  'lease/model',
  'lease/value',
  'serve/witness',
  'serve/tls',
  'connection/bundle',
  'access/credential-named',
  'access/entry',
  'kek/setting',
]

/** What is said of an error; null for a bug. */
export function troubleOf(error: unknown): Trouble | null {
  if (error instanceof CommanderError) return usageTrouble(error)
  if (isSystemError(error)) return systemTrouble(error)
  if (!isFailure(error)) return null
  const isUsage = error.code.startsWith('usage/') || typed.includes(error.code)
  const { hint, said } = error.detail ?? {}
  return {
    ...(typeof said === 'string' ? { said: said.trim().split('\n').slice(-20) } : {}),
    code: error.code,
    message: error.message,
    hint: typeof hint === 'string' ? hint : null,
    exit: isUsage ? exitCodes.usage : exitCodes.failure,
  }
}
