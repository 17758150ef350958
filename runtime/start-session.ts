import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { releaseAad, releaseInfo } from '#core/wire/release.js'
import { ask } from '#runtime/ask.js'
import { composeOwnValues, type NodeSettings, verifyOwnTrust, verifyPlatformAllowed } from '#runtime/own-values.js'
import type { SessionCode, SessionEngine, SessionPorts, SessionStep } from '#runtime/ports.js'
import { Session } from '#runtime/session.js'
import { verifyGrant } from '#runtime/verify-grant.js'

export interface SessionOptions {
  readonly settings: NodeSettings
  /** absolute path of the sealed folder */
  readonly folder: string
  readonly manifestBytes: Uint8Array
  readonly threads: number
  /** how long the node's own keys live; default 25 hours */
  readonly keysetSeconds?: number
}

const keysetSecondsDefault = 90_000

/** What the owner sealed to be tried is told of, and so is that there was nothing. */
const knownAnswersText = (count: number) => (count === 0 ? 'no known answers' : `known-answers: ${count} passed`)

/** Everything between a running engine and a loaded model. */
async function obtain(options: SessionOptions, ports: SessionPorts, engine: SessionEngine): Promise<Session> {
  const say = (step: SessionStep, text: string) => ports.report({ kind: 'step', step, text })
  const request = await generateRecipientKey()
  const { key: receipt, pkcs8 } = await generateSigningKey('Ed25519')
  pkcs8.fill(0)
  if (receipt.publicKey.kty !== 'OKP') throw new TypeError('a receipt key is an Ed25519 key')
  const notAfter = ports.now() + (options.keysetSeconds ?? keysetSecondsDefault)
  const keys = { release: engine.releaseKey, request: request.publicKey, receipt: receipt.publicKey, notAfter }
  const own = await composeOwnValues(options.settings, keys, ports.attester.platform)
  say('keyset', `keyset ${keysetDigest(own.keyset)}`)
  const askedAtMs = ports.elapsedMs()
  const { asked, request: message } = await ask(ports, own, toHex(ports.random(16)), null)
  say('evidence', `evidence answers broker ${own.config.broker}`)
  const answer = await ports.broker.release(message)
  say('release', 'the broker released the key to this keyset')
  const { wrapped } = answer
  if (wrapped === null) throw new Failure<SessionCode>('session/key', 'the release carries no key')
  const grant = await verifyGrant(answer, own, asked, ports.now())
  say('verify', `lease, attestation result and log entry ${grant.index} verified`)
  // Invariant: nothing above this line touched the key; only a grant that verified gives the info that opens it (I3).
  const metadata = await engine.load({
    folder: options.folder,
    manifestBytes: options.manifestBytes,
    sealed: fromBase64(wrapped),
    info: releaseInfo(grant.leafHash),
    aad: releaseAad(own.manifestDigest),
    threads: options.threads,
  })
  const { knownAnswers } = metadata
  say('load', `model loaded: ${metadata.runtime}, ${metadata.threads} threads, ${knownAnswersText(knownAnswers)}`)
  return new Session({ ports, own, engine, request, receipt, metadata }, grant, askedAtMs)
}

/**
 * A session whose model is loaded, after everything that the broker sent was verified.
 *
 * throws  own/..., session/..., grant/..., leaf/..., tlog/..., ear/..., broker/..., engine/..., dsse/..., crypto/...
 */
export async function startSession(options: SessionOptions, ports: SessionPorts): Promise<Session> {
  // Before a process is started: a refusal that needs nobody else.
  verifyPlatformAllowed(options.settings, ports.attester.platform)
  await verifyOwnTrust(options.settings, ports.attester.platform)
  const engine = await ports.startEngine()
  ports.report({ kind: 'step', step: 'engine', text: 'engine process started and made its release key' })
  try {
    return await obtain(options, ports, engine)
  } catch (error) {
    // Whatever refused: the process that could hold a key ends.
    await engine.unload()
    throw error
  }
}
