/**
 * What belongs in cli: one file per command, and the places where parts are joined. Commands print results on stdout
 * and everything else on stderr; they contact only the addresses that they are given.
 */
import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'

/** How a command ends: 0 all steps passed, 1 failure, 2 usage, 3 a verdict against, partial or simulated. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, verdict: 3 } as const

/** What a command may touch of the process around it, so that tests drive it without one. */
export interface Io {
  stdout(text: string): void
  stderr(text: string): void
  /** whether stderr is a terminal: progress bars, colour, questions */
  readonly isTerminal: boolean
  now(): UnixSeconds
  /** sets the exit code that the process will end with */
  exit(code: number): void
  /** the answer to a question on the terminal; null where there is none */
  ask(question: string): Promise<string | null>
}

/**
 * What a stranger wrote, on one line: control and formatting characters would let it move the cursor, hide a line or add one
 * that looks like ours. They are shown as `?`.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
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
export function processIo(): Io {
  const isTerminal = process.stderr.isTTY === true
  const write = (stream: NodeJS.WriteStream, text: string) => void stream.write(stream.isTTY ? forTerminal(text) : text)
  return {
    stdout: (text) => write(process.stdout, text),
    stderr: (text) => write(process.stderr, text),
    isTerminal,
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

/** `ENOSPC` and the like: what the operating system refused, such as a folder that may not be written, is no bug. */
function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** Failures of what was typed whose codes are named after their command. */
const typed: readonly string[] = ['verify/trust-needed', 'lease/model', 'lease/value', 'serve/witness', 'kek/setting']

/** `error:` and `hint:` lines for whatever ended a command, and its exit code. Bugs keep their stack. */
export function reportError(io: Io, error: unknown): number {
  const system = systemCode(error)
  if (system !== null) {
    io.stderr(`${paint(io, 'red', 'error:')} ${(error as Error).message} (${system})\n`)
    return exitCodes.failure
  }
  if (!isFailure(error)) {
    io.stderr(
      `${paint(io, 'red', 'bug:')} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    return exitCodes.failure
  }
  io.stderr(`${paint(io, 'red', 'error:')} ${printable(error.message)} (${error.code})\n`)
  const hint = error.detail?.hint
  if (typeof hint === 'string') io.stderr(`${paint(io, 'cyan', 'hint:')} ${printable(hint)}\n`)
  return error.code.startsWith('usage/') || typed.includes(error.code) ? exitCodes.usage : exitCodes.failure
}

/** `1.2 s`, `35 ms`. */
export function formatDuration(milliseconds: number): string {
  return milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.round(milliseconds)} ms`
}

/** Digests in groups of eight, so that two can be compared by eye. */
export function groupHex(hex: string): string {
  return hex.replace(/(.{8})(?=.)/g, '$1 ')
}
