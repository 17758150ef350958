import { request } from 'node:https'
import { Failure } from '#core/failure.js'
import { responseSizeMax } from '#core/limits.js'

/** Failures of speaking TLS with what somebody named for it. */
export type HttpsCode =
  /** the address is not https: what was named for TLS would not be used */
  'https/plain' | 'https/size'

/** What a client of TLS brings along: PEM. */
export interface ClientTls {
  /** roots that vouch for the server, in place of those that come with Node */
  readonly ca?: string | undefined
  readonly key?: Buffer | undefined
  readonly cert?: Buffer | undefined
}

/**
 * A `fetch` that shows a client certificate, or believes other roots. The server's certificate is verified, whatever the
 * environment says; an answer that leads elsewhere is none.
 *
 * throws  https/plain, https/size, and what the network refuses
 */
export function httpsFetch(tls: ClientTls): typeof fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.protocol !== 'https:')
      throw new Failure<HttpsCode>('https/plain', `${url.origin} is not an https address`, {
        detail: { hint: 'a certificate is of use where the broker speaks TLS: name its https address' },
      })
    const { status, headers, body } = await exchange(url, init ?? {}, tls)
    return new Response(body, { status, headers })
  }
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Buffer
}

function exchange(url: URL, init: RequestInit, tls: ClientTls): Promise<Answer> {
  const { ca, key, cert } = tls
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      agent: false,
      method: init.method ?? 'GET',
      headers: Object.fromEntries(new Headers(init.headers)),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      ...(init.signal && { signal: init.signal }),
      ...(ca !== undefined && { ca }),
      ...(key !== undefined && { key, cert }),
    })
    asked.once('error', reject)
    asked.once('response', (response) => {
      const status = response.statusCode ?? 0
      if (status < 200 || (status >= 300 && status < 400)) {
        asked.destroy(new Error(`an answer with status ${status} leads elsewhere`))
        return
      }
      const parts: Buffer[] = []
      let size = 0
      response.on('data', (part: Buffer) => {
        size += part.length
        parts.push(part)
        if (size > responseSizeMax)
          asked.destroy(new Failure<HttpsCode>('https/size', `answer has more than ${responseSizeMax} bytes`))
      })
      response.once('error', reject)
      response.once('end', () => {
        const type = response.headers['content-type']
        resolve({ status, headers: type === undefined ? {} : { 'content-type': type }, body: Buffer.concat(parts) })
      })
    })
    asked.end(init.body as Uint8Array | string | null | undefined)
  })
}
