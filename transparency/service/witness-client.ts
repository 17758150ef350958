import { concat, fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import type { LogCode } from '#transparency/failures.js'
import type { WitnessAnswer, WitnessClient } from '#transparency/witnesses.js'

const answerSizeMax = 64 * 1024
const requestTimeoutMs = 5_000

async function readBounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > answerSizeMax) throw new Error(`answer has more than ${answerSizeMax} bytes`)
    parts.push(part)
  }
  return fromUtf8(concat(...parts))
}

async function ask(url: string, body: string, signal: AbortSignal): Promise<WitnessAnswer> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    redirect: 'error',
    signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
  })
  const text = await readBounded(response)
  if (response.status === 200) return { kind: 'cosigned', lines: text }
  if (response.status === 409) {
    const size = parseDecimal(text.replace(/\n$/, ''))
    if (size === undefined) throw new Error('answer 409 names no size')
    return { kind: 'conflict', size }
  }
  return { kind: 'refused', status: response.status }
}

/**
 * A witness at an HTTP address.
 *
 * url  its submission prefix, without a slash at its end; or what tells where it is now: null while it is nowhere
 */
export function httpWitness(options: {
  readonly url: string | (() => string | null)
  readonly vkey: string
}): WitnessClient {
  const { url: place } = options
  return {
    vkey: options.vkey,
    async addCheckpoint(body, signal) {
      const prefix = typeof place === 'string' ? place : place()
      if (prefix === null)
        throw new Failure<LogCode>('log/witness-unavailable', 'the witness has ended and is being started again')
      const url = `${prefix.replace(/\/$/, '')}/add-checkpoint`
      try {
        return await ask(url, body, signal)
      } catch (cause) {
        throw new Failure<LogCode>('log/witness-unavailable', `witness at ${url} did not answer`, { cause })
      }
    },
  }
}
