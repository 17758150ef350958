import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request } from 'node:https'
import { setTimeout as wait } from 'node:timers/promises'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { parseAnswer } from '#keybroker/kek/vault/plaintext.js'

/** How long, how often, how many. */
export interface VaultLimits {
  /** one try, from the first byte sent to the last one received */
  readonly timeoutMs: number
  /** a call with all its tries */
  readonly deadlineMs: number
  readonly triesMax: number
  readonly concurrencyMax: number
}
export const vaultLimits: VaultLimits = { timeoutMs: 4000, deadlineMs: 10_000, triesMax: 3, concurrencyMax: 128 }
const answerSizeMax = 64 * 1024
const pauseMs = 150
const pauseMsMax = 2000

export interface VaultAnswer {
  readonly status: number
  /** for the caller to wipe */
  readonly body: Uint8Array
}

export interface VaultClient {
  /**
   * An answer of status 200 or 204, or of one in `also`.
   *
   * body    sent as it is; the caller wipes it afterwards
   * throws  kek/vault-...
   */
  call(method: 'GET' | 'POST', path: string, body: Uint8Array | null, also?: readonly number[]): Promise<VaultAnswer>
  close(): void
}

export interface VaultClientOptions {
  /** `https://host:port`, or `http://` to this machine */
  readonly address: string
  readonly namespace: string | null
  /** PEM of the authorities that are believed; null: those of Node */
  readonly ca: Uint8Array | null
  /** the token to send now */
  readonly token: () => string
  readonly limits: VaultLimits
}

const tlsCodes = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|EPROTO)/

function connectionFailure(error: Error, address: string): Failure<KekCode> {
  const code = 'code' in error ? String(error.code) : ''
  if (tlsCodes.test(code)) {
    const hint = "name the authority that issued Vault's certificate: ca=file:/etc/claviger/vault-ca.pem"
    const message = `the certificate of ${address} is not believed: ${code}`
    return new Failure<KekCode>('kek/vault-tls', message, { cause: error, detail: { hint } })
  }
  return new Failure<KekCode>('kek/vault-unreachable', `${address} cannot be reached: ${code}`, { cause: error })
}

/** The body in memory of ours; the pieces that it came in are overwritten. @throws kek/vault-answer */
function collect(response: IncomingMessage): Promise<Uint8Array> {
  const room = secretBytes(answerSizeMax)
  let size = 0
  return new Promise((resolve, reject) => {
    const refuse = (message: string) => {
      wipe(room)
      response.destroy()
      reject(new Failure<KekCode>('kek/vault-answer', message))
    }
    response.on('data', (piece: Buffer) => {
      const fits = size + piece.length <= answerSizeMax
      if (fits) room.set(piece, size)
      size += piece.length
      piece.fill(0)
      if (!fits) refuse(`the answer has more than ${answerSizeMax} bytes`)
    })
    response.on('end', () =>
      response.complete ? resolve(room.subarray(0, size)) : refuse('the answer ends too early'),
    )
    response.on('error', () => refuse('the answer ends too early'))
  })
}

/** What an error body says, as far as it may stand in a message: printable ASCII. */
function errorText({ body }: VaultAnswer): string {
  try {
    const { errors } = parseAnswer(body)
    const first = Array.isArray(errors) && typeof errors[0] === 'string' ? errors[0] : ''
    return first.replace(/[^ -~]/g, ' ').slice(0, 200)
  } catch (error) {
    if (!isFailure(error)) throw error
    return ''
  }
}

/** Texts with which the transit engine refuses a tag; older and newer servers differ. */
const tagText = /message authentication failed|unable to decrypt|could not decrypt/
const versionText = /disallowed by policy|version is too new|larger than the latest key version/

interface Refusal {
  readonly code: KekCode
  readonly message: string
  readonly hint?: string
  readonly retry?: true
}

function refusalOf(answer: VaultAnswer): Refusal {
  const { status } = answer
  const text = errorText(answer)
  const said = text === '' ? `status ${status}` : `status ${status}, ${text}`
  if ((status === 400 || status === 500) && tagText.test(text))
    return { code: 'kek/unwrap', message: 'the model key was altered, or belongs to something else' }
  if (status === 400 && versionText.test(text))
    return {
      code: 'kek/vault-version',
      message: `Vault does not decrypt with this version of the key: ${said}`,
      hint: 'lower min_decryption_version of the key, rotate, and raise it again',
    }
  if (status >= 300 && status < 400)
    return {
      code: 'kek/vault-standby',
      message: `Vault names another address: ${said}`,
      hint: 'give that of the active node',
    }
  if (status === 472 || status === 473)
    return {
      code: 'kek/vault-standby',
      message: `this node of Vault is a standby: ${said}`,
      hint: 'give the active node',
    }
  if (status === 403)
    return {
      code: 'kek/vault-denied',
      message: `Vault refuses: ${said}`,
      hint: 'the token needs: read on keys/NAME, update on encrypt/NAME and decrypt/NAME; it may have expired',
    }
  if (status === 501 || (status === 503 && /sealed/i.test(text)))
    return { code: 'kek/vault-sealed', message: `Vault is sealed: ${said}`, hint: 'unseal it: vault operator unseal' }
  if (status === 429) return { code: 'kek/vault-busy', message: `Vault has no room: ${said}`, retry: true }
  if (status === 412 || status >= 500)
    return { code: 'kek/vault-unavailable', message: `Vault cannot answer: ${said}`, retry: true }
  return { code: 'kek/vault-failed', message: `Vault refuses: ${said}` }
}

/** What a server asks to wait, within bounds; otherwise longer with each try. */
function pauseOf(retryAfter: string | undefined, tried: number): number {
  const asked = /^[0-9]{1,4}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : pauseMs * 3 ** (tried - 1)
  return Math.min(asked, pauseMsMax)
}

type Tried =
  | { readonly answer: VaultAnswer; readonly retryAfter: string | undefined }
  | { readonly failed: Failure; readonly retry: boolean }

export function vaultClient(options: VaultClientOptions): VaultClient {
  const { address, namespace, ca, limits } = options
  const isPlain = address.startsWith('http:')
  const pool = { keepAlive: true, maxSockets: 16, timeout: 30_000 }
  const agent = isPlain ? new PlainAgent(pool) : new Agent(pool)
  let under = 0

  function tryOnce(method: string, path: string, body: Uint8Array | null, timeoutMs: number): Promise<Tried> {
    return new Promise((resolve) => {
      const failed = (failure: Failure, retry: boolean) => resolve({ failed: failure, retry })
      const signal = AbortSignal.timeout(Math.max(1, timeoutMs))
      const late = () => new Failure<KekCode>('kek/vault-timeout', `${address} did not answer within ${timeoutMs} ms`)
      const headers = {
        'x-vault-token': options.token(),
        'x-vault-request': 'true',
        ...(namespace === null ? {} : { 'x-vault-namespace': namespace }),
        ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
      }
      // Verified whatever the environment says: NODE_TLS_REJECT_UNAUTHORIZED is for connections that do not say so themselves.
      const tls = {
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2' as const,
        ...(ca === null ? {} : { ca: Buffer.from(ca) }),
      }
      const to = new URL(path, address)
      const sent = isPlain
        ? plainRequest(to, { method, headers, agent, signal })
        : request(to, { method, headers, agent, signal, ...tls })
      sent.on('error', (error) =>
        signal.aborted
          ? failed(late(), true)
          : failed(connectionFailure(error, address), !tlsCodes.test(String('code' in error && error.code))),
      )
      sent.on('response', (response) => {
        const status = response.statusCode ?? 0
        collect(response).then(
          (bytes) => resolve({ answer: { status, body: bytes }, retryAfter: response.headers['retry-after'] }),
          (error: Failure) => (signal.aborted ? failed(late(), true) : failed(error, false)),
        )
      })
      sent.end(body ?? undefined)
    })
  }

  async function callOnce(method: string, path: string, body: Uint8Array | null, also: readonly number[]) {
    const end = performance.now() + limits.deadlineMs
    for (let tried = 1; ; tried++) {
      const left = Math.round(end - performance.now())
      const one = await tryOnce(method, path, body, Math.min(limits.timeoutMs, left))
      if ('answer' in one) {
        const { answer } = one
        if (answer.status === 200 || answer.status === 204 || also.includes(answer.status)) return answer
        const { code, message, hint, retry } = refusalOf(answer)
        wipe(answer.body)
        const pause = pauseOf(one.retryAfter, tried)
        if (retry !== true || tried >= limits.triesMax || performance.now() + pause >= end)
          throw new Failure<KekCode>(code, message, hint === undefined ? {} : { detail: { hint } })
        await wait(pause)
      } else {
        const pause = pauseOf(undefined, tried)
        if (!one.retry || tried >= limits.triesMax || performance.now() + pause >= end) throw one.failed
        await wait(pause)
      }
    }
  }

  return {
    async call(method, path, body, also = []) {
      if (under >= limits.concurrencyMax)
        throw new Failure<KekCode>('kek/vault-busy', `more than ${limits.concurrencyMax} requests wait for Vault`)
      under++
      try {
        return await callOnce(method, path, body, also)
      } finally {
        under--
      }
    },
    close: () => agent.destroy(),
  }
}
