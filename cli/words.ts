import type { Command } from 'commander'
import { Failure } from '#core/failure.js'

/* What holds of every word that is typed, whatever the command. */

/** Failures of words that no option can mean. */
export type WordsCode =
  /** `--out "$UNSET"` */
  | 'usage/empty'
  /** an address, where a file or folder is expected */
  | 'usage/address'

const isAddress = (text: string) => /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
const expectsPath = (placeholder: string) => /^(?:file|folder|dir|path|sealed|.*-dir)$/.test(placeholder)

function verifyWord(name: string, placeholder: string, word: unknown): void {
  if (typeof word !== 'string') return
  if (word.trim() === '') {
    const hint = 'is a variable of your shell unset?'
    throw new Failure<WordsCode>('usage/empty', `${name} is empty`, { detail: { hint } })
  }
  if (!expectsPath(placeholder) || !isAddress(word)) return
  const hint = 'an address is called by `claviger verify`, and by options that say <url>'
  throw new Failure<WordsCode>('usage/address', `${name} is a path, found the address ${word}`, { detail: { hint } })
}

/** No word is empty, and no address stands where a path is expected. @throws usage/empty, usage/address */
export function verifyWords(command: Command): void {
  command.registeredArguments.forEach((argument, i) => {
    verifyWord(argument.name(), argument.name(), command.args[i])
  })
  for (const option of command.options) {
    const value: unknown = command.getOptionValue(option.attributeName())
    const placeholder = /<([^>]+)>/.exec(option.flags)?.[1] ?? ''
    for (const word of Array.isArray(value) ? value : [value])
      verifyWord(option.long ?? option.flags, placeholder, word)
  }
}
