import type { DcapCode } from '#attest/dcap/codes.js'
import { componentOids, pckOid, sgxArcs } from '#attest/dcap/layout.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { type Der, derInteger, derOid, derTag, parseDer } from '#core/encoding/der.js'
import { Failure } from '#core/failure.js'
import { type Certificate, withCode } from '#core/x509/certificate.js'

/** What Intel says of a machine in its PCK certificate. Bytes are views. */
export interface Pck {
  /** 16 bytes, the same for a machine through all its TCBs */
  readonly ppid: Uint8Array
  /** 16 security versions. The raw CPUSVN is not compared: its meaning differs between products. */
  readonly components: readonly number[]
  readonly pceSvn: number
  /** 16 bytes */
  readonly cpuSvn: Uint8Array
  /** 2 bytes */
  readonly pceId: Uint8Array
  /** 6 bytes */
  readonly fmspc: Uint8Array
}

function refuse(message: string): Failure<DcapCode> {
  return new Failure<DcapCode>('dcap/pck-certificate', message)
}

/**
 * What a PCK certificate says: a P-256 key, no authority, and Intel's extension, complete and with nothing twice.
 *
 * trusts  nothing: the caller verifies the chain
 * throws  dcap/pck-certificate
 * source  Intel SGX PCK Certificate and CRL Profile, "PCK Certificate"
 */
export function readPck(certificate: Certificate): Pck {
  if (certificate.isCa) throw refuse('PCK certificate is that of an authority')
  if (!hasKeyForm('ES256', certificate.spki)) throw refuse('PCK is not a key on P-256')
  const extension = certificate.extensions.get(pckOid.extension)
  if (!extension) throw refuse('PCK certificate has no SGX extension')
  return withCode<DcapCode, Pck>('dcap/pck-certificate', 'PCK certificate', () => {
    const members = readPairs(parseDer(extension.value, derTag.sequence, 'SGX extension'))
    const tcb = readPairs(take(members, pckOid.tcb, derTag.sequence))
    const svn = (oid: string, max: number) => derInteger(take(tcb, oid, derTag.integer), max, oid)
    return {
      ppid: octets(members, pckOid.ppid, 16),
      components: componentOids.map((oid) => svn(oid, 255)),
      pceSvn: svn(pckOid.pceSvn, 65_535),
      cpuSvn: octets(tcb, pckOid.cpuSvn, 16),
      pceId: octets(members, pckOid.pceId, 2),
      fmspc: octets(members, pckOid.fmspc, 6),
    }
  })
}

/** A sequence of (OID, value), none twice. Members that are not read here may be of any type. */
function readPairs(sequence: Der): ReadonlyMap<string, Der> {
  const out = new Map<string, Der>()
  const reader = sequence.reader()
  while (!reader.done) {
    const pair = reader.next(derTag.sequence, 'SGX extension member').reader()
    const oid = derOid(pair.next(derTag.oid, 'SGX extension id'), 'SGX extension id', ...sgxArcs)
    const value = pair.next(pair.tag ?? 0, oid)
    pair.end(oid)
    if (out.has(oid)) throw refuse(`PCK certificate has ${oid} twice`)
    out.set(oid, value)
  }
  return out
}

function take(members: ReadonlyMap<string, Der>, oid: string, tag: number): Der {
  const value = members.get(oid)
  if (value?.tag !== tag) throw refuse(`PCK certificate lacks ${oid}, or has it with another type`)
  return value
}

function octets(members: ReadonlyMap<string, Der>, oid: string, size: number): Uint8Array {
  const { body } = take(members, oid, derTag.octetString)
  if (body.length !== size) throw refuse(`${oid} of the PCK certificate has ${body.length} bytes, expected ${size}`)
  return body
}
