import { headerSize, type SgxField, sgxField, sgxFlag, sgxReportSize } from '#attest/dcap/layout.js'
import {
  bits,
  type ExplainedField,
  type ExplainedPart,
  field,
  fieldsOf,
  number,
  type Row,
} from '#attest/explain/part.js'
import { attributeBit, type Field, field as tdField } from '#attest/tdx/layout.js'
import { toHex } from '#core/bytes/bytes.js'
import { Reader } from '#core/bytes/reader.js'
import { isFailure } from '#core/failure.js'

const library = 'Intel TDX DCAP Quoting Library API, revision 0.91, appendix A'
const sdm = "Intel 64 and IA-32 Software Developer's Manual, volume 3D"

const teeType = (bytes: Uint8Array) => {
  const value = Number(number(bytes))
  return `0x${value.toString(16)} (${{ 0: 'SGX', 129: 'TDX' }[value] ?? 'unknown'})`
}

const header: readonly Row[] = [
  ['Version', 0, 2, number],
  ['Attestation Key Type', 2, 2, number],
  ['TEE Type', 4, 4, teeType],
  ['Reserved (version 3: QE SVN, PCE SVN)', 8, 4],
  ['QE Vendor ID', 12, 16],
  ['User Data', 28, 20],
]

const tdBits = {
  DEBUG: attributeBit.debug,
  SEPT_VE_DISABLE: attributeBit.septVeDisable,
  MIGRATABLE: attributeBit.migratable,
  PKS: attributeBit.protectionKeys,
  KL: attributeBit.keyLocker,
  PERFMON: attributeBit.perfmon,
}

type Shown = readonly [name: string, show?: (bytes: Uint8Array) => string]

const tdNames: Readonly<Record<Field, Shown>> = {
  teeTcbSvn: ['TEE_TCB_SVN'],
  mrSeam: ['MRSEAM'],
  mrSignerSeam: ['MRSIGNERSEAM'],
  seamAttributes: ['SEAMATTRIBUTES'],
  tdAttributes: ['TDATTRIBUTES', bits(tdBits)],
  xfam: ['XFAM'],
  mrTd: ['MRTD'],
  mrConfigId: ['MRCONFIGID'],
  mrOwner: ['MROWNER'],
  mrOwnerConfig: ['MROWNERCONFIG'],
  rtmr0: ['RTMR0'],
  rtmr1: ['RTMR1'],
  rtmr2: ['RTMR2'],
  rtmr3: ['RTMR3'],
  reportData: ['REPORTDATA'],
  teeTcbSvn2: ['TEE_TCB_SVN_2'],
  mrServiceTd: ['MRSERVICETD'],
}
/** Fields of a TD report in version 1.5 only. */
const newer: readonly string[] = ['teeTcbSvn2', 'mrServiceTd']
const tdRows = (all: boolean): readonly Row[] =>
  Object.entries(tdNames)
    .filter(([key]) => all || !newer.includes(key))
    .map(([key, [name, show]]) => [name, ...tdField[key as Field], show])

const sgxFlags = {
  INIT: sgxFlag.init,
  DEBUG: sgxFlag.debug,
  MODE64BIT: sgxFlag.mode64Bit,
  PROVISIONKEY: sgxFlag.provisionKey,
  EINITTOKENKEY: sgxFlag.einitTokenKey,
  KSS: sgxFlag.kss,
}
const attributes = (bytes: Uint8Array) => `${bits(sgxFlags)(bytes.subarray(0, 8))}, XFRM ${toHex(bytes.subarray(8))}`

const sgxNames: Readonly<Record<SgxField, Shown>> = {
  cpuSvn: ['CPUSVN'],
  miscSelect: ['MISCSELECT'],
  isvExtProdId: ['ISVEXTPRODID'],
  attributes: ['ATTRIBUTES', attributes],
  mrEnclave: ['MRENCLAVE'],
  mrSigner: ['MRSIGNER'],
  configId: ['CONFIGID'],
  isvProdId: ['ISVPRODID', number],
  isvSvn: ['ISVSVN', number],
  configSvn: ['CONFIGSVN', number],
  isvFamilyId: ['ISVFAMILYID'],
  reportData: ['REPORTDATA'],
}
/** Bytes that the specification reserves. */
const sgxReserved: readonly Row[] = [
  ['Reserved', 20, 12],
  ['Reserved', 96, 32],
  ['Reserved', 160, 32],
  ['Reserved', 262, 42],
]
const sgxRows: readonly Row[] = [
  ...Object.entries(sgxNames).map(([key, [name, show]]): Row => [name, ...sgxField[key as SgxField], show]),
  ...sgxReserved,
].sort((a, b) => a[1] - b[1])

function report(title: string, bytes: Uint8Array): ExplainedPart {
  return { title, document: sdm, fields: fieldsOf(bytes, sgxRows) }
}

/** What the quote carries of its chain, for whoever explains certificates. */
export interface ExplainedQuote {
  readonly parts: readonly ExplainedPart[]
  /** PEM text of the PCK chain; null when the quote has none, or ends before it */
  readonly chain: Uint8Array | null
}

/** Bytes of a quote, as far as they can be read: lengths that do not add up end the explanation, and it says so. */
export function explainQuote(bytes: Uint8Array): ExplainedQuote {
  const version = bytes[0]!
  const isTdx = bytes[4] === 0x81
  const bodyAt = headerSize + (version === 5 ? 6 : 0)
  const bodySize = version === 5 ? Number(number(bytes.subarray(50, 54))) : isTdx ? 584 : sgxReportSize
  const prefix: readonly Row[] =
    version === 5
      ? [
          ['Body Type', 48, 2, number],
          ['Body Size', 50, 4, number],
        ]
      : []
  const body = bytes.subarray(bodyAt, bodyAt + bodySize)
  const parts = [
    { title: 'Quote Header', document: library, fields: fieldsOf(bytes, [...header, ...prefix]) },
    isTdx
      ? { title: 'TD Quote Body', document: library, fields: fieldsOf(body, tdRows(bodySize > 584), bodyAt) }
      : { title: 'Enclave Report Body', document: sdm, fields: fieldsOf(body, sgxRows, bodyAt) },
  ]
  const signature = signatureData(bytes, bodyAt + bodySize, version)
  return { parts: [...parts, ...signature.parts], chain: signature.chain }
}

function signatureData(bytes: Uint8Array, at: number, version: number): ExplainedQuote {
  const fields: ExplainedField[] = []
  const nested: ExplainedPart[] = []
  let chain: Uint8Array | null = null
  try {
    const reader = new Reader(bytes, at)
    const take = (name: string, size: number, show: (one: Uint8Array) => string = toHex) => {
      const offset = reader.at
      const value = reader.bytes(size)
      fields.push(field(name, show(value), offset, size))
      return value
    }
    const length = (name: string, size: number) => Number(number(take(name, size, number)))
    length('Quote Signature Data Len', 4)
    take('Quote Signature', 64)
    take('ECDSA Attestation Key', 64)
    if (version !== 3) {
      length('QE Certification Data Type', 2)
      length('Size of QE Certification Data', 4)
    }
    const qe = take('QE Report', sgxReportSize, () => 'in a part of its own, below')
    nested.push(report('QE Report', qe))
    take('QE Report Signature', 64)
    take('QE Authentication Data', length('Size of QE Authentication Data', 2))
    const type = length('Certification Data Type', 2)
    const data = take('Certification Data', length('Size of Certification Data', 4), (one) =>
      type === 5 ? 'the PCK certificate chain in PEM, below' : toHex(one),
    )
    if (type === 5) chain = data
  } catch (error) {
    if (!isFailure(error)) throw error
    fields.push(field('(cut off)', `lengths do not add up: ${error.message}`))
  }
  return { parts: [{ title: 'Quote Signature Data', document: library, fields }, ...nested], chain }
}
