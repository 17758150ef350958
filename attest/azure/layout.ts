/**
 * What belongs in attest/azure: everything that knows how an Azure confidential VM puts its vTPM between the hardware and
 * a challenge. The hardware's own evidence is read by attest/snp and attest/tdx, the only kinds that another kind may
 * import. This file: offsets, sizes and constants only, with the specifications' field names.
 *
 * source  Microsoft OpenHCL, openhcl_attestation_protocol, igvm_attest/get.rs, "IgvmAttestRequestBase"; TCG TPM 2.0
 *         Library Part 2, "TPMS_ATTEST", "TPMS_QUOTE_INFO", "TPML_PCR_SELECTION"; Intel TDX Module ABI, "TDREPORT_STRUCT"
 */

/** The NV index 0x01400001 has one size: what the report does not fill is zero. */
export const hclReportSize = 2600

/** Offset and size of each field of an HCL report, all little-endian; the runtime data follow. */
export const field = {
  /** "HCLA" */
  signature: [0, 4],
  version: [4, 4],
  /** up to the end of the runtime data */
  reportSize: [8, 4],
  requestType: [12, 4],
  status: [16, 4],
  reserved: [20, 12],
  hardwareReport: [32, 1184],
  /** of this header of 20 bytes and the runtime data */
  dataSize: [1216, 4],
  dataVersion: [1220, 4],
  reportType: [1224, 4],
  reportDataHashType: [1228, 4],
  variableDataSize: [1232, 4],
} as const satisfies Readonly<Record<string, readonly [number, number]>>
export type Field = keyof typeof field

export const runtimeDataAt = 1236
export const dataHeaderSize = 20
export const hclSignature = 'HCLA'
export const hclVersions = [1, 2] as const
/** AK_CERT_REQUEST: the one request whose runtime data name the attestation key */
export const requestTypeAk = 2
/** Version 2 of the data puts a bitmap before the runtime data; none has been seen. */
export const dataVersion = 1
export const reportTypes = { snp: 2, tdx: 4 } as const
export type Hardware = keyof typeof reportTypes
export const hashTypes: ReadonlyMap<number, 'sha256' | 'sha384' | 'sha512'> = new Map([
  [1, 'sha256'],
  [2, 'sha384'],
  [3, 'sha512'],
])

/** The paravisor's privilege level: a guest at a lower one could ask for report data of its own choice. */
export const paravisorVmpl = 0

/** The attestation key: RSA, 2048 bits, exponent 65537. */
export const akKeyId = 'HCLAkPub'
export const akExponent = 'AQAB'
export const akModulusSize = 256
/** DER of a SubjectPublicKeyInfo of such a key, before and behind its modulus. source: RFC 8017, "RSA Public Key Syntax" */
export const rsaSpkiHead = '30820122300d06092a864886f70d01010105000382010f003082010a0282010100'
export const rsaSpkiTail = '0203010001'

/** A TDREPORT, and in it the TEE_TCB_INFO and the TDINFO; offsets are those of the whole. */
export const tdReportSize = 1024
export const tdReportType = 0x81
/** Where a TDREPORT holds what the body of a quote holds under the name of attest/tdx. */
export const tdReportField = {
  reportData: 128,
  teeTcbSvn: 264,
  mrSeam: 280,
  mrSignerSeam: 328,
  seamAttributes: 376,
  tdAttributes: 512,
  xfam: 520,
  mrTd: 528,
  mrConfigId: 576,
  mrOwner: 624,
  mrOwnerConfig: 672,
  rtmr0: 720,
  rtmr1: 768,
  rtmr2: 816,
  rtmr3: 864,
} as const
/** Those of a quote with a TD report 1.5 only. */
export const tdReport15Field = { teeTcbSvn2: 384, mrServiceTd: 912 } as const

/** A quote of a TPM, big-endian. */
export const tpm = {
  /** TPM_GENERATED_VALUE: no key of a TPM that is restricted signs bytes from outside that begin so */
  generated: 0xff54_4347,
  /** TPM_ST_ATTEST_QUOTE */
  quote: 0x8018,
  /** TPM_ALG_SHA256 */
  sha256: 0x000b,
  /** a name: algorithm and the longest digest */
  nameSizeMax: 66,
  /** TPM2B_DATA: as long as a TPMT_HA with the longest digest */
  extraDataSizeMax: 66,
  pcrSelectSize: 3,
  pcrCount: 24,
  digestSize: 32,
} as const
