/**
 * What belongs in cli: one file per command, and the places where parts are joined. Commands print results on stdout
 * and everything else on stderr; they contact only the addresses that they are given.
 */
import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'
import { exitCodes, troubleOf } from '#cli/trouble.js'
import { printable, shellWord } from '#core/shown.js'
import type { UnixSeconds } from '#core/time.js'

export { exitCodes, printable, shellWord }

/** What a command may touch of the process around it, so that tests drive it without one. */
export interface Io {
  stdout(text: string): void
  stderr(text: string): void
  /** whether stderr is a terminal: progress bars, colour, questions */
  readonly isTerminal: boolean
  /** `--json` was typed: an error is told on stdout as JSON too */
  readonly json?: boolean | undefined
  now(): UnixSeconds
  /** sets the exit code that the process will end with */
  exit(code: number): void
  /** the answer to a question on the terminal; null where there is none */
  ask(question: string): Promise<string | null>
}

/**
 * Text as it goes to a terminal: of what moves it, only line ends, tabs, and our own colours and clearing of a line. What is
 * printed without `printable` can still not write over what stands there.
 */
export function forTerminal(text: string): string {
  return text.replace(
    /\x1b(?!\[[0-9;]*m|\[2K)|\r(?!\n|\x1b\[2K)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    '?',
  )
}

/** The real process. */
export function processIo(words: readonly string[] = []): Io {
  const isTerminal = process.stderr.isTTY === true
  const write = (stream: NodeJS.WriteStream, text: string) => void stream.write(stream.isTTY ? forTerminal(text) : text)
  return {
    stdout: (text) => write(process.stdout, text),
    stderr: (text) => write(process.stderr, text),
    isTerminal,
    json: words.includes('--json'),
    now: () => Math.floor(Date.now() / 1000),
    exit: (code) => {
      process.exitCode = code
    },
    async ask(question) {
      if (!isTerminal || process.stdin.isTTY !== true) return null
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return await lines.question(question)
      } finally {
        lines.close()
      }
    },
  }
}

type Colour = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold' | 'magenta'

/** Coloured text on a terminal, plain text elsewhere. Colour is never the only sign. */
export function paint(io: Io, colour: Colour, text: string): string {
  return io.isTerminal ? styleText(colour, text, { validateStream: false }) : text
}

/** What is said of trouble, on one line: a stranger may have worded it, and it shows nobody's password. */
const said = (text: string) => printable(text.slice(0, 2000).replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#@\s]*@/gi, '$1…@'))

/**
 * `error:` and `hint:` lines on stderr for whatever ended a command. Bugs keep their stack.
 *
 * returns  its exit code
 */
export function sayError(io: Io, error: unknown): number {
  const trouble = troubleOf(error)
  if (trouble === null) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    io.stderr(`${paint(io, 'red', 'bug:')} ${text}\n`)
    return exitCodes.failure
  }
  io.stderr(`${paint(io, 'red', 'error:')} ${said(trouble.message)} (${trouble.code})\n`)
  for (const line of trouble.said ?? []) io.stderr(`  ${said(line)}\n`)
  if (trouble.hint !== null) io.stderr(`${paint(io, 'cyan', 'hint:')} ${said(trouble.hint)}\n`)
  return trouble.exit
}

/** The same, and for machines the error on stdout too, where no other answer stands. */
export function reportError(io: Io, error: unknown): number {
  if (io.json === true) {
    const { code, message, hint, said: lines } = troubleOf(error) ?? { code: 'bug', message: String(error), hint: null }
    const more = { ...(hint === null ? {} : { hint }), ...(lines === undefined ? {} : { said: lines }) }
    io.stdout(`${JSON.stringify({ error: { code, message: said(message), ...more } })}\n`)
  }
  return sayError(io, error)
}

/** `1.2 s`, `35 ms`. */
export function formatDuration(milliseconds: number): string {
  return milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.round(milliseconds)} ms`
}

/** Digests in groups of eight, so that two can be compared by eye. */
export function groupHex(hex: string): string {
  return hex.replace(/(.{8})(?=.)/g, '$1 ')
}
