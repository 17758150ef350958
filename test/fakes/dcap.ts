import {
  bodySizes,
  bodyTypes,
  certificationType,
  componentOids,
  pckOid,
  qeVendorId,
  sgxField,
  sgxReportSize,
  teeTypes,
} from '#attest/dcap/layout.js'
import { field } from '#attest/tdx/layout.js'
import { concat, fromBase64, fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { sha256 } from '#core/crypto/hash.js'
import { derTag } from '#core/encoding/der.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { SgxEvidence, TdxEvidence } from '#core/wire/evidence.js'
import { algorithmIdentifier } from '#core/x509/algorithms.js'
import { backend } from '#crypto-backend'
import {
  basicConstraints,
  keyUsage,
  type MintCertificate,
  type MintCrl,
  type MintExtension,
  type MintKey,
  name,
} from '#runtime/attester/simulated/certificate.js'
import { bitString, boolean, der, integer, octets, oid, sequence, time } from '#runtime/attester/simulated/der.js'
import keys from './dcap-keys.json' with { type: 'json' }
import { testTime } from './platform.js'

const read = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})
/** Keys of a throwaway vendor on P-256; `other` is that of one whom nobody names. NOT HARDWARE. */
export const dcapKeys = {
  root: read(keys.root),
  ca: read(keys.ca),
  pck: read(keys.pck),
  signer: read(keys.signer),
  attestation: read(keys.attestation),
  other: read(keys.other),
}
export const dcapRootDigest = toHex(sha256(dcapKeys.root.spki))
export const dcapReportData = new Uint8Array(64).fill(7)
export const dcapSerials = { root: 1, ca: 2, pck: 3, signer: 4 }

type Change = (bytes: Uint8Array) => Uint8Array
type Document = Record<string, unknown>

/** One thing to break, or to do differently. Everything else stays as it is on a good machine. */
export interface DcapBreakage {
  readonly tee?: 'tdx' | 'sgx'
  readonly version?: 3 | 4 | 5
  readonly body?: keyof typeof bodySizes
  /** changes header and body before they are signed */
  readonly beforeSigning?: (signed: Uint8Array) => void
  /** changes the body alone before it is signed */
  readonly report?: (body: Uint8Array) => void
  /** changes the whole quote */
  readonly quoteBytes?: Change
  readonly qeReport?: (report: Uint8Array) => void
  readonly qeSigner?: MintKey
  readonly quoteSigner?: MintKey
  readonly auth?: Uint8Array
  readonly chainType?: number
  readonly wrapperType?: number
  readonly chainBytes?: Change
  readonly pck?: Partial<MintCertificate>
  readonly ca?: Partial<MintCertificate>
  readonly root?: Partial<MintCertificate>
  readonly signer?: Partial<MintCertificate>
  readonly pckExtension?: MintExtension
  readonly tcbInfo?: (info: Document) => void
  readonly qeIdentity?: (identity: Document) => void
  readonly tcbInfoBytes?: Change
  /** change what is signed, as text */
  readonly tcbInfoText?: (text: string) => string
  readonly qeIdentityText?: (text: string) => string
  readonly pckBytes?: Change
  readonly signerBytes?: Change
  readonly pckCrlBytes?: Change
  readonly rootCrlBytes?: Change
  readonly documentSigner?: MintKey
  readonly pckCrl?: Partial<MintCrl>
  readonly rootCrl?: Partial<MintCrl>
  readonly eventLog?: Uint8Array
}

const day = 86_400
const dates = { notBefore: testTime - 100 * day, notAfter: testTime + 1000 * day }

// Signatures are random: what is signed twice by one key is signed once, so that it is the same bytes.
const signatures = new Map<string, Promise<Uint8Array>>()
export function sign(message: Uint8Array, signer: MintKey): Promise<Uint8Array> {
  const key = `${toHex(sha256(signer.spki))}${toHex(sha256(message))}`
  const known =
    signatures.get(key) ?? backend.importPrivateKey('ES256', signer.pkcs8).then((one) => backend.sign(one, message))
  signatures.set(key, known)
  return known
}

async function signedDer(tbs: Uint8Array, signer: MintKey): Promise<Uint8Array> {
  return sequence(tbs, algorithmIdentifier('ES256'), bitString(ecdsaRawToDer(await sign(tbs, signer))))
}
const extension = (one: MintExtension) =>
  sequence(oid(one.oid), ...(one.critical ? [boolean(true)] : []), octets(one.value))

async function certificate(fields: MintCertificate, signer: MintKey): Promise<Uint8Array> {
  const tbs = sequence(
    der(0xa0, integer(2)),
    integer(fields.serial),
    algorithmIdentifier('ES256'),
    name(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    name(fields.subject),
    fields.spki,
    der(0xa3, sequence(...fields.extensions.map(extension))),
  )
  return signedDer(tbs, signer)
}

async function crl(fields: MintCrl, signer: MintKey): Promise<Uint8Array> {
  const entries = fields.revoked.map((serial) => sequence(integer(serial), time(fields.thisUpdate)))
  const tbs = sequence(
    integer(1),
    algorithmIdentifier('ES256'),
    name(fields.issuer),
    time(fields.thisUpdate),
    ...(fields.nextUpdate === null ? [] : [time(fields.nextUpdate)]),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
  )
  return signedDer(tbs, signer)
}

/** Intel's extension, with a machine whose every component stands at 5. */
export function pckExtension(change: Partial<Record<'fmspc' | 'pceId' | 'ppid', Uint8Array>> = {}): MintExtension {
  const pair = (id: string, value: Uint8Array) => sequence(oid(id), value)
  const components = componentOids.map((oid) => pair(oid, integer(5)))
  const tcb = sequence(
    ...components,
    pair(pckOid.pceSvn, integer(13)),
    pair(pckOid.cpuSvn, octets(new Uint8Array(16).fill(5))),
  )
  const value = sequence(
    pair(pckOid.ppid, octets(change.ppid ?? new Uint8Array(16).fill(0x5a))),
    pair(pckOid.tcb, tcb),
    pair(pckOid.pceId, octets(change.pceId ?? new Uint8Array(2))),
    pair(pckOid.fmspc, octets(change.fmspc ?? fromHex('90c06f000000'))),
    pair(`${pckOid.extension}.5`, der(0x0a, new Uint8Array([1]))),
  )
  return { oid: pckOid.extension, critical: false, value }
}

const names = {
  root: 'Intel SGX Root CA',
  ca: 'Intel SGX PCK Platform CA',
  pck: 'Intel SGX PCK Certificate',
  signer: 'Intel SGX TCB Signing',
}
const leafUsage: MintExtension = {
  oid: '2.5.29.15',
  critical: true,
  value: der(derTag.bitString, new Uint8Array([6, 0xc0])),
}

const changed = (bytes: Uint8Array, change: Change = (same) => same) => change(bytes)

async function mintChain(broken: DcapBreakage) {
  const common = { ...dates, issuer: names.root }
  const root = { ...common, serial: dcapSerials.root, subject: names.root, spki: dcapKeys.root.spki }
  const ca = { ...common, serial: dcapSerials.ca, subject: names.ca, spki: dcapKeys.ca.spki }
  const signer = { ...common, serial: dcapSerials.signer, subject: names.signer, spki: dcapKeys.signer.spki }
  const pck = { ...dates, serial: dcapSerials.pck, issuer: names.ca, subject: names.pck, spki: dcapKeys.pck.spki }
  const leaf = [leafUsage, broken.pckExtension ?? pckExtension()]
  return {
    root: await certificate(
      { ...root, extensions: [keyUsage(true), basicConstraints(1)], ...broken.root },
      dcapKeys.root,
    ),
    ca: await certificate({ ...ca, extensions: [keyUsage(true), basicConstraints(0)], ...broken.ca }, dcapKeys.root),
    signer: changed(
      await certificate({ ...signer, extensions: [leafUsage], ...broken.signer }, dcapKeys.root),
      broken.signerBytes,
    ),
    pck: changed(await certificate({ ...pck, extensions: leaf, ...broken.pck }, dcapKeys.ca), broken.pckBytes),
  }
}

/** A level of TCB info that asks `svn` of every component. */
export function level(svn: number, tcbStatus: string, advisoryIDs: readonly string[] = [], tdx = true): Document {
  const components = Array.from({ length: 16 }, () => ({ svn }))
  // As in Intel's files the second TDX component is the version of the module.
  const tdxtcbcomponents = components.map((one, i) => (i === 1 ? { svn: 1 } : one))
  return {
    tcb: { sgxtcbcomponents: components, pcesvn: 13, ...(tdx ? { tdxtcbcomponents } : {}) },
    tcbDate: formatTime(testTime - 50 * day),
    tcbStatus,
    ...(advisoryIDs.length > 0 ? { advisoryIDs } : {}),
  }
}
export const isvLevel = (isvsvn: number, tcbStatus: string, advisoryIDs: readonly string[] = []): Document => ({
  tcb: { isvsvn },
  tcbDate: formatTime(testTime - 50 * day),
  tcbStatus,
  advisoryIDs,
})

const validity = {
  issueDate: formatTime(testTime - day),
  nextUpdate: formatTime(testTime + 30 * day),
  tcbEvaluationDataNumber: 18,
}
const module = { mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'FF'.repeat(8) }

function goodTcbInfo(tee: 'tdx' | 'sgx'): Document {
  const tdx = tee === 'tdx'
  return {
    id: tdx ? 'TDX' : 'SGX',
    version: 3,
    ...validity,
    fmspc: '90C06F000000',
    pceId: '0000',
    tcbType: 0,
    ...(tdx
      ? {
          tdxModule: module,
          tdxModuleIdentities: [
            {
              id: 'TDX_01',
              ...module,
              tcbLevels: [isvLevel(5, 'UpToDate'), isvLevel(3, 'OutOfDate', ['INTEL-SA-01099'])],
            },
          ],
        }
      : {}),
    tcbLevels: [level(5, 'UpToDate', [], tdx), level(3, 'OutOfDate', ['INTEL-SA-00960'], tdx)],
  }
}

function goodQeIdentity(tee: 'tdx' | 'sgx'): Document {
  return {
    id: tee === 'tdx' ? 'TD_QE' : 'QE',
    version: 2,
    ...validity,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: '11000000000000000000000000000000',
    attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
    mrsigner: 'DC'.repeat(32),
    isvprodid: tee === 'tdx' ? 2 : 1,
    tcbLevels: [isvLevel(4, 'UpToDate'), isvLevel(2, 'OutOfDate', ['INTEL-SA-00289'])],
  }
}

async function signedDocument(
  member: string,
  value: Document,
  signer: MintKey,
  change: (text: string) => string = (text) => text,
): Promise<Uint8Array> {
  const text = change(JSON.stringify(value))
  const signature = toHex(await sign(utf8(text), signer))
  return utf8(`{"${member}":${text},"signature":"${signature}"}`)
}

function goodBody(kind: keyof typeof bodySizes): Uint8Array {
  const body = new Uint8Array(bodySizes[kind])
  if (kind === 'sgx') {
    body.set(fromHex('0500000000000000e700000000000000'), sgxField.attributes[0])
    body.fill(0xab, sgxField.mrEnclave[0], sgxField.mrEnclave[0] + 32)
    body.fill(0xcd, sgxField.mrSigner[0], sgxField.mrSigner[0] + 32)
    body.set([1, 0, 5, 0], sgxField.isvProdId[0])
    body.set(dcapReportData, sgxField.reportData[0])
    return body
  }
  const svn = new Uint8Array(16).fill(5)
  svn[1] = 1
  body.set(svn, field.teeTcbSvn[0])
  body.fill(0x5e, field.mrSeam[0], field.mrSeam[0] + 48)
  body.set(fromHex('0000001000000000'), field.tdAttributes[0])
  body.set(fromHex('e718060000000000'), field.xfam[0])
  body.fill(0xab, field.mrTd[0], field.mrTd[0] + 48)
  body.set(dcapReportData, field.reportData[0])
  if (kind === 'tdx-1.5') body.set(svn, field.teeTcbSvn2[0])
  return body
}

function goodQeReport(tee: 'tdx' | 'sgx', reportData: Uint8Array): Uint8Array {
  const report = new Uint8Array(sgxReportSize)
  report.set(fromHex('1500000000000000e700000000000000'), sgxField.attributes[0])
  report.fill(0xdc, sgxField.mrSigner[0], sgxField.mrSigner[0] + 32)
  report.set([tee === 'tdx' ? 2 : 1, 0, 4, 0], sgxField.isvProdId[0])
  report.set(reportData, sgxField.reportData[0])
  return report
}

async function mintQuote(broken: DcapBreakage, chain: readonly Uint8Array[]): Promise<Uint8Array> {
  const { tee = 'tdx', version = tee === 'tdx' ? 4 : 3, auth = new Uint8Array(32).fill(1) } = broken
  const kind = broken.body ?? (tee === 'sgx' ? 'sgx' : 'tdx-1.0')
  const header = new Writer().u16le(version).u16le(2).u32le(teeTypes[tee]).u32le(0)
  header.bytes(fromHex(qeVendorId)).bytes(new Uint8Array(20))
  if (version === 5) header.u16le([...bodyTypes].find(([, one]) => one === kind)![0]).u32le(bodySizes[kind])
  const body = goodBody(kind)
  broken.report?.(body)
  const signed = concat(header.done(), body)
  broken.beforeSigning?.(signed)
  const key = dcapKeys.attestation.spki.subarray(27)
  const qeReport = goodQeReport(tee, sha256(concat(key, auth)))
  broken.qeReport?.(qeReport)
  const pem = utf8(`${chain.map((one) => encodePem(one, 'CERTIFICATE')).join('')}\0`)
  const certificates = broken.chainBytes?.(pem) ?? pem
  const inner = new Writer()
    .bytes(qeReport)
    .bytes(await sign(qeReport, broken.qeSigner ?? dcapKeys.pck))
    .u16le(auth.length)
    .bytes(auth)
    .u16le(broken.chainType ?? certificationType.pckChain)
    .u32le(certificates.length)
    .bytes(certificates)
    .done()
  const data = new Writer().bytes(await sign(signed, broken.quoteSigner ?? dcapKeys.attestation)).bytes(key)
  if (version !== 3) data.u16le(broken.wrapperType ?? certificationType.qeReport).u32le(inner.length)
  const signature = data.bytes(inner).done()
  const quote = new Writer().bytes(signed).u32le(signature.length).bytes(signature).done()
  return broken.quoteBytes?.(quote) ?? quote
}

/** The parts of minted evidence as bytes, as files of a case hold them. */
export async function mintDcap(broken: DcapBreakage = {}) {
  const { tee = 'tdx' } = broken
  const chain = await mintChain(broken)
  const tcbInfo = goodTcbInfo(tee)
  broken.tcbInfo?.(tcbInfo)
  const qeIdentity = goodQeIdentity(tee)
  broken.qeIdentity?.(qeIdentity)
  const signer = broken.documentSigner ?? dcapKeys.signer
  const info = await signedDocument('tcbInfo', tcbInfo, signer, broken.tcbInfoText)
  const list = { thisUpdate: testTime - day, nextUpdate: testTime + 30 * day, revoked: [99] }
  return {
    tee,
    root: chain.root,
    signer: chain.signer,
    quote: await mintQuote(broken, [chain.pck, chain.ca, chain.root]),
    tcbInfo: broken.tcbInfoBytes?.(info) ?? info,
    qeIdentity: await signedDocument('enclaveIdentity', qeIdentity, signer, broken.qeIdentityText),
    pckCrl: changed(await crl({ issuer: names.ca, ...list, ...broken.pckCrl }, dcapKeys.ca), broken.pckCrlBytes),
    rootCrl: changed(await crl({ issuer: names.root, ...list, ...broken.rootCrl }, dcapKeys.root), broken.rootCrlBytes),
    eventLog: broken.eventLog ?? null,
  }
}

/** Evidence of a simulated machine with one thing broken. With no argument it is good. */
export async function mintDcapEvidence(broken: DcapBreakage = {}): Promise<TdxEvidence | SgxEvidence> {
  const parts = await mintDcap(broken)
  const quote = toBase64(parts.quote)
  const collateral = {
    tcbInfo: toBase64(parts.tcbInfo),
    tcbInfoSigner: toBase64(parts.signer),
    qeIdentity: toBase64(parts.qeIdentity),
    qeIdentitySigner: toBase64(parts.signer),
    pckCrl: toBase64(parts.pckCrl),
    rootCrl: toBase64(parts.rootCrl),
  }
  if (parts.tee === 'sgx') return { kind: 'sgx', quote, collateral }
  return { kind: 'tdx', quote, collateral, eventLog: parts.eventLog && toBase64(parts.eventLog) }
}
