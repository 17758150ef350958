import { generateRecipientKey } from '#core/crypto/hpke.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { shareIndexOf } from '#core/sealed/quorum.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { releaseAad, releaseInfo } from '#core/wire/release.js'
import type { ModelMetadata } from '#runtime/api/engine.js'
import { LateBrokers } from '#runtime/late-brokers.js'
import {
  composeOwnValues,
  type NodeSettings,
  verifyOwnTrust,
  verifyPlatformAllowed,
  viewsOf,
} from '#runtime/own-values.js'
import type { LoadKey, SessionCode, SessionEngine, SessionPorts, SessionStep } from '#runtime/ports.js'
import { askForRelease, brokerName, type Member, type MemberGrant } from '#runtime/right.js'
import { Session } from '#runtime/session.js'
import type { OwnValues } from '#runtime/verify-grant.js'

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

function membersOf(views: readonly OwnValues[], ports: SessionPorts): readonly Member[] {
  return views.flatMap((own) => {
    const broker = own.quorum === undefined ? ports.broker : ports.brokers?.get(own.broker)
    return broker === undefined ? [] : [{ own, broker }]
  })
}

/**
 * What the brokers granted. Where several hold the key, one that denies keeps the node from starting, since it may be the
 * one at which the owner took the node back; one that is silent, or whose answer does not verify, is done without.
 *
 * throws  session/quorum, and what the one broker of a whole key leads to
 */
async function askAll(
  ports: SessionPorts,
  own: OwnValues,
  members: readonly Member[],
  say: (step: SessionStep, text: string) => void,
): Promise<readonly MemberGrant[]> {
  const { quorum } = own
  if (quorum === undefined) {
    const [member] = members
    return [{ ...member!, granted: await askForRelease(ports, member!, say) }]
  }
  const missing: string[] = []
  const lost = (name: string, failure: Failure) => {
    missing.push(name)
    ports.report({
      kind: 'trouble',
      failure: new Failure(failure.code, `${name}: ${failure.message}`, { cause: failure }),
    })
  }
  const asked = await Promise.all(
    quorum.shares.map(async ({ broker, name }): Promise<MemberGrant | null> => {
      const member = members.find((one) => one.own.broker === broker)
      if (member === undefined) {
        lost(name, new Failure<SessionCode>('session/quorum', 'this broker could not be called'))
        return null
      }
      try {
        return { ...member, granted: await askForRelease(ports, member, (step, text) => say(step, `${name}: ${text}`)) }
      } catch (error) {
        if (!isFailure(error) || error.code === 'broker/denied') throw error
        lost(name, error)
        return { ...member, granted: null }
      }
    }),
  )
  const all = asked.filter((one) => one !== null)
  const count = all.filter(({ granted }) => granted !== null).length
  if (count < quorum.threshold)
    throw new Failure<SessionCode>(
      'session/quorum',
      `${count} brokers released their share, ${quorum.threshold} have to; missing: ${missing.join(', ')}`,
    )
  const without = missing.length === 0 ? '' : `; missing: ${missing.join(', ')}`
  say(
    'verify',
    `${count} of ${quorum.shares.length} brokers released their share, ${quorum.threshold} have to${without}`,
  )
  return all
}

/** What the engine opens: each share by its index in the manifest. */
function keyOf(own: OwnValues, members: readonly MemberGrant[]): LoadKey {
  const sealed = members.flatMap(({ own: { broker }, granted }) =>
    granted === null ? [] : [{ broker, sealed: granted.sealed, info: releaseInfo(granted.grant.leafHash) }],
  )
  const { quorum } = own
  if (quorum === undefined) return sealed[0]!
  return { shares: sealed.map(({ broker, ...key }) => ({ ...key, index: shareIndexOf(quorum, broker) })) }
}

/** Those whose share was not the one that the owner committed to are named, and count for nothing. @throws session/quorum */
function withoutWrong(
  ports: SessionPorts,
  members: readonly MemberGrant[],
  { wrongShares }: ModelMetadata,
): readonly MemberGrant[] {
  return members.filter(({ own }) => {
    const { quorum, broker } = own
    if (quorum === undefined || !wrongShares.includes(shareIndexOf(quorum, broker))) return true
    const message = `the share of broker ${brokerName(own)} (${broker}) is not the one that the owner committed to`
    ports.report({ kind: 'trouble', failure: new Failure<SessionCode>('session/share', message) })
    return false
  })
}

/** Brokers that hold a share and that nobody could call: a wrong share's broker is none of them. */
function lateOf(settings: NodeSettings, own: OwnValues, ports: SessionPorts, members: readonly Member[]) {
  const missing = own.quorum?.shares.filter((one) => !members.some((member) => member.own.broker === one.broker)) ?? []
  if (missing.length === 0) return null
  return new LateBrokers(
    settings,
    own,
    ports,
    missing.map((one) => one.broker),
  )
}

/** Everything between a running engine and a loaded model. */
async function obtain(options: SessionOptions, ports: SessionPorts, engine: SessionEngine): Promise<Session> {
  const say = (step: SessionStep, text: string) => ports.report({ kind: 'step', step, text })
  const request = await generateRecipientKey()
  const { key: receipt, pkcs8 } = await generateSigningKey('Ed25519')
  pkcs8.fill(0)
  if (receipt.publicKey.kty !== 'OKP') throw new TypeError('a receipt key is an Ed25519 key')
  const notAfter = ports.now() + (options.keysetSeconds ?? keysetSecondsDefault)
  const landmark = ports.timing?.key ?? null
  const keys = {
    release: engine.releaseKey,
    request: request.publicKey,
    receipt: receipt.publicKey,
    landmark,
    notAfter,
  }
  const own = await composeOwnValues(options.settings, keys, ports.attester.platform)
  say('keyset', `keyset ${keysetDigest(own.keyset)}`)
  const members = membersOf(await viewsOf(options.settings, own), ports)
  const granted = await askAll(ports, own, members, say)
  // Invariant: nothing above this line touched the key; only grants that verified give the infos that open it (I3).
  const metadata = await engine.load({
    folder: options.folder,
    manifestBytes: options.manifestBytes,
    ...keyOf(own, granted),
    aad: releaseAad(own.manifestDigest),
    threads: options.threads,
  })
  const { knownAnswers } = metadata
  say('load', `model loaded: ${metadata.runtime}, ${metadata.threads} threads, ${knownAnswersText(knownAnswers)}`)
  const late = lateOf(options.settings, own, ports, members)
  return new Session({ ports, own, engine, request, receipt, metadata, late }, withoutWrong(ports, granted, metadata))
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
