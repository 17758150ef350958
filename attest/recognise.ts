import { headerSize, qeVendorId, teeTypes } from '#attest/dcap/layout.js'
import { cutQuote } from '#attest/dcap/quote.js'
import { reportSize } from '#attest/snp/layout.js'
import { fromBase64, fromHex, fromUtf8, isZero, toHex, utf8 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** Failures of telling what evidence a file holds. */
export type RecogniseCode = 'evidence/unrecognised' | 'evidence/size'

/** Forms in which evidence reaches people: our envelope, and what devices and other tools give out. */
export type Form =
  | 'envelope'
  | 'kbs-attestation'
  | 'snp-report'
  | 'snp-response'
  | 'tdx-quote'
  | 'sgx-quote'
  | 'nitro-document'
  | 'azure-hcl-report'
  | 'gpu-report'
  | 'cca-token'

export interface Recognised {
  readonly form: Form
  readonly title: string
  /** the evidence itself: without what stood before or behind it in the file */
  readonly bytes: Uint8Array
  /** what was cut away or decoded to get there, for a reader; often nothing */
  readonly notes: readonly string[]
}

interface Recogniser {
  readonly title: string
  /** the evidence, or null when the bytes are of another form; throws nothing */
  cut(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly note?: string } | null
}

const evidenceSizeMax = 16 * MiB
/** A reply of the guest device: status, size, 24 reserved bytes. source: AMD 56860, "MSG_REPORT_RSP" */
const responseHeaderSize = 32

const u16 = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8)
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0
const begins = (bytes: Uint8Array, ...hex: readonly string[]) =>
  hex.some((one) => toHex(bytes.subarray(0, one.length / 2)) === one)

function whole(bytes: Uint8Array, yes: boolean): { readonly bytes: Uint8Array } | null {
  return yes ? { bytes } : null
}

/** Every version of the report begins with a small number; a quote has its key type in these bytes. */
const isReport = (bytes: Uint8Array) => bytes.length === reportSize && bytes[2] === 0 && bytes[3] === 0

function cutResponse(bytes: Uint8Array) {
  const end = responseHeaderSize + reportSize
  if (bytes.length < end || u32(bytes, 0) !== 0 || u32(bytes, 4) !== reportSize) return null
  if (!isZero(bytes.subarray(8, responseHeaderSize)) || !isZero(bytes.subarray(end))) return null
  return {
    bytes: bytes.subarray(responseHeaderSize, end),
    note: 'the reply of the guest device around it was cut away',
  }
}

/** By the vendor of the quoting enclave, which every quote carries: wrong versions and types are the verifier's to name. */
function cutDcap(bytes: Uint8Array, tdx: boolean) {
  if (bytes.length < headerSize || toHex(bytes.subarray(12, 28)) !== qeVendorId) return null
  if ((u32(bytes, 4) === teeTypes.tdx) !== tdx) return null
  const cut = tryCut(bytes)
  const left = bytes.length - cut.length
  return left === 0
    ? { bytes }
    : { bytes: cut, note: `${left} bytes behind the quote were cut away: nobody signed them` }
}

function tryCut(bytes: Uint8Array): Uint8Array {
  try {
    return cutQuote(bytes)
  } catch (error) {
    if (!isFailure(error)) throw error
    return bytes // the verifier says what is wrong with it
  }
}

const firstOf = (bytes: Uint8Array) => bytes[bytes.findIndex((byte) => byte > 0x20)]
const isObject = (bytes: Uint8Array) => firstOf(bytes) === 0x7b
const kbsMember = utf8('"tee-evidence"')
const isKbs = (bytes: Uint8Array) => isObject(bytes) && indexOf(bytes, kbsMember) >= 0

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  const last = bytes.length - part.length
  for (let at = bytes.indexOf(part[0]!); at >= 0 && at <= last; at = bytes.indexOf(part[0]!, at + 1))
    if (part.every((byte, i) => bytes[at + i] === byte)) return at
  return -1
}

/** The value of a JSON text, or why it is none: cut off, a name twice, too deep. */
function attemptJson(bytes: Uint8Array): Json | Failure {
  try {
    return parseJson(bytes, evidenceSizeMax)
  } catch (error) {
    if (!isFailure(error)) throw error
    return error
  }
}

/** The envelope says its kind; whether that kind is known, and the rest good, its shape says. */
function isEnvelope(bytes: Uint8Array): boolean {
  if (!isObject(bytes) || isKbs(bytes)) return false
  const read = attemptJson(bytes)
  return !isFailure(read) && typeof (read as { readonly kind?: unknown }).kind === 'string'
}

/** The closed table of forms. No bytes are of two of them: a property test sees to it. */
export const forms: Readonly<Record<Form, Recogniser>> = {
  envelope: { title: 'evidence envelope', cut: (bytes) => whole(bytes, isEnvelope(bytes)) },
  'kbs-attestation': { title: 'KBS attestation message', cut: (bytes) => whole(bytes, isKbs(bytes)) },
  'snp-report': { title: 'AMD SEV-SNP report', cut: (bytes) => whole(bytes, isReport(bytes)) },
  'snp-response': { title: 'AMD SEV-SNP report in a MSG_REPORT_RSP', cut: cutResponse },
  'tdx-quote': { title: 'Intel TDX quote', cut: (bytes) => cutDcap(bytes, true) },
  'sgx-quote': { title: 'Intel SGX quote', cut: (bytes) => cutDcap(bytes, false) },
  // COSE_Sign1, untagged or with tag 18, whose protected header is ES384 alone.
  'nitro-document': {
    title: 'AWS Nitro attestation document',
    cut: (bytes) => whole(bytes, begins(bytes, '8444a1013822', 'd28444a1013822')),
  },
  'azure-hcl-report': { title: 'Azure HCL report', cut: (bytes) => whole(bytes, begins(bytes, '48434c41')) },
  // SPDM 1.1 GET_MEASUREMENTS: signed, all blocks.
  'gpu-report': { title: 'NVIDIA device report', cut: (bytes) => whole(bytes, begins(bytes, '11e001ff')) },
  // Tag 399, or tag 907 around it.
  'cca-token': { title: 'Arm CCA token', cut: (bytes) => whole(bytes, begins(bytes, 'd9018f', 'd9038b')) },
}

/** Bytes that a text in hex or base64 spells, as tools print evidence; null for everything else. */
function decoded(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly note: string } | null {
  if (bytes.length < 200 || !bytes.every((byte) => byte < 0x80)) return null
  const text = fromUtf8(bytes).replace(/\s+/g, '')
  try {
    const hex = text.startsWith('0x') ? text.slice(2) : text
    if (!/[^0-9a-fA-F]/.test(hex)) return { bytes: fromHex(hex.toLowerCase()), note: 'decoded from hex' }
    if (!/[^A-Za-z0-9+/=]/.test(text)) return { bytes: fromBase64(text), note: 'decoded from base64' }
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  return null
}

/**
 * What evidence the bytes are, without judging it. Hex and base64 texts of evidence are decoded, once.
 *
 * throws  evidence/size, evidence/unrecognised
 */
export function recognise(bytes: Uint8Array): Recognised {
  if (bytes.length > evidenceSizeMax)
    throw new Failure<RecogniseCode>('evidence/size', `file has ${bytes.length} bytes, at most ${evidenceSizeMax}`)
  const text = decoded(bytes)
  const found = matching(bytes) ?? (text && matching(text.bytes, text.note))
  if (found) return found
  const unread = isObject(bytes) ? attemptJson(bytes) : null
  if (isFailure(unread))
    throw new Failure<RecogniseCode>(
      'evidence/unrecognised',
      `JSON that is refused: ${unread.message} (${unread.code})`,
      {
        cause: unread,
        detail: {
          hint: 'an envelope is one JSON object, whole, with no name twice: docs/spec/evidence.md; write it anew',
        },
      },
    )
  throw new Failure<RecogniseCode>('evidence/unrecognised', `${describeBytes(bytes)}: no evidence that is known here`, {
    detail: {
      hint: `known are: ${Object.values(forms)
        .map(({ title }) => title)
        .join(', ')}`,
    },
  })
}

function matching(bytes: Uint8Array, note?: string): Recognised | null {
  for (const [form, { title, cut }] of Object.entries(forms)) {
    const found = cut(bytes)
    if (found) {
      const notes = [note, found.note].filter((one) => one !== undefined)
      return { form: form as Form, title, bytes: found.bytes, notes }
    }
  }
  return null
}

/** A JSON member of this name, somewhere near the beginning: Intel's documents begin with it. */
const names = (bytes: Uint8Array, member: string) => indexOf(bytes.subarray(0, 64), utf8(`"${member}"`)) >= 0

/** What the likeliest mistakes are, in words. */
function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty'
  if (begins(bytes, '2d2d2d2d2d424547494e')) return 'PEM text of certificates or keys'
  if (isObject(bytes)) {
    if (names(bytes, 'tcbInfo')) return 'TCB info of Intel, which comes beside a quote'
    if (names(bytes, 'enclaveIdentity')) return 'the identity of a quoting enclave, which comes beside a quote'
    return 'a JSON object without a kind'
  }
  // A SEQUENCE with a length of one to three bytes.
  if (begins(bytes, '3081', '3082', '3083')) return 'DER of a certificate, a list or a key, which comes beside evidence'
  if (firstOf(bytes) === 0x3c) return 'XML, as a RIM of a device, which comes beside its report'
  return `${bytes.length} bytes that begin with ${toHex(bytes.subarray(0, 8))}`
}
