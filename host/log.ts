import { pino } from 'pino'
import { isFailure } from '#core/failure.js'

/** What a service says about its running. Never bodies, headers, tokens, keys, prompts or outputs (I10). */
export interface Log {
  /** `fields` are names, codes, counts and durations: values that may be read by everyone who operates the service. */
  info(fields: Readonly<Record<string, LogValue>>, message: string): void
  warn(fields: Readonly<Record<string, LogValue>>, message: string): void
  error(fields: Readonly<Record<string, LogValue>>, message: string): void
}
export type LogValue = string | number | boolean | null | undefined

export type LogLevel = 'info' | 'warn' | 'error' | 'silent'

/** Dropped wherever they occur: names under which a secret could come in by mistake. */
const forbidden = [
  'authorization',
  'cookie',
  'token',
  'password',
  'secret',
  'body',
  'key',
  'dek',
  'prompt',
  'output',
  'text',
]

/** A log of JSON lines on standard error; standard output belongs to results and ready lines. */
export function createLog(service: string, level: LogLevel): Log {
  return pino(
    { level, base: { service }, redact: { paths: forbidden, remove: true } },
    pino.destination({ dest: 2, sync: true }),
  )
}

/** What a log may say about an error: a failure's code and message, of a bug its name and place, never its message. */
export function describeError(error: unknown): Readonly<Record<string, LogValue>> {
  if (isFailure(error)) return { code: error.code, failure: error.message }
  if (!(error instanceof Error)) return { bug: typeof error }
  // A bug's message may quote what it stumbled over; where it stands is enough to find it.
  const frames = (error.stack ?? '').split('\n').filter((line) => line.trimStart().startsWith('at '))
  return { bug: error.name, at: frames.slice(0, 6).join(' ').slice(0, 1000) }
}
