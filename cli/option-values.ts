import { InvalidArgumentError } from 'commander'
import { Failure, isFailure } from '#core/failure.js'
import { parseTime } from '#core/time.js'
import { isKeyName, parseVkey } from '#core/tlog/vkey.js'
import { nameShape } from '#core/wire/names.js'

/*
 * What options and arguments may be. A value that cannot be meant is refused when it is typed, before a file is read or an
 * address is called: the parser of the command line names the option, and what is thrown here an example. What only a
 * file or a broker can tell is no matter of form, and no usage error.
 */

/** Failures of what was typed, where no option's parser saw it. */
export type OptionCode = 'usage/listen'

/** `127.0.0.1:0`, `[::1]:8080`. @throws usage/listen */
export function parseListen(text: string): { readonly host: string; readonly port: number } {
  const found = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):([0-9]{1,5})$/.exec(text)
  const port = Number(found?.[2])
  if (!found || port > 65_535) throw new Failure<OptionCode>('usage/listen', `${text} is not HOST:PORT`)
  return { host: found[1]!.replace(/^\[|\]$/g, ''), port }
}

function refuse(expected: string, example: string): never {
  throw new InvalidArgumentError(`expected ${expected}, such as ${example}`)
}

const form = (pattern: RegExp, expected: string, example: string) => (text: string) =>
  pattern.test(text) ? text : refuse(expected, example)

/** A whole number in decimal digits. */
export const wholeNumber = (min: number, max: number, example: number) => (text: string) => {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? value : refuse(`a whole number from ${min} to ${max}`, String(example))
}

/** A day in UTC, which is its beginning, or a time; in Unix seconds. */
export const dayOrTime = (text: string): number =>
  parseTime(text.includes('T') ? text : `${text}T00:00:00Z`) ??
  refuse('a day or a time in UTC', '2027-01-31 or 2027-01-31T12:00:00Z')

/** An address that is called. */
export const httpUrl = (example: string) => (text: string) => {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '')
    return refuse('an http or https URL', example)
  return text
}
/** An address of a document that is published for everybody. */
export const httpsUrl = form(/^https:\/\/[^\s#]{1,490}$/, 'an https address', 'https://issuer.example/status/1')

/** The address of a broker or a node: its routes stand at the root, and it knows nobody by a name in the address. */
export function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, pathname, search, hash, username, password } = new URL(text)
  return /^https?:$/.test(protocol) && hostname !== '' && `${pathname}${search}${hash}${username}${password}` === '/'
}
export const serviceUrl = (example: string) => (text: string) =>
  isServiceUrl(text) ? text : refuse('http or https, a host and perhaps a port, nothing more', example)
export const brokerUrl = serviceUrl('https://broker.example')

export const sha256Text = form(/^[0-9a-f]{64}$/, 'SHA-256 in lowercase hex', '9f86d081…, 64 characters')
export const thumbprintText = form(
  /^[A-Za-z0-9_-]{43}$/,
  'the thumbprint of a key, 43 characters',
  'the one that `claviger serve create` printed',
)
export const modelIdText = form(
  /^[A-Za-z0-9_-]{43}\/[a-z0-9][a-z0-9._-]{0,99}$/,
  'a full model id: thumbprint of the owner, a slash, the name',
  'the one that `claviger inspect` prints',
)
export const lineName = form(
  /^[a-z0-9][a-z0-9._-]{0,99}$/,
  'lowercase letters, digits, dots, underscores and hyphens',
  'acme-1',
)
/** What a key is for. */
export const purposeName = form(/^[a-z0-9][a-z0-9._-]{0,99}$/, 'a name of lowercase letters and digits', 'research')
/** Owner and name, or a name alone: whose it is, a trust file says. */
export const modelName = form(
  /^(?:[A-Za-z0-9_-]{43}|[a-z0-9][a-z0-9._-]{0,99})\/[a-z0-9][a-z0-9._-]{0,99}$|^[a-z0-9][a-z0-9._-]{0,99}$/,
  'OWNER/NAME',
  'acme/whisper',
)
/** A name of a log or witness, as it stands in checkpoints. */
export const keyName = (text: string) =>
  isKeyName(text) ? text : refuse('a name without spaces and plus', 'log.example/acme')

export const listenAddress = (text: string) => {
  try {
    parseListen(text)
    return text
  } catch (error) {
    if (!isFailure(error)) throw error
    return refuse('HOST:PORT', '127.0.0.1:8790')
  }
}

/** Every one of an option that may be repeated. */
export const repeated =
  (parse: (text: string) => string) =>
  (text: string, before: readonly string[] = []): readonly string[] => [...before, parse(text)]

/** The key of a log; one that cosigns is none. */
export const logKey = (text: string) => {
  try {
    if (parseVkey(text).use === 'log') return text
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  return refuse('the verifier key of a log', 'log.example/acme+1f2e3d4c+A…')
}

/** `PATH`, or `NAME=PATH`. */
export const namedPath = (text: string) => {
  const named = /^([^=/]*)=(.*)$/.exec(text)
  if (text !== '' && (named === null || (isName(named[1]!) && named[2] !== ''))) return text
  return refuse('PATH or NAME=PATH', 'acme=./keys')
}

function isName(text: string): boolean {
  try {
    nameShape(text, 'name')
    return true
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

/** One line that people read. */
export const lineText = form(/^[^\p{Cc}]{1,200}$/u, 'one line of at most 200 characters', '"the disk was stolen"')
