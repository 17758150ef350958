import { type Context, Hono } from 'hono'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Env, readBody } from '#host/http.js'
import { encodeKbsError, type KbsCode } from '#keybroker/kbs/failures.js'
import { attestSession, openSession } from '#keybroker/kbs/handshake.js'
import { encodeChallenge, encodeToken } from '#keybroker/kbs/messages.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'
import { releaseResource } from '#keybroker/kbs/release.js'
import { isOwnersPath, parseResourcePath, type ResourcePath } from '#keybroker/kbs/resource.js'

export const kbsPrefix = '/kbs/v0'
/** Bytes of a request's head on this listener: a token with the claims of many devices travels there. */
export const kbsHeaderSizeMax = 256 * 1024
const cookieName = 'kbs-session-id'
const resourceSizeMax = 1024 * 1024

/** The error body of the KBS routes, for `createApp`. */
export function encodeKbsFailure(failure: Failure, status: number): Response {
  return new Response(encodeKbsError(failure.code, failure.message, status), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  })
}

function sessionIdOf(c: Context<Env>): string | undefined {
  const cookies = (c.req.header('cookie') ?? '').split(';')
  const found = cookies.map((one) => one.trim()).filter((one) => one.startsWith(`${cookieName}=`))
  // Two of them are one too many to know which.
  return found.length === 1 ? found[0]!.slice(cookieName.length + 1) : undefined
}

/** source: RFC 6265, "Set-Cookie"; the name and `Expires` are the protocol's, the rest narrows who sends it back */
function cookie(id: string, expiresAt: UnixSeconds): string {
  const expires = new Date(formatTime(expiresAt)).toUTCString()
  return `${cookieName}=${id}; Path=${kbsPrefix}; Expires=${expires}; HttpOnly; SameSite=Strict`
}

function answer(text: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, {
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
  })
}
const done = () => new Response('', { headers: { 'content-type': 'text/xml', 'cache-control': 'no-store' } })

/** Clients expect the name of the handshake's stage in front of what went wrong in it. */
async function inStage<T>(stage: 'Auth' | 'Attest', work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isFailure(error) || !error.code.startsWith('kbs/')) throw error
    throw new Failure(error.code, `RCAR handshake ${stage} failed: ${error.message}`, { cause: error })
  }
}

/** The path behind `/kbs/v0/resource/`, as it was sent: nothing in it is decoded. */
function resourcePathOf(c: Context<Env>): ResourcePath {
  return parseResourcePath(new URL(c.req.url).pathname.slice(`${kbsPrefix}/resource/`.length))
}

/** Where an administrator may write: not into an owner's space, whose keys come with the owner's signature. */
function writablePathOf(c: Context<Env>): ResourcePath {
  const path = resourcePathOf(c)
  if (isOwnersPath(path)) throw new Failure<KbsCode>('kbs/policy-deny', 'this path belongs to an owner of models')
  return path
}

function addAdminRoutes(app: Hono<Env>, ports: KbsPorts): void {
  const admin = (c: Context<Env>) => ports.authoriseAdmin(c.req.header('authorization'))
  app.post('/resource/*', async (c) => {
    await admin(c)
    const path = writablePathOf(c)
    const resource = await readBody(c)
    if (resource.length === 0 || resource.length > resourceSizeMax) {
      const message = `resource has ${resource.length} bytes, expected 1 to ${resourceSizeMax}`
      throw new Failure<KbsCode>('kbs/resource-size', message)
    }
    await ports.resources.store(path, resource)
    return done()
  })
  app.delete('/resource/*', async (c) => {
    await admin(c)
    await ports.resources.remove(writablePathOf(c))
    return done()
  })
  app.get('/resource-policy', async (c) => {
    await admin(c)
    return answer(JSON.stringify(ports.policyIds()))
  })
  for (const route of ['/resource-policy', '/attestation-policy'] as const) {
    app.post(route, async (c) => {
      await admin(c)
      throw new Failure<KbsCode>('kbs/policy-language', 'policies in Rego are not evaluated here, and not stored')
    })
  }
  app.post('/reference-value', async (c) => {
    await admin(c)
    throw new Failure<KbsCode>('kbs/reference-values', 'reference values come in statements that their owner signed')
  })
}

/**
 * The KBS routes of protocol 0.4.0, below `/kbs/v0`. The application that mounts them encodes failures with
 * encodeKbsFailure and has kbsStatuses in its table.
 */
export function kbsRoutes(ports: KbsPorts): Hono<Env> {
  const app = new Hono<Env>()
  app.post('/auth', (c) =>
    inStage('Auth', async () => {
      const { id, nonce, expiresAt } = await openSession(await readBody(c), ports)
      return answer(encodeChallenge(nonce), { 'set-cookie': cookie(id, expiresAt) })
    }),
  )
  app.post('/attest', (c) =>
    inStage('Attest', async () => {
      const id = sessionIdOf(c)
      const { token, expiresAt } = await attestSession(id, await readBody(c), ports)
      return answer(encodeToken(token), { 'set-cookie': cookie(id!, expiresAt) })
    }),
  )
  app.get('/resource/*', async (c) => {
    const path = resourcePathOf(c)
    const presented = { sessionId: sessionIdOf(c), authorization: c.req.header('authorization') }
    return answer(await releaseResource(path, presented, ports))
  })
  addAdminRoutes(app, ports)
  app.all('*', () => {
    throw new Failure<KbsCode>('kbs/plugin', 'there is no such plugin')
  })
  return app
}
