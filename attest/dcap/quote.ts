import type { DcapCode } from '#attest/dcap/codes.js'
import {
  attestationKeyType,
  type BodyKind,
  bodyPrefixSize,
  bodySizes,
  bodyTypes,
  certificationType,
  headerSize,
  type QuoteVersion,
  qeVendorId,
  quoteSizeMin,
  quoteVersions,
  sgxReportSize,
  type Tee,
  teeTypes,
} from '#attest/dcap/layout.js'
import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'

/** A quote as it stands in its bytes. All byte members are views. */
export interface Quote {
  readonly version: QuoteVersion
  readonly tee: Tee
  readonly bodyKind: BodyKind
  readonly body: Uint8Array
  /** header and body, in version 5 body type and size too: what the attestation key signed */
  readonly signed: Uint8Array
  /** raw r then s, 64 bytes, as both signatures */
  readonly signature: Uint8Array
  /** x then y, 64 bytes */
  readonly attestationKey: Uint8Array
  /** report of the quoting enclave, 384 bytes */
  readonly qeReport: Uint8Array
  readonly qeReportSignature: Uint8Array
  readonly qeAuth: Uint8Array
  /** the PEM text of the PCK chain, as it stands in the quote */
  readonly chainPem: Uint8Array
  /** the same as DER, read when asked for: PCK certificate, its authority, root. Throws dcap/certificates. */
  readonly chain: readonly [Uint8Array, Uint8Array, Uint8Array]
}

function refuse(code: DcapCode, message: string, cause?: unknown): Failure<DcapCode> {
  return new Failure<DcapCode>(code, message, { cause })
}

/** Trouble with lengths becomes the caller's code. */
function withLengths<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isFailure(error) || !error.code.startsWith('bytes/')) throw error
    throw refuse('dcap/length', `lengths in the quote do not add up: ${error.message}`, error)
  }
}

interface Frame {
  readonly version: QuoteVersion
  readonly tee: Tee
  readonly bodyKind: BodyKind
  readonly bodyAt: number
  readonly signedSize: number
}

/**
 * The quote at the start of a buffer. Attestation devices hand out buffers of fixed size, so whoever reads one cuts it
 * here; what comes after the quote was signed by nobody.
 *
 * throws  dcap/size, dcap/version, dcap/key-type, dcap/tee-type, dcap/qe-vendor, dcap/body, dcap/length
 */
export function cutQuote(buffer: Uint8Array): Uint8Array {
  const { signedSize } = readFrame(buffer)
  return withLengths(() => {
    const reader = new Reader(buffer, signedSize)
    reader.bytes(reader.u32le())
    return buffer.subarray(0, reader.at)
  })
}

/**
 * The quote that the bytes spell: version 3, 4 or 5, an ECDSA P-256 attestation key, Intel's quoting enclave, a body of
 * a known kind and its exact size, a PCK chain, and every length exact.
 *
 * throws  those of cutQuote, dcap/certification-data
 * source  Intel TDX DCAP Quoting Library API, appendix A, "Version 4 Quote Format"
 */
export function parseQuote(bytes: Uint8Array): Quote {
  const { version, tee, bodyKind, bodyAt, signedSize } = readFrame(bytes)
  return withLengths(() => {
    const outer = new Reader(bytes, signedSize)
    const data = new Reader(outer.bytes(outer.u32le()))
    outer.end()
    const signature = data.bytes(64)
    const attestationKey = data.bytes(64)
    const inner = version === 3 ? data : wrapped(data)
    const qeReport = inner.bytes(sgxReportSize)
    const qeReportSignature = inner.bytes(64)
    const qeAuth = inner.bytes(inner.u16le())
    const chainPem = readChain(inner)
    return {
      version,
      tee,
      bodyKind,
      body: bytes.subarray(bodyAt, signedSize),
      signed: bytes.subarray(0, signedSize),
      signature,
      attestationKey,
      qeReport,
      qeReportSignature,
      qeAuth,
      chainPem,
      get chain() {
        return parsePckChain(chainPem)
      },
    }
  })
}

function readFrame(bytes: Uint8Array): Frame {
  if (bytes.length < quoteSizeMin)
    throw refuse('dcap/size', `quote has ${bytes.length} bytes, expected at least ${quoteSizeMin}`)
  const reader = new Reader(bytes)
  const number = reader.u16le()
  const version = quoteVersions.find((known) => known === number)
  if (version === undefined)
    throw refuse('dcap/version', `quote version is ${number}, expected one of ${quoteVersions.join(', ')}`)
  const keyType = reader.u16le()
  if (keyType !== attestationKeyType)
    throw refuse('dcap/key-type', `attestation key type is ${keyType}, expected ${attestationKeyType} (ECDSA P-256)`)
  const teeType = reader.u32le()
  const tee = (Object.keys(teeTypes) as Tee[]).find((name) => teeTypes[name] === teeType)
  if (tee === undefined || (version === 3 && tee !== 'sgx'))
    throw refuse('dcap/tee-type', `TEE type 0x${teeType.toString(16)} does not go with quote version ${version}`)
  reader.bytes(4)
  const vendor = toHex(reader.bytes(16))
  if (vendor !== qeVendorId)
    throw refuse('dcap/qe-vendor', `vendor of the quoting enclave is ${vendor}, expected ${qeVendorId}`)
  const { bodyKind, bodyAt } = readBodyKind(version, tee, new Reader(bytes, headerSize))
  const signedSize = bodyAt + bodySizes[bodyKind]
  if (bytes.length < signedSize + 4)
    throw refuse('dcap/size', `quote has ${bytes.length} bytes, ends before its signature`)
  return { version, tee, bodyKind, bodyAt, signedSize }
}

function readBodyKind(version: QuoteVersion, tee: Tee, reader: Reader): Pick<Frame, 'bodyKind' | 'bodyAt'> {
  if (version !== 5) return { bodyKind: tee === 'sgx' ? 'sgx' : 'tdx-1.0', bodyAt: headerSize }
  const type = reader.u16le()
  const size = reader.u32le()
  const bodyKind = bodyTypes.get(type)
  if (bodyKind === undefined) throw refuse('dcap/body', `body type is ${type}, expected one of 1, 2, 3`)
  if (size !== bodySizes[bodyKind])
    throw refuse('dcap/body', `body has ${size} bytes, expected ${bodySizes[bodyKind]} for type ${type}`)
  if ((bodyKind === 'sgx') !== (tee === 'sgx'))
    throw refuse('dcap/body', `body type ${type} does not go with TEE type ${tee}`)
  return { bodyKind, bodyAt: headerSize + bodyPrefixSize }
}

/** Versions 4 and 5 put the report of the quoting enclave into certification data of its own. */
function wrapped(data: Reader): Reader {
  const type = data.u16le()
  if (type !== certificationType.qeReport)
    throw refuse('dcap/certification-data', `certification data is of type ${type}, expected 6`)
  const inner = new Reader(data.bytes(data.u32le()))
  data.end()
  return inner
}

function readChain(inner: Reader): Uint8Array {
  const type = inner.u16le()
  // Types 1 to 4 name a chain that is elsewhere: without one nothing ties the quoting enclave to a machine.
  if (type !== certificationType.pckChain)
    throw refuse('dcap/certification-data', `certification data is of type ${type}, expected 5 (PCK chain)`)
  const pem = inner.bytes(inner.u32le())
  inner.end()
  return pem
}

/** Certificates, DER. The PEM text usually ends with one zero byte, as a C string does. */
function parsePckChain(pem: Uint8Array): Quote['chain'] {
  const text = pem.at(-1) === 0 ? pem.subarray(0, -1) : pem
  try {
    const [leaf, ca, root, ...more] = parsePem(fromUtf8(text), 'CERTIFICATE', 3)
    if (!leaf || !ca || !root || more.length > 0)
      throw refuse('dcap/certificates', 'certification data does not hold PCK certificate, authority and root')
    return [leaf, ca, root]
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('dcap/')) throw error
    throw refuse('dcap/certificates', `certification data is no chain of certificates: ${error.message}`, error)
  }
}
