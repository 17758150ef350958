import type { DcapCode } from '#attest/dcap/codes.js'
import { componentCount, type Tee } from '#attest/dcap/layout.js'
import { fromHex, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import type { Read, ReadBy } from '#core/encoding/json-bytes.js'
import { column, items, members, readJson } from '#core/encoding/json-read.js'
import { oneOf, text, time, whole } from '#core/encoding/json-scalars.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { Certificate } from '#core/x509/certificate.js'

function refuse(code: DcapCode, message: string, cause?: unknown): Failure<DcapCode> {
  return new Failure<DcapCode>(code, message, { cause })
}

/** Bytes in hex of either case: Intel's files differ. Kept in lower case, and the text of the document with it. */
function hexOf(size: number): Read<string> {
  const form = new RegExp(`^[0-9a-fA-F]{${size * 2}}$`)
  const make = (found: string) => (form.test(found) ? found.toLowerCase() : undefined)
  return text(2 * size, make, `${size} bytes in hex`)
}

const isvSvn = whole(65_535)
/** The security version of each component, by its place in the list. */
const components = column('svn', 255, componentCount)
const advisoryIDs = items(text(40), { max: 256 })

const platformStatuses = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const
export type PlatformStatus = (typeof platformStatuses)[number]
/** Statuses of TDX modules and quoting enclaves. */
const enclaveStatuses = ['UpToDate', 'OutOfDate', 'Revoked'] as const
export type EnclaveStatus = (typeof enclaveStatuses)[number]

const platformLevel = members(
  {
    tcb: members({ sgxtcbcomponents: components, pcesvn: isvSvn }, { tdxtcbcomponents: components }),
    tcbDate: time,
    tcbStatus: oneOf(...platformStatuses),
  },
  { advisoryIDs },
)
type PlatformLevel = ReadBy<typeof platformLevel>

const enclaveLevel = members(
  { tcb: members({ isvsvn: isvSvn }), tcbDate: time, tcbStatus: oneOf(...enclaveStatuses) },
  { advisoryIDs },
)
export type EnclaveLevel = ReadBy<typeof enclaveLevel>

const moduleMembers = { mrsigner: hexOf(48), attributes: hexOf(8), attributesMask: hexOf(8) }
const moduleIdentity = members({
  id: text(40),
  ...moduleMembers,
  tcbLevels: items(enclaveLevel, { min: 1, max: 100 }),
})
export type TdxModuleIdentity = ReadBy<typeof moduleIdentity>

const validity = { issueDate: time, nextUpdate: time }
const edition = { tcbEvaluationDataNumber: whole(0xffff_ffff) }
const only = <const V extends number>(value: V): Read<V> => whole(value, value) as Read<V>

/** source: Intel PCS API version 4, "Get TCB Info", "TCB Info V3" */
const tcbInfoShape = members(
  {
    id: oneOf('SGX', 'TDX'),
    version: only(3),
    ...validity,
    fmspc: hexOf(6),
    pceId: hexOf(2),
    tcbType: only(0),
    ...edition,
    tcbLevels: items(platformLevel, { min: 1, max: 200 }),
  },
  { tdxModule: members(moduleMembers), tdxModuleIdentities: items(moduleIdentity, { max: 100 }) },
)
export type TcbInfo = ReadBy<typeof tcbInfoShape>

/** source: Intel PCS API version 4, "Get Quoting Enclave Identity", "Enclave Identity V2" */
const qeIdentityShape = members({
  id: oneOf('QE', 'TD_QE'),
  version: only(2),
  ...validity,
  ...edition,
  miscselect: hexOf(4),
  miscselectMask: hexOf(4),
  attributes: hexOf(16),
  attributesMask: hexOf(16),
  mrsigner: hexOf(32),
  isvprodid: isvSvn,
  tcbLevels: items(enclaveLevel, { min: 1, max: 100 }),
})
export type QeIdentity = ReadBy<typeof qeIdentityShape>

interface Cut {
  /** the exact bytes of the JSON value: what is signed */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** What stands around the signed value of a response, which is an object; as it is written, and as it may be written. */
interface Frame {
  readonly head: Uint8Array
  readonly headForm: RegExp
}
const frameOf = (member: string): Frame => ({
  head: utf8(`{"${member}":`),
  headForm: new RegExp(`^\\s*\\{\\s*"${member}"\\s*:\\s*$`),
})
const tcbInfoFrame = frameOf('tcbInfo')
const qeIdentityFrame = frameOf('enclaveIdentity')
const tail = utf8(',"signature":"')
const tailForm = /^,\s*"signature"\s*:\s*"([0-9a-fA-F]{128})"\s*\}\s*$/
const [opened, comma, quote, closed] = [0x7b, 0x2c, 0x22, 0x7d]
const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
const stands = (wanted: Uint8Array, bytes: Uint8Array, at: number) => wanted.every((byte, i) => bytes[at + i] === byte)

/**
 * Cuts the signed value out of a response `{"<member>":{...},"signature":"..."}`. It is never written anew: a signature
 * is over these bytes, spaces and order included.
 */
function cut(response: Uint8Array, frame: Frame): Cut {
  return cutPlain(response, frame) ?? cutSpaced(response, frame)
}

/** The response without spaces around the value and the signature; undefined for any other. */
function cutPlain(response: Uint8Array, { head }: Frame): Cut | undefined {
  const to = response.length - 2
  const end = to - 128 - tail.length
  if (end < head.length || response[to] !== quote || response[to + 1] !== closed) return undefined
  if (response[head.length] !== opened || response[end - 1] !== closed) return undefined
  if (!stands(head, response, 0) || !stands(tail, response, end)) return undefined
  const signature = bytesOfHex(response.subarray(end + tail.length, to))
  return signature && { signed: response.subarray(head.length, end), signature }
}

/** What characters of hex, of either case, spell. */
function bytesOfHex(characters: Uint8Array): Uint8Array | undefined {
  const out = new Uint8Array(characters.length / 2)
  let wrong = 0
  for (let i = 0; i < out.length; i++) {
    const byte = (hexDigit(characters[2 * i]!) << 4) | hexDigit(characters[2 * i + 1]!)
    wrong |= byte // a negative number stays one
    out[i] = byte
  }
  return wrong < 0 ? undefined : out
}

function hexDigit(code: number): number {
  const lower = code | 0x20
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function cutSpaced(response: Uint8Array, { headForm }: Frame): Cut {
  const from = response.indexOf(opened, response.indexOf(opened) + 1)
  const last = response.lastIndexOf(comma)
  const found = last > from && from >= 0 ? tailForm.exec(fromUtf8(response.subarray(last))) : null
  if (!found || !headForm.test(fromUtf8(response.subarray(0, from))))
    throw refuse('dcap/collateral-form', 'response is not an object of a value and its signature')
  let end = last
  while (isSpace(response[end - 1])) end--
  // Invariant: the slice is read as one whole JSON value, so a second member cannot hide in it.
  return { signed: response.subarray(from, end), signature: fromHex(found[1]!.toLowerCase()) }
}

/** The value of a response, whose signature is verified before anything of it is read. */
async function verifySigned<T>(
  what: string,
  frame: Frame,
  response: Uint8Array,
  read: Read<T>,
  signer: Certificate,
): Promise<T> {
  try {
    const { signed, signature } = cut(response, frame)
    await verifySpkiSignature('ES256', signer.spki, signed, signature, what)
    return readJson(signed, read)
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('dcap/')) throw error
    if (error.code === 'crypto/signature')
      throw refuse('dcap/collateral-signature', `${what} was not signed by the TCB signing key`, error)
    throw refuse('dcap/collateral-form', `${what}: ${error.message}`, error)
  }
}

function verifyCurrent(
  what: string,
  value: { issueDate: UnixSeconds; nextUpdate: UnixSeconds },
  at: UnixSeconds,
): void {
  if (at < value.issueDate)
    throw refuse(
      'dcap/collateral-not-yet-valid',
      `${what} is from ${formatTime(value.issueDate)}, verified at ${formatTime(at)}`,
    )
  if (at > value.nextUpdate)
    throw refuse(
      'dcap/collateral-expired',
      `${what} was due again at ${formatTime(value.nextUpdate)}, verified at ${formatTime(at)}`,
    )
}

/** Highest first: Intel's library does not trust the order in the file. Most often it is this one. */
function sortLevels(levels: readonly PlatformLevel[]): readonly PlatformLevel[] {
  const isSorted = levels.every((level, i) => i === 0 || compareLevels(levels[i - 1]!, level) <= 0)
  return isSorted ? levels : levels.toSorted(compareLevels)
}

function compareLevels({ tcb: a }: PlatformLevel, { tcb: b }: PlatformLevel): number {
  return (
    higher(a.sgxtcbcomponents, b.sgxtcbcomponents) ||
    b.pcesvn - a.pcesvn ||
    higher(a.tdxtcbcomponents ?? [], b.tdxtcbcomponents ?? [])
  )
}

/** Below zero where `a` is the higher one: by the first component that differs. */
function higher(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (b[i] ?? 0) - a[i]!
  return 0
}

/**
 * The TCB info that Intel signed for a TEE, current at `at`, with its levels highest first.
 *
 * trusts  that the caller has verified `signer`'s chain and that it is not revoked
 * throws  dcap/collateral-form, dcap/collateral-signature, dcap/collateral-not-yet-valid, dcap/collateral-expired,
 *         dcap/collateral-kind
 */
export async function verifyTcbInfo(
  response: Uint8Array,
  tee: Tee,
  signer: Certificate,
  at: UnixSeconds,
): Promise<TcbInfo> {
  const info = await verifySigned('TCB info', tcbInfoFrame, response, tcbInfoShape, signer)
  verifyCurrent('TCB info', info, at)
  const wanted = tee === 'tdx' ? 'TDX' : 'SGX'
  if (info.id !== wanted) throw refuse('dcap/collateral-kind', `TCB info is for ${info.id}, the quote is of ${wanted}`)
  if (tee === 'tdx' && info.tcbLevels.some((level) => level.tcb.tdxtcbcomponents === undefined))
    throw refuse('dcap/collateral-form', 'TCB info for TDX has a level without TDX components')
  return { ...info, tcbLevels: sortLevels(info.tcbLevels) }
}

/** The identity of the quoting enclave of a TEE, as verifyTcbInfo. */
export async function verifyQeIdentity(
  response: Uint8Array,
  tee: Tee,
  signer: Certificate,
  at: UnixSeconds,
): Promise<QeIdentity> {
  const identity = await verifySigned('QE identity', qeIdentityFrame, response, qeIdentityShape, signer)
  verifyCurrent('QE identity', identity, at)
  const wanted = tee === 'tdx' ? 'TD_QE' : 'QE'
  if (identity.id !== wanted)
    throw refuse('dcap/collateral-kind', `QE identity is of ${identity.id}, expected ${wanted}`)
  return identity
}
