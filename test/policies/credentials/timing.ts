/** Landmarks of an owner, and receipts that they would sign of a node's key. */
import { toBase64Url, toHex } from '#core/bytes/bytes.js'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import {
  claimedTicket,
  type LandmarkTicket,
  sessionOfChallenge,
  signTicket,
  signTranscript,
} from '#core/wire/landmark.js'
import { type LandmarkReceipt, signLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import type { Presented } from '#core/wire/sources.js'
import type { Timeable } from '#policies/credentials/timed.js'
import { type Landmark, type Landmarks, landmarksPayloadType } from '#policies/location/landmarks.js'
import type { Place } from '#policies/location/sphere.js'
import type { SourcesWorld } from '#test/policies/credentials/presented.js'

const newKey = async (): Promise<SigningKey & { readonly publicKey: Ed25519Jwk }> =>
  (await generateSigningKey('Ed25519')).key as SigningKey & { readonly publicKey: Ed25519Jwk }

interface Standing {
  readonly row: Landmark
  readonly key: SigningKey
}

export interface TimedWorld {
  readonly landmarks: readonly Standing[]
  /** to be said in sources */
  readonly kept: NonNullable<SourcesWorld['body']['landmarks']>
  /** what landmarks time */
  readonly nodeKey: SigningKey & { readonly publicKey: Ed25519Jwk }
  readonly node: Timeable
}

export const paris: Place = { latitude: 48.857, longitude: 2.352 }
/** On the Rhine: a place that no round trip tells from one in Germany. */
export const strasbourg: Place = { latitude: 48.573, longitude: 7.752 }
export const companies = ['LEI:LM1', 'LEI:LM2', 'LEI:LM3']

/** Landmarks in Paris, of a company each, or as given, in a directory that the keeper of the world signs. */
export async function makeTimed(
  world: Pick<SourcesWorld, 'keeper'>,
  now: number,
  options: { marks?: readonly (readonly [operator: string, place: Place])[]; change?: Partial<Landmarks> } = {},
): Promise<TimedWorld> {
  const { marks = companies.map((operator) => [operator, paris] as const) } = options
  const landmarks = await Promise.all(
    marks.map(async ([operator, place], i) => {
      const key = await newKey()
      const row: Landmark = {
        ...{ name: `lm-${i + 1}`, operator, country: 'FR', host: '127.0.0.1', port: 4455, errorM: 100 },
        latitudeE6: Math.round(place.latitude * 1e6),
        longitudeE6: Math.round(place.longitude * 1e6),
        receiptKey: key.publicKey,
        sessionKey: (await generateRecipientKey()).publicKey,
        ...{ from: 0, to: null },
      }
      return { row, key }
    }),
  )
  const directory: Landmarks = {
    ...{ type: 'claviger/landmarks/v1', name: 'marks', version: 1, previousDigest: null },
    ...{ issuedAt: now - 60, validUntil: now + 86_400, landmarks: landmarks.map(({ row }) => row) },
    ...options.change,
  }
  const document = await signEnvelope(landmarksPayloadType, canonicalJson(directory), [world.keeper])
  const nodeKey = await newKey()
  const node = {
    landmarkKey: nodeKey.publicKey,
    keysetDigest: 'ab'.repeat(32),
    challenge: toBase64Url(new Uint8Array(32).fill(7)),
    lease: null,
  }
  return { landmarks, kept: { keepers: [world.keeper.publicKey], threshold: 1, document }, nodeKey, node }
}

export interface TimedBy {
  readonly node?: Timeable
  readonly key?: SigningKey & { readonly publicKey: Ed25519Jwk }
  /** of each landmark, in ns; null for one that gave no receipt */
  readonly rttNs?: readonly (number | null)[]
  readonly ticket?: Partial<LandmarkTicket>
  readonly receipt?: Partial<LandmarkReceipt>
}

/** What a node presents that was timed, by landmarks that do as they should. */
export async function timedBy(
  world: TimedWorld,
  now: number,
  by: TimedBy = {},
): Promise<NonNullable<Presented['timed']>> {
  const { node = world.node, key = world.nodeKey } = by
  const ticket: LandmarkTicket = {
    type: 'claviger/landmark-ticket/v1',
    session: sessionOfChallenge(node.challenge),
    ...{ key: key.publicKey, keyset: node.keysetDigest, lease: node.lease },
    landmarks: world.landmarks.map(({ row }) => row.name),
    ...{ issuedAt: now - 20, notAfter: now + 100 },
    ...by.ticket,
  }
  const envelope = await signTicket(ticket, await newKey())
  return { ticket: envelope, receipts: await receiptsFor(world, envelope, now - 10, by) }
}

/** Receipts for a ticket, as these landmarks would sign them at a time. */
export async function receiptsFor(
  world: TimedWorld,
  envelope: Envelope,
  time: number,
  { key = world.nodeKey, rttNs, receipt: change }: TimedBy = {},
): Promise<readonly Envelope[]> {
  const { ticket, digest } = claimedTicket(envelope)
  const receipts: Envelope[] = []
  for (const [i, { row, key: signer }] of world.landmarks.entries()) {
    const rtt = rttNs === undefined ? 200_000 : (rttNs[i] ?? null)
    if (rtt === null) continue
    const transcript = new Uint8Array(32).fill(i)
    const receipt: LandmarkReceipt = {
      ...{ type: 'claviger/landmark-receipt/v1', landmark: row.name, session: ticket.session, ticket: toHex(digest) },
      ...{ key: thumbprint(ticket.key), keyset: ticket.keyset, lease: ticket.lease, sent: 40, answered: 40 },
      rttNs: { min: rtt, p50: rtt + 1000, p90: rtt + 5000 },
      transcript: toHex(transcript),
      commit: toBase64Url(await signTranscript(key, row.name, transcript)),
      ...{ time, previousDigest: null },
      ...change,
    }
    receipts.push(await signLandmarkReceipt(receipt, signer))
  }
  return receipts
}
