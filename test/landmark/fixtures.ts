import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { isFailure } from '#core/failure.js'
import { landmarkSessionsMax } from '#core/limits.js'
import { type LandmarkTicket, readTicket, signTicket, ticketParts, type VerifiedTicket } from '#core/wire/landmark.js'
import { type LandmarkOptions, type LandmarkServer, startLandmark } from '#landmark/server.js'
import { createLandmark, loadLandmark, openLine } from '#landmark/state.js'
import type { Landmark, Landmarks } from '#policies/location/landmarks.js'
import { beMeasured } from '#runtime/landmark/measure.js'

export const now = () => Math.floor(Date.now() / 1000)
export const newKey = async (): Promise<SigningKey> => (await generateSigningKey('Ed25519')).key
export const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

export interface Running {
  readonly server: LandmarkServer
  readonly row: Landmark
  readonly ends: string[]
  readonly troubles: unknown[]
}

/** Landmarks of one test file, with a broker that they serve. */
export async function landmarks() {
  const work = mkdtempSync(join(tmpdir(), 'claviger-landmark-'))
  const broker = await newKey()
  const open: LandmarkServer[] = []
  return {
    broker,
    work,
    async start(
      name: string,
      change: Partial<LandmarkOptions> = {},
      place = { latitude: 59.91, longitude: 10.75 },
    ): Promise<Running> {
      const folder = join(work, name)
      const found = await createLandmark(folder, name)
      const [ends, troubles]: [string[], unknown[]] = [[], []]
      const server = await startLandmark({
        keys: await loadLandmark(folder),
        line: await openLine(folder),
        brokers: [broker.publicKey as Ed25519Jwk],
        host: '127.0.0.1',
        port: 0,
        probes: 20,
        sessionsMax: landmarkSessionsMax,
        opensPerMinute: 600,
        now,
        onEnd: ({ code }) => void ends.push(code),
        onTrouble: (error) => void troubles.push(error),
        ...change,
      })
      open.push(server)
      const row: Landmark = {
        name,
        operator: `LEI:${name}`,
        country: 'NO',
        latitudeE6: Math.round(place.latitude * 1e6),
        longitudeE6: Math.round(place.longitude * 1e6),
        errorM: 100,
        host: '127.0.0.1',
        port: server.port,
        receiptKey: found.receiptKey,
        sessionKey: found.sessionKey,
        from: 0,
        to: null,
      }
      return { server, row, ends, troubles }
    },
    async ticket(
      key: SigningKey,
      names: readonly string[],
      change: Partial<LandmarkTicket> = {},
      by = broker,
    ): Promise<Envelope> {
      return signTicket(
        {
          type: 'claviger/landmark-ticket/v1',
          session: toHex(randomBytes(16)),
          key: key.publicKey as Ed25519Jwk,
          keyset: 'ab'.repeat(32),
          lease: null,
          landmarks: names,
          issuedAt: now(),
          notAfter: now() + 120,
          ...change,
        },
        by,
      )
    },
    async close() {
      for (const one of open) await one.close()
      rmSync(work, { recursive: true, force: true })
    },
  }
}

/** The ticket as the node has it: what its broker gave. */
export function held(ticket: Envelope): VerifiedTicket {
  const { payload } = ticketParts(ticket)
  return { ticket: readTicket(payload), digest: sha256(payload) }
}

export const timed = (one: Running, ticket: Envelope, key: SigningKey, port = one.row.port, timeoutMs = 15_000) =>
  beMeasured({ landmark: { ...one.row, port }, ticket, key, timeoutMs })

export const directoryOf = (...rows: readonly Landmark[]): Landmarks => ({
  type: 'claviger/landmarks/v1',
  name: 'test',
  version: 1,
  issuedAt: 0,
  validUntil: now() + 1000,
  previousDigest: null,
  landmarks: rows,
})
