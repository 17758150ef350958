import { toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { verifyPoint } from '#core/crypto/key-wrap.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { initDataField, kbsReportData, type RuntimeData } from '#keybroker/kbs/binding.js'
import { affirm } from '#keybroker/kbs/decide.js'
import { parseKbsEvidence } from '#keybroker/kbs/evidence.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { acceptedTee, type KbsAttestation, nonceText, parseAttestation, parseRequest } from '#keybroker/kbs/messages.js'
import type { KbsPorts, KbsSession } from '#keybroker/kbs/ports.js'
import { readSample } from '#keybroker/kbs/sample.js'
import { verifyNoDevices } from '#keybroker/kbs/snp-evidence.js'
import { issueToken, tokenLifetimeSeconds } from '#keybroker/kbs/token.js'

export const sessionLifetimeSeconds = 300
const openSessionsMax = 100_000

/** UUID version 4 in its simple form, as clients see it in the cookie. source: RFC 9562, "UUID Version 4" */
function sessionId(random: Uint8Array): string {
  const bytes = random.slice(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return toHex(bytes)
}

const idForm = /^[0-9a-f]{32}$/

/** The digest under which a session is kept; null for what is no session's id. */
export function sessionDigest(id: string | undefined): Uint8Array | null {
  return id !== undefined && idForm.test(id) ? sha256(utf8(`kbs session ${id}`)) : null
}

export interface OpenedSession {
  readonly id: string
  readonly nonce: string
  readonly expiresAt: UnixSeconds
}

/** A session that waits for evidence under its nonce. @throws kbs/message, kbs/version, kbs/tee, kbs/sessions-full */
export async function openSession(body: Uint8Array, ports: KbsPorts): Promise<OpenedSession> {
  const { tee } = parseRequest(body, ports.dangerousAllowSample)
  const at = ports.clock()
  if ((await ports.sessions.countOpen(at)) >= openSessionsMax) {
    throw new Failure<KbsCode>('kbs/sessions-full', `${openSessionsMax} sessions wait for their evidence`)
  }
  const id = sessionId(ports.random(16))
  const nonce = nonceText(ports.random(32))
  const expiresAt = at + sessionLifetimeSeconds
  await ports.sessions.store({ idDigest: sessionDigest(id)!, tee, nonce, expiresAt })
  return { id, nonce, expiresAt }
}

const noSession = () =>
  new Failure<KbsCode>('kbs/session', 'there is no such session, it has expired, or its nonce was used')

/**
 * The token of a session whose evidence was accepted, and when the session ends.
 *
 * The nonce is spent before anything of the message is looked at, and a session whose evidence is refused is gone: the
 * client begins again, as it does after any failure.
 * throws  kbs/session, and all that verifySession throws
 */
export async function attestSession(
  id: string | undefined,
  body: Uint8Array,
  ports: KbsPorts,
): Promise<{ readonly token: string; readonly expiresAt: UnixSeconds }> {
  const idDigest = sessionDigest(id)
  const session = idDigest === null ? null : await ports.sessions.take(idDigest, ports.clock())
  if (session === null) throw noSession()
  try {
    const token = await verifySession(session, body, ports)
    await ports.sessions.finish(session.idDigest, token, ports.clock())
    return { token, expiresAt: session.expiresAt }
  } catch (error) {
    await ports.sessions.drop(session.idDigest)
    throw error
  }
}

/**
 * The token for a session's evidence, step by step.
 *
 * throws  kbs/message, kbs/tee-key, kbs/nonce, kbs/init-data, kbs/evidence, kbs/collateral, kbs/attestation
 * source  kbs-protocol.md of trustee, "Attestation"
 */
async function verifySession(session: KbsSession, body: Uint8Array, ports: KbsPorts): Promise<string> {
  const message = parseAttestation(body) // 1 structure
  if (message.nonce !== session.nonce) {
    throw new Failure<KbsCode>('kbs/nonce', 'runtime data does not carry the nonce of this session')
  } // 2 freshness
  verifyNoDevices(message.additionalEvidence) // 3 nothing that nobody verifies
  const tee = acceptedTee(session.tee, ports.dangerousAllowSample) // 4 of the kind that was announced, and no other
  await verifyKey(message.teeKey) // 5 a key that can be encrypted to
  const data: RuntimeData = {
    nonce: session.nonce,
    teeKey: message.teeKey,
    additionalEvidence: message.additionalEvidence,
  }
  if (tee === 'sample') return sampleToken(message, data, ports)
  const evidence = parseKbsEvidence(tee, message.primaryEvidence)
  const expected = {
    reportData: kbsReportData(data),
    hostData: message.initData === null ? null : initDataField(tee, message.initData),
  } // 6 what the evidence has to carry
  const at = ports.clock()
  const verified = await ports.verifyEvidence(evidence, expected, at).catch((error: unknown) => {
    // What the verifier says in words of this protocol is said to the client; its own codes are details of a refusal.
    if (!isFailure(error) || error.code.startsWith('kbs/')) throw error
    throw new Failure<KbsCode>('kbs/attestation', `${error.code}: ${error.message}`, { cause: error })
  }) // 7 genuine, current, as the reference values say
  const id = toBase64Url(ports.random(16))
  await ports.evidence.store(id, verified.evidence, at, at + tokenLifetimeSeconds)
  const initData = expected.hostData === null ? null : toHex(expected.hostData)
  const policies = await ports.policies.load()
  const result = affirm({ result: verified.result, tee, initData, policies, at }) // 8 what the operator affirms
  return issueToken(ports.signer, { result, tee, data, ...expected, id, at })
}

/** Nothing is kept of it: no owner's key is ever judged by it. */
async function sampleToken(message: KbsAttestation, data: RuntimeData, ports: KbsPorts): Promise<string> {
  // Nobody says with which init-data it was started, so that none can be compared.
  if (message.initData !== null)
    throw new Failure<KbsCode>('kbs/init-data', 'sample evidence carries no digest of init-data')
  const result = readSample(message.primaryEvidence, data)
  const id = toBase64Url(ports.random(16))
  const expected = { reportData: kbsReportData(data), hostData: null }
  return issueToken(ports.signer, { result, tee: 'sample', data, ...expected, id, at: ports.clock() })
}

async function verifyKey(key: RuntimeData['teeKey']): Promise<void> {
  if (key.kty !== 'EC') return
  try {
    await verifyPoint(key)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/tee-key', `tee key: the point is not on ${key.crv}`, { cause: error })
  }
}
