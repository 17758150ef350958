/**
 * What belongs in runtime/service: a node's rim. The routes that strangers reach, and the node's own calls to its
 * broker. What decides stands in the pure files of runtime.
 */
import { thumbprint } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { verifyBrokerDocument } from '#core/wire/broker-document.js'
import { brokerProofAnswerShape } from '#core/wire/broker-proof.js'
import { finalAnswerShape } from '#core/wire/counter.js'
import { type QualifyAnswer, qualifyAnswerShape } from '#core/wire/qualify.js'
import { apiVersion, challengeShape, type ReleaseRequest, releaseAnswerShape } from '#core/wire/release.js'
import type { Broker, BrokerCode } from '#runtime/ports.js'

/** An answer of a broker: a release with its bundle of evidence, EAR and proof stays far below. */
const answerSizeMax = 4 * MiB
const timeoutMs = 60_000
/** Nothing waits long for what only gives something back. */
const finalTimeoutMs = 5_000

export interface BrokerClientOptions {
  readonly url: string
  /** what the caller shows of itself; releases need none */
  readonly bearer?: string
  readonly fetch?: typeof fetch
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > answerSizeMax)
      throw new Failure<BrokerCode>('broker/answer', `answer has more than ${answerSizeMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** What a problem document says; an answer that is none says only its status. */
function problemOf(bytes: Uint8Array, status: number) {
  let problem: Json = null
  try {
    problem = parseJson(bytes)
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  const member = (name: string): Json | undefined =>
    problem !== null && typeof problem === 'object' && !Array.isArray(problem)
      ? (problem as { readonly [name: string]: Json })[name]
      : undefined
  const text = (name: string) => {
    const value = member(name)
    return typeof value === 'string' ? value.slice(0, 1000) : undefined
  }
  const info = member('info')
  const fix = info !== null && typeof info === 'object' && 'fix' in info ? info.fix : undefined
  return {
    code: text('code') ?? `status ${status}`,
    detail: text('detail') ?? 'no reason given',
    hint: typeof fix === 'string' ? fix.slice(0, 1000) : undefined,
    /** the members that say why a release was denied, unread */
    denial: {
      reasons: member('reasons') ?? null,
      entry: member('entry') ?? null,
      simulated: member('simulated') ?? null,
    },
  }
}

/** 403 is a decision; everything that may pass by itself is `unreachable`. */
function refusalOf(bytes: Uint8Array, status: number): Failure<BrokerCode> {
  const { code, detail, hint, denial } = problemOf(bytes, status)
  if (status === 403) return new Failure<BrokerCode>('broker/denied', `${code}: ${detail}`, { detail: { denial } })
  if (status === 429 || status >= 500) return new Failure<BrokerCode>('broker/unreachable', `broker is busy: ${code}`)
  if (code === 'broker/lease-stale') return new Failure<BrokerCode>('broker/lease-stale', detail)
  if (code === 'broker/unattested') return new Failure<BrokerCode>('broker/unattested', detail)
  return new Failure<BrokerCode>('broker/refused', `${code}: ${detail}`, hint === undefined ? {} : { detail: { hint } })
}

async function exchange(
  options: BrokerClientOptions,
  method: string,
  path: string,
  body: unknown,
  waitMs: number,
): Promise<Uint8Array> {
  let response: Response
  let bytes: Uint8Array
  try {
    response = await (options.fetch ?? fetch)(new URL(path, options.url), {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(waitMs),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(options.bearer === undefined ? {} : { authorization: `Bearer ${options.bearer}` }),
      },
      ...(body === undefined ? {} : { body: Buffer.from(canonicalJson(body)) }),
    })
    bytes = await readBounded(response)
  } catch (cause) {
    if (isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/unreachable', `no answer from ${options.url}`, { cause })
  }
  if (response.status === 200) return bytes
  throw refusalOf(bytes, response.status)
}

async function call<T>(
  options: BrokerClientOptions,
  path: string,
  body: unknown,
  shape: Shape<T>,
  waitMs = timeoutMs,
): Promise<T> {
  const bytes = await exchange(options, body === undefined ? 'GET' : 'POST', path, body, waitMs)
  try {
    return shape(parseJson(bytes), 'answer')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/answer', `answer to ${path}: ${cause.message}`, { cause })
  }
}

/** The broker at a URL. Nothing that it says is believed because of where it came from. */
export function createBrokerClient(options: BrokerClientOptions): Broker {
  return {
    async prove(nonce) {
      const body = { version: apiVersion, nonce }
      return (await call(options, '/v1/broker/evidence', body, brokerProofAnswerShape)).proof
    },
    challenge: (model, renewal, timed) =>
      call(options, '/v1/challenges', { version: apiVersion, model, renewal, timed }, challengeShape),
    release: (request) => call(options, '/v1/releases', request, releaseAnswerShape),
    renew: (request) => call(options, '/v1/renewals', request, releaseAnswerShape),
    finish: (final) => call(options, '/v1/finals', { version: apiVersion, ...final }, finalAnswerShape, finalTimeoutMs),
    beat: (lease, nonce) => call(options, '/v1/beats', { version: apiVersion, lease, nonce }, envelopeShape),
  }
}

/** The trust statement that a broker keeps for an owner: believed only once the owner's key verified it. */
export function fetchTrustStatement(options: BrokerClientOptions, owner: string): Promise<Envelope> {
  return call(options, `/v1/owners/${owner}/trust`, undefined, envelopeShape)
}

/** The thumbprint that the broker at an address says it has: to know which of several it is. Its signatures prove the rest. */
export async function fetchBrokerName(options: BrokerClientOptions): Promise<string> {
  const envelope = await call(options, '/v1/broker', undefined, envelopeShape)
  try {
    return thumbprint((await verifyBrokerDocument(envelope, null)).key)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/answer', `the broker's document: ${cause.message}`, { cause })
  }
}

/** Whether a broker would release now, by its own word: nothing follows from it. query: the owner's question; null for a bearer's */
export function fetchQualification(
  options: BrokerClientOptions,
  request: ReleaseRequest,
  query: Envelope | null,
): Promise<QualifyAnswer> {
  return call(options, '/v1/qualify', { version: apiVersion, request, query }, qualifyAnswerShape)
}
