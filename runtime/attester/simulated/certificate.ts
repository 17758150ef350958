import { concat, utf8 } from '#core/bytes/bytes.js'
import { derTag } from '#core/encoding/der.js'
import type { UnixSeconds } from '#core/time.js'
import { algorithmIdentifier } from '#core/x509/algorithms.js'
import { backend } from '#crypto-backend'
import { bitString, boolean, der, integer, octets, oid, sequence, time } from '#runtime/attester/simulated/der.js'

/** A throwaway key of the simulation, and its certificate once there is one. */
export interface MintKey {
  readonly pkcs8: Uint8Array
  readonly spki: Uint8Array
}

/** One extension: `value` is what its OCTET STRING holds. */
export interface MintExtension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

export interface MintCertificate {
  readonly serial: number
  readonly issuer: string
  readonly subject: string
  readonly notBefore: UnixSeconds
  readonly notAfter: UnixSeconds
  readonly spki: Uint8Array
  readonly extensions: readonly MintExtension[]
}

/** A name that says at once what it is: no certificate of ours can be taken for the vendor's. */
export function name(commonName: string): Uint8Array {
  const part = (id: string, text: string) => der(derTag.set, sequence(oid(id), der(derTag.utf8String, utf8(text))))
  return sequence(
    part('2.5.4.10', 'NOT HARDWARE'),
    part('2.5.4.11', 'Claviger simulation'),
    part('2.5.4.3', commonName),
  )
}

export const basicConstraints = (pathLength?: number): MintExtension => ({
  oid: '2.5.29.19',
  critical: true,
  value: sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])),
})

/** Key usage with keyCertSign, and cRLSign where asked for. */
export const keyUsage = (crlSign: boolean): MintExtension => ({
  oid: '2.5.29.15',
  critical: true,
  value: der(derTag.bitString, new Uint8Array(crlSign ? [1, 0x06] : [2, 0x04])),
})

function extension(one: MintExtension): Uint8Array {
  return sequence(oid(one.oid), ...(one.critical ? [boolean(true)] : []), octets(one.value))
}

async function signed(tbs: Uint8Array, signer: MintKey): Promise<Uint8Array> {
  const key = await backend.importPrivateKey('RSA-PSS-SHA384', signer.pkcs8)
  return sequence(tbs, algorithmIdentifier('RSA-PSS-SHA384'), bitString(await backend.sign(key, tbs)))
}

/** A version 3 certificate signed with RSASSA-PSS, SHA-384, salt 48, as AMD's are. */
export async function mintCertificate(fields: MintCertificate, signer: MintKey): Promise<Uint8Array> {
  const tbs = sequence(
    der(0xa0, integer(2)),
    integer(fields.serial),
    algorithmIdentifier('RSA-PSS-SHA384'),
    name(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    name(fields.subject),
    fields.spki,
    ...(fields.extensions.length > 0 ? [der(0xa3, sequence(concat(...fields.extensions.map(extension))))] : []),
  )
  return signed(tbs, signer)
}

export interface MintCrl {
  readonly issuer: string
  readonly thisUpdate: UnixSeconds
  readonly nextUpdate: UnixSeconds | null
  readonly revoked: readonly number[]
  readonly extensions?: readonly MintExtension[]
}

/** A version 2 CRL, signed as the certificates are. */
export async function mintCrl(fields: MintCrl, signer: MintKey): Promise<Uint8Array> {
  const entries = fields.revoked.map((serial) => sequence(integer(serial), time(fields.thisUpdate)))
  const number = { oid: '2.5.29.20', critical: false, value: integer(1) }
  const tbs = sequence(
    integer(1),
    algorithmIdentifier('RSA-PSS-SHA384'),
    name(fields.issuer),
    time(fields.thisUpdate),
    ...(fields.nextUpdate === null ? [] : [time(fields.nextUpdate)]),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    der(0xa0, sequence(...(fields.extensions ?? [number]).map(extension))),
  )
  return signed(tbs, signer)
}
