import type { Context } from 'hono'
import { type Json, parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import { apiVersion } from '#core/wire/release.js'
import { type Env, readBody } from '#host/http.js'
import type { HttpCode } from '#host/http-failures.js'
import type { ApiCode } from '#keybroker/service/statuses.js'

/** Bodies of routes that strangers reach; evidence with its collateral is far below. */
export const smallBodyMax = 512 * KiB

export function json(c: Context<Env>, value: unknown): Response {
  return c.json(value as object, 200, { 'cache-control': 'no-store' })
}

/**
 * The value of a JSON body in our version of the API. A body of another version is told which are spoken here, before
 * anything else about it is looked at.
 *
 * throws  api/version, http/media-type, json/..., shape/..., bytes/utf8
 */
export async function readRequest<T>(c: Context<Env>, shape: Shape<T>, sizeMax = smallBodyMax): Promise<T> {
  const type = (c.req.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase()
  if (type !== 'application/json')
    throw new Failure<HttpCode>('http/media-type', 'content type is not application/json')
  const body = parseJson(await readBody(c), sizeMax)
  const named = body !== null && typeof body === 'object' && 'version' in body ? (body.version as Json) : undefined
  if (named !== apiVersion) {
    throw new Failure<ApiCode>('api/version', `body is not of version ${apiVersion}`, {
      detail: { supported: [apiVersion] },
    })
  }
  return shape(body, '')
}
