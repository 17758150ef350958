import { type ClientKey, clientKey, clientReportData, openJwe } from '../../../fakes/kbs-client.js'

/**
 * A client of the KBS protocol as its reference describes it, which imports nothing of ours: its cookie, its reactions to
 * statuses, how often it tries again. It takes nothing for granted that a client of the protocol does not see.
 */
export type Send = (
  method: string,
  path: string,
  init: { readonly body?: string | Uint8Array; readonly headers: Record<string, string> },
) => Promise<Response>

/** The body of `/attest` for report data, made by who has a machine. */
export type Attester = (
  session: {
    readonly nonce: string
    readonly cookie: string
    readonly reportData: Uint8Array
  },
  key: ClientKey,
) => Promise<string>

export class ClientError extends Error {
  readonly kind: 'decode' | 'not-found' | 'server' | 'unauthorised'
  readonly status: number
  constructor(kind: ClientError['kind'], status: number, message: string) {
    super(message)
    this.kind = kind
    this.status = status
  }
}

interface ErrorInformation {
  readonly type: string
  readonly detail: string
}

/** A client in the background check: it attests when it is told that it is not authorised, three times at most. */
export class ReferenceClient {
  readonly key: ClientKey
  readonly #send: Send
  readonly #attester: Attester
  #cookie: string | null = null
  handshakes = 0

  constructor(send: Send, attester: Attester, key = clientKey('P-256')) {
    this.#send = send
    this.#attester = attester
    this.key = key
  }

  get cookie(): string | null {
    return this.#cookie
  }

  #keepCookie(answer: Response): void {
    const [pair, ...attributes] = (answer.headers.get('set-cookie') ?? '').split('; ')
    const [name, value] = pair!.split('=')
    if (name !== 'kbs-session-id' || !/^[0-9a-f]{32}$/.test(value!)) throw new Error('no session cookie')
    if (!attributes.some((one) => one.startsWith('Expires='))) throw new Error('the cookie has no Expires')
    this.#cookie = pair!
  }

  /** Request and challenge; attestation and its result. */
  async handshake(tee = 'snp'): Promise<string> {
    this.handshakes++
    const headers = { 'content-type': 'application/json' }
    const extra = { 'supported-hash-algorithms': ['sha256', 'sha384', 'sha512', 'sm3'] }
    const opening = JSON.stringify({ version: '0.4.0', tee, 'extra-params': extra })
    const challenge = await this.#send('POST', '/kbs/v0/auth', { body: opening, headers })
    if (challenge.status !== 200) throw await failure(challenge)
    this.#keepCookie(challenge)
    const { nonce, ...rest } = (await challenge.json()) as { nonce: string; 'extra-params': unknown }
    if (!('extra-params' in rest)) throw new Error('the challenge has no extra-params')
    const session = { nonce, cookie: this.#cookie!, reportData: clientReportData(nonce, this.key.jwk) }
    const body = await this.#attester(session, this.key)
    const result = await this.#send('POST', '/kbs/v0/attest', { body, headers: { ...headers, cookie: this.#cookie! } })
    if (result.status !== 200) throw await failure(result)
    this.#keepCookie(result)
    const { token } = (await result.json()) as { token: string }
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { exp: number }
    if (typeof exp !== 'number') throw new Error('the token does not expire')
    return token
  }

  async get(path: string): Promise<Buffer> {
    for (let attempt = 1; ; attempt++) {
      const headers = this.#cookie === null ? {} : { cookie: this.#cookie }
      const answer = await this.#send('GET', `/kbs/v0/resource/${path}`, { headers: headers as Record<string, string> })
      if (answer.status === 200) return openJwe(this.key, await answer.text())
      const failed = await failure(answer)
      if (answer.status !== 401 || attempt === 3) throw failed
      await this.handshake()
    }
  }
}

/** A client that carries a passport: no cookie, and no way to attest. */
export async function getWithToken(send: Send, path: string, token: string, key: ClientKey): Promise<Buffer> {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await send('GET', `/kbs/v0/resource/${path}`, { headers })
  if (answer.status === 200) return openJwe(key, await answer.text())
  throw await failure(answer)
}

async function failure(answer: Response): Promise<ClientError> {
  const text = await answer.text()
  let information: ErrorInformation
  try {
    information = JSON.parse(text) as ErrorInformation
    if (typeof information.type !== 'string' || typeof information.detail !== 'string') throw new Error('members')
  } catch {
    return new ClientError('decode', answer.status, text)
  }
  const kind = answer.status === 401 ? 'unauthorised' : answer.status === 404 ? 'not-found' : 'server'
  return new ClientError(kind, answer.status, information.type)
}
