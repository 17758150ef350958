import { setTimeout as pause } from 'node:timers/promises'
import { tellFinding, tellRun } from '#cli/audit/tell.js'
import { exitCodes, type Io } from '#cli/output.js'
import type { Finding } from '#client/audit/findings.js'
import type { Followed } from '#client/audit/follow.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'

/** Where alarms go, and how often the log is read. */
export interface Alarm {
  /** null for nowhere but here */
  readonly url: string | null
  readonly seconds: number
}

const postTimeoutMs = 10_000
/** What waits for a webhook that does not answer. */
const waitingMax = 1000

/** What is the same from one reading to the next is told once. */
const keyOf = ({ code, index, message }: Finding) => `${code} ${index} ${code === 'notice/stalled' ? '' : message}`

/**
 * Reads a log again and again until it is told to stop. What is new goes to stdout, a line each, and to the webhook; what the webhook did
 * not take is posted with the next. A log that cannot be read any more is told once, and read again.
 *
 * throws  what the first reading throws
 */
export async function watch(
  url: string,
  alarm: Alarm,
  read: () => Promise<Followed>,
  args: { readonly json?: boolean | undefined },
  io: Io,
): Promise<number> {
  const stop = new AbortController()
  const stopped = () => stop.abort()
  process.once('SIGINT', stopped)
  process.once('SIGTERM', stopped)
  let known = new Set<string>()
  let waiting: Finding[] = []
  let last: Followed | null = null
  try {
    for (let first = true; !stop.signal.aborted; first = false) {
      let found: readonly Finding[]
      try {
        last = await read()
        found = last.findings
      } catch (error) {
        // Whatever it is, the log was not judged: an auditor that ends for it would be blind from then on.
        if (!isFailure(error) || last === null) throw error
        found = [{ code: 'notice/unreachable', index: null, message: `not judged: ${error.message} (${error.code})` }]
      }
      const now = new Set(found.map(keyOf))
      const news = found.filter((one) => !known.has(keyOf(one)))
      // What stays so is not told again; what ends and comes again is.
      known = now
      if (first) tellRun(url, last, args, io)
      else for (const one of news) tell(url, one, args, io)
      waiting = await post(alarm.url, url, last, [...waiting, ...news].slice(-waitingMax), io)
      await pause(alarm.seconds * 1000, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  } finally {
    process.off('SIGINT', stopped)
    process.off('SIGTERM', stopped)
  }
  return last === null || last.state.convictions.length > 0 ? exitCodes.verdict : exitCodes.ok
}

function tell(url: string, finding: Finding, args: { readonly json?: boolean | undefined }, io: Io): void {
  if (args.json) io.stdout(`${JSON.stringify({ url, at: io.now(), ...finding })}\n`)
  else {
    io.stdout(`${formatTime(io.now())} `)
    tellFinding(finding, io)
  }
}

/** returns: what the webhook did not take */
async function post(
  hook: string | null,
  url: string,
  last: Followed | null,
  findings: Finding[],
  io: Io,
): Promise<Finding[]> {
  if (hook === null || findings.length === 0) return []
  const body = { type: 'claviger/audit-alarm/v1', url, log: last?.tree.origin ?? null, at: io.now(), findings }
  try {
    const answer = await fetch(hook, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(postTimeoutMs),
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(canonicalJson(body)),
    })
    await answer.body?.cancel()
    if (answer.ok) return []
    io.stderr(`the webhook answers ${answer.status}; ${findings.length} findings wait for it\n`)
  } catch {
    io.stderr(`no answer from the webhook; ${findings.length} findings wait for it\n`)
  }
  return findings
}
