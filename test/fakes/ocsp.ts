import { concat, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { derTag } from '#core/encoding/der.js'
import type { UnixSeconds } from '#core/time.js'
import type { MintExtension, MintKey } from '#runtime/attester/simulated/certificate.js'
import { der, integer, octets, oid, sequence } from '#runtime/attester/simulated/der.js'
import keys from './gpu-keys.json' with { type: 'json' }
import { encodeExtension, mintP384, type P384Certificate, p384Name, readKey, signedDer, signsOnly } from './p384.js'
import { testTime } from './platform.js'

const responderKey = readKey(keys.responder)
const day = 86_400

/** Which certificate an answer is about. */
export interface OcspSubject {
  readonly issuerName: Uint8Array
  readonly issuer: MintKey
  readonly serial: number
}

/** The id by which an answer names it. */
export function subjectId({ issuerName, issuer, serial }: OcspSubject): string {
  const hex = serial.toString(16)
  return `${toHex(sha384(issuerName))}${toHex(sha384(keyOf(issuer)))}${hex.length % 2 === 1 ? '0' : ''}${hex}`
}
/** The key behind the headers of one on P-384. */
const keyOf = ({ spki }: MintKey) => spki.subarray(23)

/** One thing to do differently in an answer that is good. */
export interface OcspChange {
  readonly responseStatus?: number
  readonly responseType?: string
  readonly hash?: Uint8Array
  readonly serial?: number
  readonly status?: 'good' | 'unknown' | { readonly reason: number | null }
  readonly producedAt?: UnixSeconds
  readonly thisUpdate?: UnixSeconds
  readonly nextUpdate?: UnixSeconds | null
  readonly extensions?: readonly MintExtension[]
  readonly singleExtensions?: readonly MintExtension[]
  readonly responder?: Partial<P384Certificate>
  readonly responderId?: Uint8Array
  /** who appoints the responder, and who signs the answer */
  readonly appointedBy?: MintKey
  readonly signedBy?: MintKey
  readonly bytes?: (answer: Uint8Array) => Uint8Array
}

const time = (at: UnixSeconds) =>
  der(derTag.generalizedTime, utf8(new Date(at * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')))
const identifier = (bytes: Uint8Array): MintExtension => ({ oid: '2.5.29.14', critical: false, value: octets(bytes) })

/** Extended key usage with these purposes, critical as NVIDIA has it. */
export const purposes = (...ids: readonly string[]): MintExtension => ({
  oid: '2.5.29.37',
  critical: true,
  value: sequence(...ids.map(oid)),
})
export const ocspSigning = '1.3.6.1.5.5.7.3.9'
export const responderExtensions = [
  signsOnly,
  purposes(ocspSigning, '1.3.6.1.5.5.7.48.1.5'),
  identifier(new Uint8Array(20).fill(9)),
]

function statusOf(status: OcspChange['status'] = 'good'): Uint8Array {
  if (status === 'good') return der(0x80)
  if (status === 'unknown') return der(0x82)
  const reason = status.reason === null ? [] : [der(0xa0, der(0x0a, new Uint8Array([status.reason])))]
  return der(0xa1, time(testTime - day), ...reason)
}

/** An answer of a responder that the issuer appointed. */
export async function mintOcsp(subject: OcspSubject, change: OcspChange = {}): Promise<Uint8Array> {
  const hash = change.hash ?? sequence(oid('2.16.840.1.101.3.4.2.2'), der(derTag.null))
  const id = sequence(
    hash,
    octets(sha384(subject.issuerName)),
    octets(sha384(keyOf(subject.issuer))),
    integer(change.serial ?? subject.serial),
  )
  const extensions = (tag: number, list: readonly MintExtension[] | undefined) =>
    list ? [der(tag, sequence(...list.map(encodeExtension)))] : []
  const { thisUpdate = testTime - 3600, nextUpdate = testTime + 20 * 3600 } = change
  const single = sequence(
    id,
    statusOf(change.status),
    time(thisUpdate),
    ...(nextUpdate === null ? [] : [der(0xa0, time(nextUpdate))]),
    ...extensions(0xa1, change.singleExtensions),
  )
  const data = sequence(
    change.responderId ?? der(0xa2, octets(new Uint8Array(20).fill(9))),
    time(change.producedAt ?? thisUpdate),
    sequence(single),
    ...extensions(0xa1, change.extensions),
  )
  const responder = await mintP384(
    {
      serial: 77,
      issuer: subject.issuerName,
      subject: p384Name('OCSP Responder'),
      notBefore: testTime - 100 * day,
      notAfter: testTime + 100 * day,
      spki: responderKey.spki,
      extensions: responderExtensions,
      ...change.responder,
    },
    change.appointedBy ?? subject.issuer,
  )
  const basic = await signedDer(data, change.signedBy ?? responderKey, der(0xa0, sequence(responder)))
  const status = change.responseStatus ?? 0
  const body = der(0xa0, sequence(oid(change.responseType ?? '1.3.6.1.5.5.7.48.1.1'), octets(basic)))
  const answer = sequence(der(0x0a, new Uint8Array([status])), ...(status === 0 ? [body] : []))
  return change.bytes?.(answer) ?? answer
}

export const trailing = (bytes: Uint8Array): Uint8Array => concat(bytes, new Uint8Array(1))
