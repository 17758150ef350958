import { wipe } from '#core/bytes/secret.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { readSecretFile } from '#host/files.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import type { VaultClient } from '#keybroker/kek/vault/client.js'
import { objectMember, parseAnswer } from '#keybroker/kek/vault/plaintext.js'

/**
 * The token of the file, which an agent of Vault may write anew at any time. It is a string, since it travels as a header of
 * HTTP: unlike a model key it can be revoked.
 *
 * throws  kek/vault-token, file/...
 */
export async function readToken(path: string): Promise<string> {
  const bytes = await readSecretFile(path)
  try {
    const token = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').trim()
    if (!/^[!-~]{8,4096}$/.test(token)) {
      const hint = 'write the token alone into it, or have an agent of Vault do so'
      throw new Failure<KekCode>('kek/vault-token', `${path} holds no token of Vault`, { detail: { hint } })
    }
    return token
  } finally {
    wipe(bytes)
  }
}

const renewAgainMs = 15_000
const renewMsMax = 12 * 60 * 60 * 1000

/** How long the token lives, and whether it can live longer. */
interface Life {
  /** 0: for ever */
  readonly ttlSeconds: number
  readonly renewable: boolean
}

function lifeOf(of: { readonly [name: string]: Json }, ttl: string): Life {
  const seconds = of[ttl]
  if (typeof seconds !== 'number' || !Number.isSafeInteger(seconds) || seconds < 0)
    throw new Failure<KekCode>('kek/vault-answer', `the answer has no ${ttl}`)
  return { ttlSeconds: seconds, renewable: of.renewable === true }
}

/** Reads what the token is. @throws kek/vault-... */
async function lookUp(client: VaultClient): Promise<Life> {
  const { body } = await client.call('GET', '/v1/auth/token/lookup-self', null)
  return lifeOf(objectMember(parseAnswer(body), 'data'), 'ttl')
}

async function renew(client: VaultClient): Promise<Life> {
  const { body } = await client.call('POST', '/v1/auth/token/renew-self', Buffer.from('{}'))
  return lifeOf(objectMember(parseAnswer(body), 'auth'), 'lease_duration')
}

/**
 * The token lives on for as long as Vault lets it: renewed at half of its time. One that cannot be renewed is used to its
 * end, and an agent has to write the next into the file.
 *
 * onTrouble  told of each renewal that failed; it is tried again
 * returns    what ends it
 * throws     kek/vault-... when the token is not good now
 */
export async function keepToken(client: VaultClient, onTrouble: (failure: Failure) => void): Promise<() => void> {
  let timer: NodeJS.Timeout | undefined
  let ended = false
  const next = (life: Life) => {
    if (!life.renewable || life.ttlSeconds === 0 || ended) return
    schedule(Math.min(life.ttlSeconds * 500, renewMsMax))
  }
  const schedule = (inMs: number) => {
    timer = setTimeout(() => {
      renew(client).then(next, (error: unknown) => {
        if (!isFailure(error)) throw error
        if (ended) return
        onTrouble(error)
        schedule(renewAgainMs)
      })
    }, inMs)
    timer.unref()
  }
  next(await lookUp(client))
  return () => {
    ended = true
    clearTimeout(timer)
  }
}
