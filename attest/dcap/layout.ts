/**
 * What belongs in attest/dcap: what Intel TDX and SGX have in common, the quote's frame, the PCK certificate, the
 * collateral and the TCB rules. What a TD or an enclave is belongs to attest/tdx and attest/sgx. This file: offsets,
 * sizes and constants only, with the specification's field names.
 *
 * source  Intel SGX ECDSA QuoteLibReference DCAP API, "Quote Format"; Intel TDX DCAP Quoting Library API, appendix A,
 *         "Quote Format"; Intel SGX PCK Certificate and CRL Profile, "PCK Certificate"
 */
import { fromHex } from '#core/bytes/bytes.js'
import { type OidArc, oidArc } from '#core/encoding/der.js'

/** Sizes in bytes. */
export const headerSize = 48
export const sgxReportSize = 384
/** Body type and body size of quote version 5. */
export const bodyPrefixSize = 6
/** Least quote: a header, a report, a length. */
export const quoteSizeMin = headerSize + sgxReportSize + 4

export const quoteVersions = [3, 4, 5] as const
export type QuoteVersion = (typeof quoteVersions)[number]
/** ECDSA over P-256 with SHA-256. */
export const attestationKeyType = 2
export const teeTypes = { sgx: 0x00, tdx: 0x81 } as const
export type Tee = keyof typeof teeTypes
/** Intel's quoting enclaves. */
export const qeVendorId = '939a7233f79c4ca9940a0db3957f0607'

/** Bodies of quotes and what each must measure. The fourth, 1.5 ex, has been seen on no machine: it is refused. */
export const bodySizes = { sgx: sgxReportSize, 'tdx-1.0': 584, 'tdx-1.5': 648 } as const
export type BodyKind = keyof typeof bodySizes
/** Body types of quote version 5. */
export const bodyTypes: ReadonlyMap<number, BodyKind> = new Map<number, BodyKind>([
  [1, 'sgx'],
  [2, 'tdx-1.0'],
  [3, 'tdx-1.5'],
])

/** Types of certification data. */
export const certificationType = { pckChain: 5, qeReport: 6 } as const

/** Offset and size of each field of an SGX report, which a quoting enclave has too. */
export const sgxField = {
  cpuSvn: [0, 16],
  miscSelect: [16, 4],
  isvExtProdId: [32, 16],
  /** flags, then XFRM */
  attributes: [48, 16],
  mrEnclave: [64, 32],
  mrSigner: [128, 32],
  configId: [192, 64],
  isvProdId: [256, 2],
  isvSvn: [258, 2],
  configSvn: [260, 2],
  isvFamilyId: [304, 16],
  reportData: [320, 64],
} as const satisfies Readonly<Record<string, readonly [number, number]>>
export type SgxField = keyof typeof sgxField

/** Bits of the flags of an enclave's attributes. */
export const sgxFlag = { init: 0, debug: 1, mode64Bit: 2, provisionKey: 4, einitTokenKey: 5, kss: 7 } as const

/** Extensions of a PCK certificate: the identifiers that all are below. */
const sgx = '1.2.840.113741.1.13.1'
export const sgxArcs: readonly OidArc[] = [
  oidArc(fromHex('2a864886f84d010d01'), sgx),
  oidArc(fromHex('2a864886f84d010d0102'), `${sgx}.2`),
]
export const pckOid = {
  extension: sgx,
  ppid: `${sgx}.1`,
  tcb: `${sgx}.2`,
  pceSvn: `${sgx}.2.17`,
  cpuSvn: `${sgx}.2.18`,
  pceId: `${sgx}.3`,
  fmspc: `${sgx}.4`,
} as const
export const componentCount = 16
/** The security versions of the components, from 1 to 16. */
export const componentOids = Array.from({ length: componentCount }, (_, i) => `${sgx}.2.${i + 1}`)

export const certificateNames = {
  pck: ['Intel SGX PCK Certificate'],
  ca: ['Intel SGX PCK Platform CA', 'Intel SGX PCK Processor CA'],
  root: ['Intel SGX Root CA'],
  signer: ['Intel SGX TCB Signing'],
} as const
