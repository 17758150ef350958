import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import { nameLengthMax } from '#core/limits.js'
import {
  type CarriedReceipt,
  commitBody,
  encodeInnerResponse,
  type InnerRequest,
  parseInnerRequest,
} from '#core/wire/inner.js'
import { type OpenedRequest, openRequest } from '#core/wire/ohttp.js'
import { type Receipt, signReceipt } from '#core/wire/receipt.js'
import { type AdmissionCode, identifyCaller, verifyClientPolicy, verifyDeadline } from '#runtime/admission.js'
import { type ApiRequest, type ApiResponse, jsonAnswer } from '#runtime/api/answer.js'
import type { InferenceEngine } from '#runtime/api/engine.js'
import type { KeyUseCode } from '#runtime/key-use.js'
import type { SessionCode } from '#runtime/ports.js'
import type { ReplayCode, ReplayWindow } from '#runtime/replay-window.js'
import type { Session } from '#runtime/session.js'
import { type Grant, leafHashHex } from '#runtime/verify-grant.js'

/**
 * Answers a route, from the pure handlers of runtime/api. A refusal is an answer; what it throws is a bug, or what the
 * engine's meter throws when the lease does not pay for the work.
 */
export type Handler = (request: ApiRequest, engine: InferenceEngine) => Promise<ApiResponse>

/** What an exchange needs beside its session. */
export interface ExchangePorts {
  readonly handler: Handler
  readonly replays: ReplayWindow
  /** unix milliseconds */
  nowMs(): number
  random(size: number): Uint8Array
  /** rejects after so many milliseconds; `cancel` ends the wait */
  after(ms: number): { readonly passed: Promise<void>; cancel(): void }
}

/** What a refusal inside the seal is told by, and its HTTP status. */
const statuses: Readonly<Record<AdmissionCode | KeyUseCode | ReplayCode | SessionCode, number>> = {
  'admission/model': 404,
  'admission/version': 412,
  'admission/manifest': 412,
  'admission/country': 412,
  'admission/simulated': 412,
  'admission/deadline': 408,
  'admission/caller': 401,
  'channel/replayed': 409,
  'channel/replay-window': 503,
  'lease/expired': 503,
  'lease/beat-missed': 503,
  'lease/budget': 429,
  'session/broker': 503,
  'session/challenge-expired': 503,
  'session/key': 503,
  'session/keyset-expired': 503,
  'session/engine': 503,
  'session/quorum': 503,
  'session/share': 503,
  'session/stopped': 503,
}

const statusOf = (code: string) =>
  Object.hasOwn(statuses, code) ? statuses[code as keyof typeof statuses] : code.startsWith('broker/') ? 503 : 400

/** The failure as JSON, in the form that the callers of the route know. Messages are ours and quote no body (I10). */
function refusal(failure: Failure, path: string): ApiResponse {
  const status = statusOf(failure.code)
  const text = `${failure.code}: ${failure.message}`
  const error = path.startsWith('/v2/')
    ? { error: text }
    : { error: { message: text, type: 'claviger_refused', param: null, code: failure.code } }
  return jsonAnswer(status, JSON.stringify(error))
}

const late = (): Failure<AdmissionCode> =>
  new Failure<AdmissionCode>('admission/deadline', 'the answer was not ready by its deadline')

interface Outcome {
  /** the grant under which the request was admitted: a renewal during the work is not what its receipt is about */
  readonly grant: Grant
  /** those of the other brokers, where several hold the key */
  readonly others: Receipt['others']
  readonly response: ApiResponse
  readonly caller: string | null
  /** what was debited */
  readonly usage: Receipt['usage']
}

/** Runs the handler, for as long as somebody waits. */
async function work(request: InnerRequest, engine: InferenceEngine, ports: ExchangePorts): Promise<ApiResponse> {
  const { method, headers, body } = request
  const wait = ports.after(request.deadlineMs - ports.nowMs())
  const path = request.path.split('?', 1)[0]!
  try {
    return await Promise.race([
      ports.handler({ method, path, headers, body }, engine),
      wait.passed.then(() => refusal(late(), request.path)),
    ])
  } finally {
    wait.cancel()
  }
}

/** Admission, payment and work, in this order; a refusal is an outcome. enc: null for a request without a seal */
async function serve(
  request: InnerRequest,
  enc: Uint8Array | null,
  session: Session,
  ports: ExchangePorts,
): Promise<Outcome> {
  const { grant } = session
  const others = othersOf(session)
  const { lease } = grant
  const meter = session.meter()
  let caller: string | null = null
  let paid = false
  const outcome = (response: ApiResponse): Outcome => {
    const usage = { requests: paid ? 1 : 0, inputBytes: paid ? request.body.length : 0, ...meter.spent }
    return { grant, others, response, caller, usage }
  }
  try {
    verifyClientPolicy(request, lease)
    verifyDeadline(request.deadlineMs, ports.nowMs())
    caller = identifyCaller(request.credential, lease, Math.floor(ports.nowMs() / 1000))
    // Last before payment, so that only requests that somebody paid for fill the memory of what came before.
    if (enc !== null) ports.replays.take(enc)
    session.debit(request.body.length) // Invariant: paid before any work (TRUST 16)
    paid = true
    const response = await work(request, meter, ports)
    session.verifyAlive() // no answer leaves after the right to use the key is over
    return outcome(response)
  } catch (error) {
    if (!isFailure(error)) throw error
    return outcome(refusal(error, request.path))
  }
}

/** The grants beside the first that lived when the request was admitted. */
function othersOf({ own, grant, grants }: Session): Receipt['others'] {
  if (own.quorum === undefined) return undefined
  return grants
    .filter((one) => one.grant.lease.broker !== grant.lease.broker)
    .map((one) => ({
      leafHash: leafHashHex(one.grant),
      entryIndex: one.grant.index,
      leaseId: one.grant.lease.id,
      policyDigest: one.grant.lease.policy.digest,
      beat: one.beat.envelope,
    }))
}

async function makeReceipt(
  request: InnerRequest,
  outcome: Outcome,
  session: Session,
  random: ExchangePorts['random'],
): Promise<CarriedReceipt> {
  const { beat, own } = session
  const { grant, response } = outcome
  const { lease } = grant
  const openings = { request: toBase64Url(random(32)), response: toBase64Url(random(32)) }
  const receipt: Receipt = {
    type: 'claviger/receipt/v1',
    id: toHex(random(16)),
    requestId: request.requestId,
    model: lease.model,
    version: lease.version,
    manifestDigest: lease.manifestDigest,
    keysetDigest: lease.keysetDigest,
    trustDigest: lease.trustDigest,
    policyDigest: lease.policy.digest,
    accepts: lease.policy.accepts,
    leafHash: leafHashHex(grant),
    entryIndex: grant.index,
    leaseId: lease.id,
    beatAt: beat.beat.at,
    beat: beat.envelope,
    others: outcome.others,
    route: `${request.method} ${request.path.split('?', 1)[0]}`.slice(0, nameLengthMax),
    status: response.status,
    request: commitBody('request', request.body, openings.request),
    response: commitBody('response', response.body, openings.response),
    clientPolicy: request.policy,
    caller: outcome.caller,
    usage: outcome.usage,
    broker: grant.asked.proven.standing,
    platform: own.platform,
    notHardware: own.platform !== 'hardware',
    weakenings: session.weakenings,
  }
  return { receipt: await signReceipt(receipt, session.receiptKey), openings }
}

/** The inner answer, with its receipt. enc: the encapsulated key; null for a request that came without a seal */
export async function answerInner(
  request: InnerRequest,
  enc: Uint8Array | null,
  session: Session,
  ports: ExchangePorts,
): Promise<{ readonly response: ApiResponse; readonly receipt: CarriedReceipt }> {
  const outcome = await serve(request, enc, session, ports)
  return { response: outcome.response, receipt: await makeReceipt(request, outcome, session, ports.random) }
}

/** Seals piece by piece; the plaintext is zero when the last piece is out, or nobody waits for one any more. */
async function* sealOnce(opened: OpenedRequest, plaintext: Uint8Array, nonce: Uint8Array): AsyncGenerator<Uint8Array> {
  try {
    yield* opened.sealResponse(plaintext, nonce)
  } finally {
    wipe(plaintext)
  }
}

/**
 * The sealed answer to a sealed request. The bytes of both are overwritten as soon as nothing needs them.
 *
 * body    message/ohttp-chunked-req, whole
 * throws  ohttp/..., and what ended the session: nothing was executed
 */
export async function answerSealed(
  body: Uint8Array,
  session: Session,
  ports: ExchangePorts,
): Promise<AsyncGenerator<Uint8Array>> {
  session.verifyAlive()
  const opened = await openRequest(session.requestKey, body) // 1 whole, in order, to its end
  const seal = (response: ApiResponse, receipt: CarriedReceipt | null) => {
    const { status, headers, body: answer } = response
    const plaintext = encodeInnerResponse({ status, headers, body: answer, receipt })
    wipe(answer)
    return sealOnce(opened, plaintext, ports.random(32))
  }
  try {
    let request: InnerRequest
    try {
      request = parseInnerRequest(opened.plaintext) // 2 form
    } catch (error) {
      if (!isFailure(error)) throw error
      return seal(refusal(error, '/'), null)
    }
    const { response, receipt } = await answerInner(request, opened.enc, session, ports) // 3 admission to receipt
    return seal(response, receipt)
  } finally {
    // Also under a handler that nobody waits for any more: it took what it needs before it began to wait.
    wipe(opened.plaintext)
  }
}
