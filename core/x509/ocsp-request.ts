import { concat, fromHex } from '#core/bytes/bytes.js'
import { derTag } from '#core/encoding/der.js'

/** Which certificate an answer is about, by its issuer and its serial number. Lowercase hex. */
export interface OcspSubject {
  /** SHA-384 of the DER name of the issuer */
  readonly issuerName: string
  /** SHA-384 of the key of the issuer, without its algorithm */
  readonly issuerKey: string
  /** magnitude, as certificates have it: no needless zero, 1 to 20 bytes */
  readonly serial: string
}

const hashDigits = 96

/** The parts of an id as certificateId gives it. */
export function ocspSubject(id: string): OcspSubject {
  return {
    issuerName: id.slice(0, hashDigits),
    issuerKey: id.slice(hashDigits, 2 * hashDigits),
    serial: id.slice(2 * hashDigits),
  }
}

/** The id that certificateId gives for this certificate. */
export const ocspId = ({ issuerName, issuerKey, serial }: OcspSubject): string => `${issuerName}${issuerKey}${serial}`

/** A serial number as an id spells it. source: RFC 5280, "Serial Number" */
export const ocspSerialForm = /^(?:00|(?!00)(?:[0-9a-f]{2}){1,20})$/

function encode(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = concat(...contents)
  const head = body.length < 0x80 ? [tag, body.length] : [tag, 0x81, body.length]
  return concat(new Uint8Array(head), body)
}
const sequence = (...contents: readonly Uint8Array[]) => encode(derTag.sequence, ...contents)

/** SHA-384 with parameters NULL, as NVIDIA's responders answer. */
const hash = fromHex('300d06096086480165030402020500')

/**
 * A request for the answer on one certificate by SHA-384, unsigned and without a nonce: what comes may be one that the
 * responder, or a mirror of it, made for everybody, and is kept for everybody. How old it may be is in the answer.
 *
 * source  RFC 6960, "Request Syntax"; RFC 5019, "OCSP Request Profile"
 */
export function encodeOcspRequest({ issuerName, issuerKey, serial }: OcspSubject): Uint8Array {
  const magnitude = fromHex(serial)
  const number = magnitude[0]! & 0x80 ? concat(new Uint8Array(1), magnitude) : magnitude
  const id = sequence(
    hash,
    encode(derTag.octetString, fromHex(issuerName, hashDigits / 2)),
    encode(derTag.octetString, fromHex(issuerKey, hashDigits / 2)),
    encode(derTag.integer, number),
  )
  return sequence(sequence(sequence(sequence(id))))
}
