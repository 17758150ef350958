import { type RequestOptions, request } from 'node:https'
import { isIP } from 'node:net'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { IssuerKeys } from '#keybroker/access/authorize.js'
import type { AccessCode } from '#keybroker/access/failures.js'
import { isPublicAddress, lookupPublic } from '#keybroker/service/public-address.js'

export interface IssuerOptions {
  /** PEM of roots that vouch for issuers, in place of those that come with Node */
  readonly ca?: string | undefined
  /** `host:port` of issuers inside the operator's own network, which owners may name; others must have public addresses */
  readonly privateIssuers?: readonly string[]
  readonly nowMs?: () => number
}

/** An issuer's keys are asked for anew after this time, */
const freshMs = 10 * 60_000
/** and used for so long while it does not answer. */
const keptMs = 60 * 60_000
/** A token that names a key that is not known may be of a new one: asked for so often at most. */
const newerMs = 60_000
/** After an issuer did not answer it is left alone for so long. */
const awayMs = 10_000
const timeoutMs = 5_000
const documentSizeMax = 256 * KiB
const keysMax = 100
const issuersMax = 1_000
const askedMax = 32

interface Known {
  keys: readonly Json[] | null
  /** when the keys came, and when the issuer was asked last */
  cameAt: number
  askedAt: number
  asking: Promise<readonly Json[]> | null
}

/**
 * Asks issuers for their keys: over TLS that is verified, at the address that their name says, and nowhere else. Who is
 * asked is named in an owner's signed list; that list is a tenant's, so that no address inside the operator's network is
 * ever reached, unless the operator named it.
 *
 * source  OpenID Connect Discovery 1.0, "Obtaining OpenID Provider Configuration Information"
 */
export function openIssuers(options: IssuerOptions = {}): IssuerKeys {
  const nowMs = options.nowMs ?? (() => performance.now())
  const issuers = new Map<string, Known>()
  let asked = 0

  async function ask(issuer: string, known: Known): Promise<readonly Json[]> {
    if (asked >= askedMax) throw away(issuer, 'too many issuers are asked at this time')
    asked += 1
    known.askedAt = nowMs()
    try {
      known.keys = await fetchKeys(issuer, options)
      known.cameAt = nowMs()
      return known.keys
    } finally {
      asked -= 1
    }
  }

  function knownOf(issuer: string): Known {
    const known = issuers.get(issuer) ?? { keys: null, cameAt: -keptMs, askedAt: -keptMs, asking: null }
    issuers.delete(issuer)
    issuers.set(issuer, known)
    while (issuers.size > issuersMax) issuers.delete(issuers.keys().next().value!)
    return known
  }

  return {
    async keysOf(issuer, newer) {
      const known = knownOf(issuer)
      const now = nowMs()
      const isKept = known.keys !== null && now - known.cameAt < keptMs
      const isFresh = isKept && now - known.cameAt < freshMs
      if (isFresh && (!newer || now - known.askedAt < newerMs)) return known.keys!
      if (known.asking === null && now - known.askedAt < awayMs) {
        if (isKept) return known.keys!
        throw away(issuer, 'it did not answer a moment ago')
      }
      known.asking ??= ask(issuer, known).finally(() => {
        known.asking = null
      })
      try {
        return await known.asking
      } catch (error) {
        if (!isFailure(error)) throw error
        if (isKept) return known.keys!
        throw error
      }
    },
  }
}

function away(issuer: string, why: string, cause?: unknown): Failure<AccessCode> {
  return new Failure<AccessCode>('access/issuer', `the keys of ${issuer} cannot be had: ${why}`, {
    cause,
    detail: { hint: 'use an API key or a client certificate until it answers', retryAfterSeconds: awayMs / 1000 },
  })
}

/** @throws access/issuer */
async function fetchKeys(issuer: string, options: IssuerOptions): Promise<readonly Json[]> {
  const until = AbortSignal.timeout(timeoutMs)
  const where = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const about = await fetchObject(issuer, where, options, until)
  if (about.issuer !== issuer) throw away(issuer, 'its configuration is of another issuer')
  if (typeof about.jwks_uri !== 'string') throw away(issuer, 'its configuration names no keys')
  const { keys } = await fetchObject(issuer, about.jwks_uri, options, until)
  if (!Array.isArray(keys) || keys.length > keysMax) throw away(issuer, `its keys are no list of at most ${keysMax}`)
  return keys
}

type Members = { readonly [name: string]: Json }

async function fetchObject(
  issuer: string,
  where: string,
  options: IssuerOptions,
  until: AbortSignal,
): Promise<Members> {
  const bytes = await fetchBytes(issuer, where, options, until)
  try {
    const value = parseJson(bytes, documentSizeMax)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Members
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw away(issuer, cause.message, cause)
  }
  throw away(issuer, 'its answer is no object')
}

/** Where a document may be fetched from: https, no password, and a public address unless the operator named the host. */
function placeOf(
  issuer: string,
  where: string,
  options: IssuerOptions,
): { url: URL; lookup: RequestOptions['lookup'] } {
  const url = URL.canParse(where) ? new URL(where) : null
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '')
    throw away(issuer, 'a document of it is not at an https address')
  const place = `${url.hostname}:${url.port || '443'}`
  if (options.privateIssuers?.includes(place)) return { url, lookup: undefined }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // An address that stands in the URL is looked up nowhere.
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw away(issuer, 'its address is not a public one')
  return { url, lookup: lookupPublic }
}

function fetchBytes(issuer: string, where: string, options: IssuerOptions, until: AbortSignal): Promise<Uint8Array> {
  const { url, lookup } = placeOf(issuer, where, options)
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) => reject(away(issuer, why, cause))
    const asked = request(url, {
      agent: false,
      headers: { accept: 'application/json' },
      maxHeaderSize: 16 * KiB,
      minVersion: 'TLSv1.2',
      // Said here, since an environment variable could say otherwise for the whole process.
      rejectUnauthorized: true,
      signal: until,
      ...(lookup && { lookup }),
      ...(options.ca !== undefined && { ca: options.ca }),
    })
    asked.once('error', (cause: NodeJS.ErrnoException) => fail(cause.code ?? 'no answer', cause))
    asked.once('response', (response) => {
      // A redirect is no answer: it would lead to where no owner signed.
      if (response.statusCode !== 200) {
        asked.destroy()
        return fail(`it answered with status ${response.statusCode}`)
      }
      const parts: Buffer[] = []
      let size = 0
      response.on('data', (part: Buffer) => {
        size += part.length
        if (size > documentSizeMax) {
          asked.destroy()
          return fail(`its answer has more than ${documentSizeMax} bytes`)
        }
        parts.push(part)
      })
      response.once('end', () => resolve(new Uint8Array(Buffer.concat(parts))))
      response.once('error', (cause) => fail('its answer broke off', cause))
      response.once('close', () => fail('its answer broke off'))
    })
    asked.end()
  })
}
