import type { DcapCode } from '#attest/dcap/codes.js'
import { componentCount, type Tee } from '#attest/dcap/layout.js'
import { fromHex, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import {
  integer,
  list,
  literal,
  object,
  oneOf,
  optional,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { Certificate } from '#core/x509/certificate.js'

function refuse(code: DcapCode, message: string, cause?: unknown): Failure<DcapCode> {
  return new Failure<DcapCode>(code, message, { cause })
}

/** An object of which these members are read. Intel adds members without a new version; all of them are signed. */
function reading<const M extends { readonly [name: string]: Shape<unknown> }>(members: M) {
  const strict = object(members)
  const names = Object.keys(members)
  return (value: Json | undefined, path: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return strict(value, path)
    const given = value as { readonly [name: string]: Json }
    const picked: Record<string, Json> = {}
    for (const name of names) if (Object.hasOwn(given, name)) picked[name] = given[name]!
    return strict(picked, path)
  }
}

/** Bytes in hex of either case: Intel's files differ. Kept in lower case. */
function hexOf(size: number): Shape<string> {
  const text = string({ form: new RegExp(`^[0-9a-fA-F]{${size * 2}}$`) })
  return (value, path) => text(value, path).toLowerCase()
}

const timeText = string({ form: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/ })
const time: Shape<UnixSeconds> = (value, path) => {
  const text = timeText(value, path)
  const at = Date.parse(text) / 1000
  if (!Number.isInteger(at) || formatTime(at) !== text)
    throw refuse('dcap/collateral-form', `${path} is no time: ${text}`)
  return at
}

const svn = integer({ max: 255 })
const isvSvn = integer({ max: 65_535 })
const anyComponents = list(reading({ svn }), { min: componentCount, max: componentCount })
/** TCB info holds some hundreds of them: good ones are read without building a path for a message that nobody needs. */
const components: typeof anyComponents = (value, path) => {
  if (!Array.isArray(value) || value.length !== componentCount) return anyComponents(value, path)
  const svns = value.map((one: Json) => (one as { readonly svn?: Json } | null)?.svn)
  const good = svns.every((one) => typeof one === 'number' && Number.isInteger(one) && one >= 0 && one <= 255)
  return good ? svns.map((one) => ({ svn: one as number })) : anyComponents(value, path)
}
const advisoryIDs = optional(list(string({ max: 40 }), { max: 256 }))

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

const platformLevel = reading({
  tcb: reading({ sgxtcbcomponents: components, pcesvn: isvSvn, tdxtcbcomponents: optional(components) }),
  tcbDate: time,
  tcbStatus: oneOf(...platformStatuses),
  advisoryIDs,
})
type PlatformLevel = Shaped<typeof platformLevel>

const enclaveLevel = reading({
  tcb: reading({ isvsvn: isvSvn }),
  tcbDate: time,
  tcbStatus: oneOf(...enclaveStatuses),
  advisoryIDs,
})
export type EnclaveLevel = Shaped<typeof enclaveLevel>

const moduleMembers = { mrsigner: hexOf(48), attributes: hexOf(8), attributesMask: hexOf(8) }
const tdxModule = reading(moduleMembers)
const moduleIdentity = reading({
  id: string({ max: 40 }),
  ...moduleMembers,
  tcbLevels: list(enclaveLevel, { min: 1, max: 100 }),
})
export type TdxModuleIdentity = Shaped<typeof moduleIdentity>

const validity = { issueDate: time, nextUpdate: time, tcbEvaluationDataNumber: integer({ max: 0xffff_ffff }) }

/** source: Intel PCS API version 4, "Get TCB Info", "TCB Info V3" */
const tcbInfoShape = reading({
  id: oneOf('SGX', 'TDX'),
  version: literal(3),
  ...validity,
  fmspc: hexOf(6),
  pceId: hexOf(2),
  tcbType: literal(0),
  tdxModule: optional(tdxModule),
  tdxModuleIdentities: optional(list(moduleIdentity, { max: 100 })),
  tcbLevels: list(platformLevel, { min: 1, max: 200 }),
})
export type TcbInfo = Shaped<typeof tcbInfoShape>

/** source: Intel PCS API version 4, "Get Quoting Enclave Identity", "Enclave Identity V2" */
const qeIdentityShape = reading({
  id: oneOf('QE', 'TD_QE'),
  version: literal(2),
  ...validity,
  miscselect: hexOf(4),
  miscselectMask: hexOf(4),
  attributes: hexOf(16),
  attributesMask: hexOf(16),
  mrsigner: hexOf(32),
  isvprodid: isvSvn,
  tcbLevels: list(enclaveLevel, { min: 1, max: 100 }),
})
export type QeIdentity = Shaped<typeof qeIdentityShape>

interface Cut {
  /** the exact bytes of the JSON value: what is signed */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Cuts the signed value out of a response `{"<member>":{...},"signature":"..."}`. It is never written anew: a signature
 * is over these bytes, spaces and order included.
 */
function cut(response: Uint8Array, member: string): Cut {
  const text = fromUtf8(response)
  const head = new RegExp(`^\\s*\\{\\s*"${member}"\\s*:\\s*`).exec(text)
  const comma = text.lastIndexOf(',')
  const tail = /^,\s*"signature"\s*:\s*"([0-9a-fA-F]{128})"\s*\}\s*$/.exec(text.slice(comma))
  if (!head || !tail || comma < head[0].length)
    throw refuse('dcap/collateral-form', `response is not an object of ${member} and a signature`)
  // Invariant: the slice is parsed as one whole JSON value, so a second member cannot hide in it.
  const signed = utf8(text.slice(head[0].length, comma).trimEnd())
  return { signed, signature: fromHex(tail[1]!.toLowerCase()) }
}

/** The value of a response, whose signature is verified before anything of it is read. */
async function verifySigned<T>(
  what: string,
  member: string,
  response: Uint8Array,
  shape: Shape<T>,
  signer: Certificate,
): Promise<T> {
  try {
    const { signed, signature } = cut(response, member)
    await verifySpkiSignature('ES256', signer.spki, signed, signature, what)
    return shape(parseJson(signed), member)
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

/** Highest first: Intel's library does not trust the order in the file. */
function sortLevels(levels: readonly PlatformLevel[]): readonly PlatformLevel[] {
  const svns = (components: readonly { readonly svn: number }[] | undefined) => (components ?? []).map(({ svn }) => svn)
  const keyed = levels.map((level) => {
    const { sgxtcbcomponents, pcesvn, tdxtcbcomponents } = level.tcb
    return { level, key: [...svns(sgxtcbcomponents), pcesvn, ...svns(tdxtcbcomponents)] }
  })
  keyed.sort(({ key: left }, { key: right }) => {
    const at = left.findIndex((svn, i) => svn !== right[i])
    return at === -1 ? 0 : (right[at] ?? 0) - left[at]!
  })
  return keyed.map(({ level }) => level)
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
  const info = await verifySigned('TCB info', 'tcbInfo', response, tcbInfoShape, signer)
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
  const identity = await verifySigned('QE identity', 'enclaveIdentity', response, qeIdentityShape, signer)
  verifyCurrent('QE identity', identity, at)
  const wanted = tee === 'tdx' ? 'TD_QE' : 'QE'
  if (identity.id !== wanted)
    throw refuse('dcap/collateral-kind', `QE identity is of ${identity.id}, expected ${wanted}`)
  return identity
}
