import type { Context } from 'hono'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'
import type { Fields } from '#core/wire/bhttp.js'
import type { ChunkCode } from '#core/wire/chunks.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import type { InnerRequest } from '#core/wire/inner.js'
import { type OhttpCode, requestType, responseType } from '#core/wire/ohttp.js'
import { encodeKeyConfigs, keyConfigType } from '#core/wire/ohttp-keys.js'
import { type App, createApp, type Env } from '#host/http.js'
import type { Log } from '#host/log.js'
import { createRateLimit } from '#host/rate-limit.js'
import { answerInner, answerSealed, type ExchangePorts, type Handler } from '#runtime/exchange.js'
import type { KeyUseCode } from '#runtime/key-use.js'
import type { BrokerCode, SessionCode } from '#runtime/ports.js'
import { ReplayWindow } from '#runtime/replay-window.js'
import type { Session } from '#runtime/session.js'

/** Failures of a request to a node, before or instead of what stands inside the seal. */
export type NodeCode =
  /** a readable prompt came in: none is taken (SETTLED 1) */
  | 'channel/unsealed'
  | 'node/media-type'
  | 'node/nonce'
  /** evidence was made too often of late: the device is slow, and shared */
  | 'node/evidence-rate'

const statuses: Readonly<Record<NodeCode | OhttpCode | ChunkCode | KeyUseCode | SessionCode | BrokerCode, number>> = {
  'channel/unsealed': 400,
  'node/media-type': 415,
  'node/nonce': 400,
  'node/evidence-rate': 429,
  'ohttp/key-id': 422,
  'ohttp/suite': 422,
  'ohttp/truncated': 400,
  'ohttp/chunk': 400,
  'ohttp/final': 400,
  'ohttp/label': 400,
  'ohttp/empty-chunk': 400,
  'ohttp/size': 413,
  'ohttp/chunk-length': 400,
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
  'broker/unreachable': 503,
  'broker/denied': 503,
  'broker/refused': 503,
  'broker/unattested': 503,
  'broker/lease-stale': 503,
  'broker/answer': 503,
}

export interface NodeAppOptions {
  readonly session: Session
  readonly handler: Handler
  readonly log: Log
  /** default 64 */
  readonly concurrencyMax?: number
  /** requests a minute from one address, which may be a proxy for many callers; default 6,000, 0 for no bound */
  readonly ratePerMinute?: number
  /** evidence for callers' nonces, a minute, all callers together; default 120 */
  readonly evidencePerMinute?: number
}

/** Longer than any inference may take: its own deadline, inside the seal, is the shorter one. */
const timeoutMs = 16 * 60_000
const noStore = { 'cache-control': 'no-store' }

function exchangePorts(handler: Handler): ExchangePorts {
  return {
    handler,
    replays: new ReplayWindow(),
    nowMs: () => Date.now(),
    random: randomBytes,
    after(ms) {
      let timer: NodeJS.Timeout | undefined
      const passed = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms)
      })
      return { passed, cancel: () => clearTimeout(timer) }
    },
  }
}

/** The first chunk is made before the answer begins, so that a failure is still an answer. */
async function streamed(source: AsyncGenerator<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
  const first = await source.next()
  let waiting: IteratorResult<Uint8Array> | undefined = first
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = waiting ?? (await source.next())
      waiting = undefined
      if (next.done) controller.close()
      else controller.enqueue(next.value)
    },
    async cancel() {
      await source.return(undefined)
    },
  })
}

function addSealedRoutes(app: App, session: Session, ports: ExchangePorts): void {
  app.hono.get('/.well-known/ohttp-keys', (c) =>
    c.body(encodeKeyConfigs(session.own.keyset.request) as Uint8Array<ArrayBuffer>, 200, {
      ...noStore,
      'content-type': keyConfigType,
    }),
  )
  app.hono.post('/ohttp', async (c) => {
    if (c.req.header('content-type') !== requestType) {
      throw new Failure<NodeCode>('node/media-type', `expected content type ${requestType}`)
    }
    const body = new Uint8Array(await c.req.arrayBuffer())
    const answer = await streamed(await answerSealed(body, session, ports))
    return c.body(answer, 200, { ...noStore, 'content-type': responseType, incremental: '?1' })
  })
}

function addDocumentRoute(app: App, session: Session, evidencePerMinute: number): void {
  const rate = createRateLimit({ perMinute: evidencePerMinute, nowMs: () => performance.now() })
  app.hono.get('/.well-known/claviger/node', async (c) => {
    session.verifyAlive()
    const nonce = c.req.query('nonce')
    if (nonce !== undefined && !/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(nonce)) {
      throw new Failure<NodeCode>('node/nonce', 'nonce is not 32 bytes as base64url')
    }
    if (nonce !== undefined && !rate.allow('evidence')) {
      throw new Failure<NodeCode>('node/evidence-rate', 'too much evidence was asked for: ask again in a minute')
    }
    const fresh = nonce === undefined ? null : await session.attestFor(nonce)
    const document = canonicalJson(session.document(fresh)) as Uint8Array<ArrayBuffer>
    return c.body(document, 200, { ...noStore, 'content-type': 'application/json' })
  })
}

/** The line that a refused caller needs. A simulated node is named as one: the flag is part of what is typed. */
function proxyLine(session: Session, url: string): string {
  const flag = session.own.platform === 'simulated' ? ' --dangerous-allow-simulated' : ''
  return `./claviger proxy --node ${url} --model ${session.own.model} --trust trust.json${flag}`
}

function refuseUnsealed(c: Context<Env>, session: Session): never {
  const hint = proxyLine(session, new URL(c.req.url).origin)
  throw new Failure<NodeCode>(
    'channel/unsealed',
    `no readable prompt is taken: seal it to this node's attested key, or start the proxy: ${hint}`,
    { detail: { hint } },
  )
}

/** Fields of an unsealed request that concern the route; what the connection needed stays outside. */
const passedOn = ['content-type', 'accept', 'inference-header-content-length']

/** An unsealed request, as if it had been inside a seal: only with --dangerous-allow-plain. */
async function plainRequest(c: Context<Env>, session: Session): Promise<InnerRequest> {
  const url = new URL(c.req.url)
  const { model, config } = session.own
  const policy: ClientPolicy = {
    type: 'claviger/client-policy/v1',
    model,
    manifests: null,
    versionMin: 1,
    countries: null,
    beatAgeSecondsMax: 86_400,
    witnessesMin: 0,
    dangerousAllowSimulated: config.dangerousAllowSimulated,
  }
  const headers: Fields = passedOn.flatMap((name) => {
    const value = c.req.header(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    requestId: toHex(randomBytes(16)),
    model,
    deadlineMs: Date.now() + 120_000,
    policy,
    credential: /^Bearer (\S{1,200})$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? null,
    method: c.req.method,
    path: url.pathname,
    headers,
    body: new Uint8Array(await c.req.arrayBuffer()),
  }
}

/** Routes of the model: refused without a seal, all of them, whatever the method (SETTLED 1). */
function addModelRoutes(app: App, session: Session, ports: ExchangePorts): void {
  const answer = async (c: Context<Env>) => {
    if (!session.own.config.dangerousAllowPlain) return refuseUnsealed(c, session)
    const { response, receipt } = await answerInner(await plainRequest(c, session), null, session, ports)
    return new Response(response.body as Uint8Array<ArrayBuffer>, {
      status: response.status,
      headers: [
        ...response.headers.map(([name, value]) => [name, value] as [string, string]),
        ['claviger-receipt', toBase64(canonicalJson(receipt))],
        ['cache-control', 'no-store'],
      ],
    })
  }
  // Health says nothing about anybody and takes no body; load balancers ask for it.
  app.hono.get('/v2/health/live', (c) => c.json({ live: true }, 200, noStore))
  app.hono.get('/v2/health/ready', (c) => {
    const ready = session.isServing
    // Of the model that is loaded now, as its engine said when it was: 0 where its owner sealed none.
    const knownAnswers = { passed: session.metadata.knownAnswers }
    return c.json({ ready, 'known-answers': knownAnswers }, ready ? 200 : 503, noStore)
  })
  for (const route of ['/v1/*', '/v2/*', '/v2', '/chat/*', '/completions', '/audio/*', '/embeddings', '/infer']) {
    app.hono.all(route, answer)
  }
}

/** A body that nobody announced a seal for is refused on every other route too. */
function refuseOtherBodies(app: App, session: Session): void {
  app.hono.post('*', (c) => refuseUnsealed(c, session))
  app.hono.put('*', (c) => refuseUnsealed(c, session))
  app.hono.patch('*', (c) => refuseUnsealed(c, session))
}

/** The HTTP face of one session. */
export function createNodeApp(options: NodeAppOptions): App {
  const { session } = options
  const ports = exchangePorts(options.handler)
  const app = createApp({
    log: options.log,
    statuses,
    limits: {
      bodySizeMax: requestSizeMax + requestSizeMax / 8,
      timeoutMs,
      concurrencyMax: options.concurrencyMax ?? 64,
      ratePerMinute: options.ratePerMinute ?? 6000,
    },
    ready: async () => session.isServing,
  })
  addDocumentRoute(app, session, options.evidencePerMinute ?? 120)
  addSealedRoutes(app, session, ports)
  addModelRoutes(app, session, ports)
  refuseOtherBodies(app, session)
  return app
}

/** Ticks a session about once a second until it has ended. Returns what stops the ticking. */
export function keepSession(session: Session, log: Log): () => void {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const next = () => {
    timer = setTimeout(async () => {
      try {
        await session.tick()
      } catch (error) {
        // A bug must not keep a key in use: without ticks nobody would notice that its lease is over.
        log.error({ bug: error instanceof Error ? error.name : typeof error }, 'the session ends after a bug')
        await session.end(new Failure<SessionCode>('session/stopped', 'a bug ended the session'))
      }
      if (!stopped && !isOver) next()
    }, 500)
  }
  let isOver = false
  void session.ended.then(() => {
    isOver = true
    clearTimeout(timer)
  })
  next()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
