import { type Context, Hono } from 'hono'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Env, readBody } from '#host/http.js'
import { encodeKbsError, type KbsCode } from '#keybroker/kbs/failures.js'
import { attestSession, openSession } from '#keybroker/kbs/handshake.js'
import { encodeChallenge, encodeToken } from '#keybroker/kbs/messages.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'
import { releaseResource } from '#keybroker/kbs/release.js'
import { parseResourcePath, type ResourcePath } from '#keybroker/kbs/resource.js'
import { addKbsAdminRoutes } from '#keybroker/service/kbs-admin-routes.js'

export const kbsPrefix = '/kbs/v0'
/** Bytes of a request's head on this listener: a token with the claims of many devices travels there. */
export const kbsHeaderSizeMax = 256 * 1024
const cookieName = 'kbs-session-id'

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
  addKbsAdminRoutes(app, kbsPrefix, ports)
  app.all('*', () => {
    throw new Failure<KbsCode>('kbs/plugin', 'there is no such plugin')
  })
  return app
}
