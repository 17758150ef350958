import { setTimeout as pause } from 'node:timers/promises'
import { readDocument } from '#cli/input.js'
import { openNodeSession, type Sealed } from '#cli/node-session.js'
import { openSealedFolder } from '#convert/unseal/sealed-folder.js'
import { envelopeShape } from '#core/dsse.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { isKekManifest } from '#core/sealed/kek.js'
import { denialShape, hostDeclarationShape } from '#core/wire/release.js'
import { createLog } from '#host/log.js'
import type { KekCode, OpenKek } from '#keybroker/kek/kek.js'
import type { KekPorts } from '#keybroker/kek/open.js'
import { type KekRight, ReleasedKek } from '#keybroker/kek/released.js'
import type { ReleasedSetting } from '#keybroker/kek/setting.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { holdKey } from '#runtime/engine/held-key.js'
import type { SessionCode, SessionEvent } from '#runtime/ports.js'
import { keepSession } from '#runtime/service/app.js'
import type { Session } from '#runtime/session.js'

/* A broker as the node of another: it gets its key-encryption key by the session by which nodes get model keys. */

/** After an end that is no decision against this broker it asks anew: first after this long, then after twice as long, up to a minute. */
const againFirstMs = 500
const againMaxMs = 60_000

/** What the other broker denied, each rule with what mends it; null where its answer says none of that. */
function reasonsOf(failure: Failure): string | null {
  try {
    const { reasons } = denialShape(failure.detail?.denial as Json | undefined, 'denial')
    return reasons.map(({ id, remedy }) => (remedy === null ? id : `${id}: ${remedy}`)).join('; ')
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

function notReleased(cause: Failure): Failure<KekCode> {
  const away = 'is it there? without the key this broker could open nothing that it stores, and so it does not start'
  const hints: Readonly<Record<string, string | null>> = {
    'broker/denied': reasonsOf(cause),
    'broker/unreachable': away,
  }
  const hint = hints[cause.code] ?? (cause.detail?.hint as string | undefined) ?? null
  const message = `the key-encryption key was not released: ${cause.message} (${cause.code})`
  return new Failure<KekCode>('kek/not-released', message, { cause, ...(hint === null ? {} : { detail: { hint } }) })
}

function leaseOver(cause: Failure): Failure<KekCode> {
  const next =
    cause.code === 'broker/denied'
      ? 'it was denied, and is asked for again when this broker is started again'
      : 'it is asked for again'
  const message = `the key-encryption key is gone with its lease: ${cause.message} (${cause.code}); ${next}`
  return new Failure<KekCode>('kek/lease-over', message, { cause })
}

/** The sealed folder of a key-encryption key; of it manifest and signature alone are read. @throws kek/setting, unseal/file, sealed/... */
async function readSealed(folder: string): Promise<Sealed> {
  const { manifest, bytes: manifestBytes } = await openSealedFolder(folder, null)
  if (isKekManifest(manifest)) return { folder, manifest, manifestBytes }
  const hint = 'name a folder that was made with: ./claviger keybroker kek seal'
  throw new Failure<KekCode>('kek/setting', `${folder} seals a model, and no key-encryption key`, { detail: { hint } })
}

/** Keeps the lease of a key up, and asks for the key anew when it was lost for another reason than a decision. */
class Keeper implements KekRight {
  readonly #start: () => Promise<Session>
  readonly #onTrouble: (failure: Failure) => void
  #session: Session | null = null
  #over: Failure<KekCode> = leaseOver(new Failure<SessionCode>('session/stopped', 'nothing was released yet'))
  readonly #closing = new AbortController()

  constructor(start: () => Promise<Session>, onTrouble: (failure: Failure) => void) {
    this.#start = start
    this.#onTrouble = onTrouble
  }

  /** @throws kek/not-released, and what reading the settings throws */
  async begin(): Promise<Session> {
    const session = await this.#start()
    this.#session = session
    void this.#keep(session)
    return session
  }

  pay(bytes: number): void {
    this.#use((session) => session.debit(bytes))
  }

  verifyAlive(): void {
    this.#use((session) => session.verifyAlive())
  }

  #use(what: (session: Session) => void): void {
    if (this.#session === null) throw this.#over
    try {
      what(this.#session)
    } catch (error) {
      if (!isFailure(error)) throw error
      throw leaseOver(error)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const session = this.#session
    if (session !== null) {
      await session.end(new Failure<SessionCode>('session/stopped', 'the broker ends'))
      await session.finished
    }
  }

  async #keep(first: Session): Promise<void> {
    for (let session: Session | null = first; session !== null; session = await this.#regain()) {
      this.#session = session
      const stopTicks = keepSession(session, createLog('kek', 'error'))
      const reason = await session.ended
      stopTicks()
      this.#session = null
      if (this.#lose(reason)) return
    }
  }

  /** Whether nobody asks any more. */
  #lose(reason: Failure): boolean {
    this.#over = leaseOver(reason)
    if (this.#closing.signal.aborted) return true
    this.#onTrouble(this.#over)
    return reason.code === 'broker/denied'
  }

  async #regain(): Promise<Session | null> {
    for (let waitMs = againFirstMs; ; waitMs = Math.min(2 * waitMs, againMaxMs)) {
      const { signal } = this.#closing
      await pause(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return null
      try {
        const session = await this.#start()
        if (!signal.aborted) return session
        await session.end(new Failure<SessionCode>('session/stopped', 'the broker ends'))
        return null
      } catch (error) {
        // A bug is no reason to go on asking with it.
        const reason = isFailure(error)
          ? error
          : new Failure<SessionCode>('session/stopped', 'a bug kept it from asking')
        if (this.#lose(isFailure(reason.cause) ? reason.cause : reason) || reason !== error) return null
      }
    }
  }
}

export interface ObtainOptions {
  readonly attester: BrokerAttester
  /** the evidence may be simulated: NOT HARDWARE */
  readonly dangerousAllowSimulated: boolean
}

/**
 * Proves this machine to the broker that releases the key, as a node does, and keeps the lease up until it is closed.
 *
 * throws  kek/not-released, kek/setting, input/..., unseal/file, sealed/...
 */
export function obtainKek({ attester, dangerousAllowSimulated }: ObtainOptions): NonNullable<KekPorts['obtain']> {
  return async (setting: ReleasedSetting, onTrouble): Promise<OpenKek> => {
    const sealed = await readSealed(setting.sealed)
    const read = <T>(path: string | null, of: Parameters<typeof readDocument<T>>[1], what: string) =>
      path === null ? null : readDocument(path, of, what)
    const trust = await read(setting.trustStatement, envelopeShape, 'trust statement')
    const host = await read(setting.hostStatement, hostDeclarationShape, 'host statement')
    const tell = (event: SessionEvent) => {
      if (event.kind === 'trouble') onTrouble(event.failure)
    }
    const options = {
      urls: setting.urls,
      trust,
      host,
      broker: null,
      attester,
      threads: 1,
      dangerousAllowSimulated,
      dangerousAllowInspection: false,
      dangerousAllowPlain: false,
      report: tell,
    }
    const kek = new ReleasedKek()
    const start = async () => {
      try {
        return await openNodeSession(options, sealed, () => holdKey(kek))
      } catch (error) {
        throw isFailure(error) ? notReleased(error) : error
      }
    }
    const keeper = new Keeper(start, onTrouble)
    const { own } = await keeper.begin()
    return kek.open({ broker: own.broker, model: own.model, class: own.trust.value.class }, keeper)
  }
}
