import { equal, isZero, utf8 } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { Writer } from '#core/bytes/writer.js'
import { Failure } from '#core/failure.js'
import { landmarkReceiptSizeMax, probesMax, ticketSizeMax } from '#core/limits.js'
import type { LandmarkCode, TicketParts } from '#core/wire/landmark.js'

/** Both sides' datagrams. `session` is the ticket's, 16 bytes. */
export type Datagram =
  /** node: may I? Long, so that no answer is longer */
  | { readonly kind: 'hello'; readonly session: Uint8Array }
  /** landmark: show that you are where you write from, by this cookie */
  | { readonly kind: 'retry'; readonly session: Uint8Array; readonly cookie: Uint8Array }
  | ({
      readonly kind: 'open'
      readonly session: Uint8Array
      readonly cookie: Uint8Array
      readonly enc: Uint8Array
      readonly openSignature: Uint8Array
    } & TicketParts)
  | { readonly kind: 'probe'; readonly session: Uint8Array; readonly index: number; readonly nonce: Uint8Array }
  | { readonly kind: 'answer'; readonly session: Uint8Array; readonly index: number; readonly answer: Uint8Array }
  /** landmark: these indices count */
  | { readonly kind: 'close'; readonly session: Uint8Array; readonly counted: readonly number[] }
  | { readonly kind: 'commit'; readonly session: Uint8Array; readonly signature: Uint8Array }
  | {
      readonly kind: 'receipt'
      readonly session: Uint8Array
      readonly payload: Uint8Array
      readonly signature: Uint8Array
    }
  | { readonly kind: 'refused'; readonly session: Uint8Array; readonly code: RefusalCode }

/** What a landmark tells a node that showed where it is, by number from 1. Numbers are never used again. */
export const refusalCodes = [
  'landmark/ticket-size',
  'landmark/ticket-signer',
  'landmark/ticket-expired',
  'landmark/ticket-not-yet-valid',
  'landmark/ticket-lifetime',
  'landmark/ticket-landmark',
  'landmark/ticket-used',
  'landmark/open-signature',
  'landmark/full',
  'landmark/answers',
  'landmark/commit-signature',
] as const satisfies readonly LandmarkCode[]
export type RefusalCode = (typeof refusalCodes)[number]

/** The version is part of the first four bytes: another one is another protocol. */
const magic = utf8('CLM1')
/** Each kind has one number and one size: what asks is never shorter than what it is answered with. Below the smallest MTU of IPv6. */
const sizes = {
  hello: [1, 1200],
  retry: [2, 64],
  open: [3, 1200],
  probe: [4, 64],
  answer: [5, 64],
  close: [6, 64],
  commit: [7, 1200],
  receipt: [8, 1200],
  refused: [9, 64],
} as const satisfies Readonly<Record<Datagram['kind'], readonly [number, number]>>
const bitmapSize = 16

const refuse = (message: string) => new Failure<LandmarkCode>('landmark/datagram', `datagram: ${message}`)

function bodyOf(datagram: Datagram): Uint8Array {
  const writer = new Writer()
  switch (datagram.kind) {
    case 'hello':
      break
    case 'retry':
      writer.bytes(datagram.cookie)
      break
    case 'open':
      writer.bytes(datagram.cookie).bytes(datagram.enc).bytes(datagram.openSignature).bytes(datagram.keyId)
      writer.bytes(datagram.signature).u16be(datagram.payload.length).bytes(datagram.payload)
      break
    case 'probe':
      writer.u16be(datagram.index).bytes(datagram.nonce)
      break
    case 'answer':
      writer.u16be(datagram.index).bytes(datagram.answer)
      break
    case 'close': {
      const bits = new Uint8Array(bitmapSize)
      for (const index of datagram.counted) bits[index >> 3]! |= 0x80 >> (index & 7)
      writer.bytes(bits)
      break
    }
    case 'commit':
      writer.bytes(datagram.signature)
      break
    case 'receipt':
      writer.bytes(datagram.signature).u16be(datagram.payload.length).bytes(datagram.payload)
      break
    case 'refused':
      writer.u8(refusalCodes.indexOf(datagram.code) + 1)
      break
  }
  return writer.done()
}

/** A datagram in the one size of its kind, zeros at its end. @throws landmark/datagram for a body that does not fit */
export function encodeDatagram(datagram: Datagram): Uint8Array {
  const [number, size] = sizes[datagram.kind]
  const body = bodyOf(datagram)
  const bytes = new Writer().bytes(magic).u8(number).bytes(datagram.session).bytes(body).done()
  if (datagram.session.length !== 16 || bytes.length > size)
    throw refuse(`${datagram.kind} has ${bytes.length} bytes, at most ${size}`)
  const whole = new Uint8Array(size)
  whole.set(bytes)
  return whole
}

function part(reader: Reader, sizeMax: number): Uint8Array {
  const size = reader.u16be()
  if (size > sizeMax) throw refuse(`a part has ${size} bytes, at most ${sizeMax}`)
  return reader.bytes(size)
}

function indexIn(reader: Reader): number {
  const index = reader.u16be()
  if (index >= probesMax) throw refuse(`index ${index}, below ${probesMax} expected`)
  return index
}

function read(kind: Datagram['kind'], session: Uint8Array, reader: Reader): Datagram {
  switch (kind) {
    case 'hello':
      return { kind, session }
    case 'retry':
      return { kind, session, cookie: reader.bytes(32) }
    case 'open': {
      const [cookie, enc, openSignature] = [reader.bytes(32), reader.bytes(32), reader.bytes(64)]
      const [keyId, signature] = [reader.bytes(32), reader.bytes(64)]
      return { kind, session, cookie, enc, openSignature, keyId, signature, payload: part(reader, ticketSizeMax) }
    }
    case 'probe':
      return { kind, session, index: indexIn(reader), nonce: reader.bytes(16) }
    case 'answer':
      return { kind, session, index: indexIn(reader), answer: reader.bytes(32) }
    case 'close': {
      const bits = reader.bytes(bitmapSize)
      const all = Array.from({ length: bitmapSize * 8 }, (_, i) => i)
      const counted = all.filter((i) => (bits[i >> 3]! & (0x80 >> (i & 7))) !== 0)
      if (counted.some((i) => i >= probesMax)) throw refuse('counts an index that no probe has')
      return { kind, session, counted }
    }
    case 'commit':
      return { kind, session, signature: reader.bytes(64) }
    case 'receipt': {
      const signature = reader.bytes(64)
      return { kind, session, signature, payload: part(reader, landmarkReceiptSizeMax) }
    }
    case 'refused': {
      const code = refusalCodes[reader.u8() - 1]
      if (code === undefined) throw refuse('refuses for a reason that has no number')
      return { kind, session, code }
    }
  }
}

/**
 * A datagram of this version, whole, in the size of its kind, with nothing in its padding.
 *
 * throws  landmark/datagram, bytes/truncated
 */
export function parseDatagram(bytes: Uint8Array): Datagram {
  const reader = new Reader(bytes)
  if (bytes.length < 21 || !equal(reader.bytes(4), magic)) throw refuse('not one of this protocol')
  const number = reader.u8()
  const found = Object.entries(sizes).find(([, [own]]) => own === number)
  if (found === undefined) throw refuse(`kind ${number} is none`)
  const [kind, [, size]] = found as [Datagram['kind'], readonly [number, number]]
  if (bytes.length !== size) throw refuse(`${kind} has ${bytes.length} bytes, expected ${size}`)
  const datagram = read(kind, reader.bytes(16), reader)
  if (!isZero(reader.bytes(reader.left))) throw refuse(`${kind} has something in its padding`)
  return datagram
}
