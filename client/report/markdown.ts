import type { Block, Line, Piece } from '#client/report/blocks.js'
import { printable } from '#core/shown.js'

/*
 * GitHub Flavored Markdown. Whatever a text says, it stays text: what begins markup is escaped, and what a reader's program would take for
 * an address, and make a link of by itself, stands as code.
 */

/** Characters that mean something inside a line, a pipe of a table among them. */
const special = /[\\`*_{}[\]<>()#|~&$!]/g
/** What a reader's program makes a link of by itself. source: GitHub Flavored Markdown, "Autolinks (extension)" */
const address = /:\/\/|www\.|@|^(?:mailto|xmpp):/i

function text(words: string): string {
  return printable(words)
    .split(/( +)/)
    .map((word) => (address.test(word) ? code(word) : word.replace(special, '\\$&')))
    .join('')
}

/** What means something at the begin of a line. */
const atBegin = (written: string): string => written.replace(/^[-+=]/, '\\$&').replace(/^(\d+)([.)])/, '$1\\$2')

/** A span of code, whose fence is longer than any in it. */
function code(words: string): string {
  const one = printable(words)
  if (one.trim() === '') return ''
  const longest = Math.max(0, ...(one.match(/`+/g) ?? []).map(({ length }) => length))
  const fence = '`'.repeat(longest + 1)
  // A pad of one space on both sides is no part of the code.
  return `${fence} ${one} ${fence}`.replace(/^(`) ([^`\s].*[^`\s]|[^`\s]) (`)$/, '$1$2$3')
}

function piece(one: Piece): string {
  if (typeof one === 'string') return text(one)
  if ('code' in one) return code(one.code)
  if ('strong' in one) return `**${text(one.strong.trim())}**`
  return `[${text(one.link)}](<${one.href.replace(/[<>\\|\s]/g, encodeURIComponent)}>)`
}

const line = (all: Line): string => atBegin(all.map(piece).join(''))
/** In a cell a pipe ends it, also in a span of code; in a text it is escaped already. */
const cell = (all: Line): string =>
  all
    .map((one) => {
      const written = piece(one)
      return written.replace(/(\\*)\|/g, (found, slashes: string) =>
        slashes.length % 2 === 1 ? found : `${slashes}\\|`,
      )
    })
    .join('') || ' '

function table(head: readonly string[], rows: readonly (readonly Line[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    row(head.map((one) => cell([one]))),
    row(head.map(() => '---')),
    ...rows.map((one) => row(one.map(cell))),
  ].join('\n')
}

function listing(words: string): string {
  const lines = words.split(/\r\n|\r|\n/).map((one) => printable(one.replaceAll('\t', '  ')))
  const longest = Math.max(2, ...lines.map((one) => /^ *(~+)/.exec(one)?.[1]?.length ?? 0))
  const fence = '~'.repeat(longest + 1)
  return [`${fence}text`, ...lines, fence].join('\n')
}

function block(one: Block): string {
  switch (one.kind) {
    case 'heading':
      return `${'#'.repeat(one.level)} ${text(one.text)}`
    case 'paragraph':
      return line(one.line)
    case 'note':
      return `> ${line(one.line)}`
    case 'list':
      return one.items.map((item) => `- ${line(item)}`).join('\n')
    case 'terms':
      return table(
        [one.caption, ''],
        one.rows.map(([name, value]) => [[name], value]),
      )
    case 'table':
      return `${text(one.caption)}:\n\n${table(one.head, one.rows)}`
    case 'listing':
      return listing(one.text)
  }
}

/** The report as Markdown. */
export function toMarkdown(blocks: readonly Block[]): string {
  return `${blocks.map(block).join('\n\n')}\n`
}
