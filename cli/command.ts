import { EventEmitter } from 'node:events'
import { Command } from 'commander'

// What no word of a shell can hold, since it ends text in C.
const mark = '\0'

// A thumbprint (RFC 7638, SHA-256 as base64url: 43 characters), alone or with a name behind it, as of a model. One in 64
// begins as an option does.
const isId = (word: string) => /^-[A-Za-z0-9_-]{42}(?:\/.*)?$/s.test(word)

const marked = (word: string) => `${mark}${word}`
const unmarked = (word: string) => (word.startsWith(mark) ? word.slice(mark.length) : word)

/** A command which takes ids as they are, also those that begin with `-`, wherever they stand. */
export class IdCommand extends Command {
  override createCommand(name?: string): Command {
    return new IdCommand(name)
  }

  override parseOptions(words: string[]): { operands: string[]; unknown: string[] } {
    const isOption = (word: string) => this.options.some(({ short, long }) => word === short || word === long)
    const { operands, unknown } = super.parseOptions(
      words.map((word) => (isId(word) && !isOption(word) ? marked(word) : word)),
    )
    return { operands: operands.map(unmarked), unknown: unknown.map(unmarked) }
  }

  // Values of options come this way, which the types of commander do not say.
  emit(event: string, ...values: unknown[]): boolean {
    const plain = values.map((value) => (typeof value === 'string' ? unmarked(value) : value))
    return EventEmitter.prototype.emit.call(this as unknown as EventEmitter, event, ...plain)
  }
}
