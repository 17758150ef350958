import { type Context, Hono } from 'hono'
import type { NamedFile } from '#attest/pool.js'
import { ChecksPage } from '#console/pages/checks.js'
import { documentOf, type Served } from '#console/pages/layout.js'
import { ProblemPage } from '#console/pages/problem.js'
import { VerifyPage } from '#console/pages/verify.js'
import { type Assets, digestOf } from '#console/service/assets.js'
import { securityHeaders } from '#console/service/headers.js'
import { type App, createApp, type Env } from '#host/http.js'
import type { Log } from '#host/log.js'

export interface ConsoleOptions {
  readonly assets: Assets
  /** AMD's certificates as they are shipped: a page may fetch nothing, so they stand in it */
  readonly shipped: readonly NamedFile[]
  /** version of this package */
  readonly version: string
  readonly log: Log
}

/** The console: pages that are written once, and three files. It takes no input: what a reader judges stays in the browser. */
export async function makeConsoleApp({ assets, shipped, version, log }: ConsoleOptions): Promise<App> {
  const served: Served = { version, script: digestOf(assets['verify.js']) }
  const pages = {
    '/': await documentOf(VerifyPage({ served, shipped })),
    '/checks': await documentOf(ChecksPage({ served })),
  }
  const html = { 'content-type': 'text/html; charset=utf-8' }
  const app = createApp({
    log,
    statuses: {},
    limits: { bodySizeMax: 1024 },
    encodeFailure: ({ code, message }, status) =>
      new Response(problemText(served, { code, message, status }), { status, headers: html }),
  })
  for (const [path, text] of Object.entries(pages)) app.hono.get(path, () => new Response(text, { headers: html }))
  for (const [name, { mediaType, body }] of Object.entries(assets))
    app.hono.get(`/assets/${name}`, () => new Response(body, { headers: { 'content-type': mediaType } }))
  return { ...app, hono: withHeaders(app) }
}

function problemText(served: Served, problem: { code: string; message: string; status: number }): string {
  return `<!doctype html>${ProblemPage({ served, problem })}`
}

/** Every answer has them, also those that a bound of the application gives. */
function withHeaders(app: App): Hono<Env> {
  const hono = new Hono<Env>()
  hono.all('*', async (c: Context<Env>) => {
    const inner = await app.hono.fetch(c.req.raw, c.env)
    const answer = new Response(inner.body, inner)
    for (const [name, value] of Object.entries(securityHeaders)) answer.headers.set(name, value)
    return answer
  })
  return hono
}
