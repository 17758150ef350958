import type { Json } from '#core/encoding/json.js'
import {
  base64,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { KiB } from '#core/limits.js'

/** A vendor's certificate and a vendor's CRL inside an evidence envelope: far above what any vendor issues. */
const evidenceCertificateSizeMax = 8 * KiB
const evidenceCrlSizeMax = 64 * KiB

const inBase64 = (size: number) => Math.ceil(size / 3) * 4
const certificate = base64(undefined, inBase64(evidenceCertificateSizeMax))

/**
 * AMD SEV-SNP evidence with the collateral that its verification needs, so that it can be verified offline.
 *
 * report  exactly 1184 bytes   vek  VCEK or VLEK   ask  ASK or ASVK   ark  ARK   crl  of the ARK, or null; all DER
 */
const snpEvidenceShape = object({
  kind: literal('snp'),
  report: base64(1184, inBase64(1184)),
  vek: certificate,
  ask: certificate,
  ark: certificate,
  crl: nullable(base64(undefined, inBase64(evidenceCrlSizeMax))),
})
export type SnpEvidence = Shaped<typeof snpEvidenceShape>

/** A quote, TCB info, QE identity and an event log: far above what is seen (5, 7, 2 and 256 KiB with its filler). */
const quoteSizeMax = 16 * KiB
const tcbInfoSizeMax = 64 * KiB
const identitySizeMax = 16 * KiB
const eventLogSizeMax = 288 * KiB

/**
 * What Intel signs apart from one machine, as its service gives it out. The PCK chain is in the quote.
 *
 * tcbInfo, qeIdentity  the whole responses, JSON with its signature, byte for byte: a signature is over exact bytes
 * ...Signer            the TCB signing certificate of each, DER; their root is that of the quote
 * pckCrl, rootCrl      of the authority that issued the PCK certificate, and of the root, DER
 */
export const dcapCollateralShape = object({
  tcbInfo: base64(undefined, inBase64(tcbInfoSizeMax)),
  tcbInfoSigner: certificate,
  qeIdentity: base64(undefined, inBase64(identitySizeMax)),
  qeIdentitySigner: certificate,
  pckCrl: base64(undefined, inBase64(evidenceCrlSizeMax)),
  rootCrl: base64(undefined, inBase64(evidenceCrlSizeMax)),
})
export type DcapCollateral = Shaped<typeof dcapCollateralShape>

/** Intel TDX evidence. `eventLog` is a CCEL or the JSON of a runtime event log, or null. */
const tdxEvidenceShape = object({
  kind: literal('tdx'),
  quote: base64(undefined, inBase64(quoteSizeMax)),
  collateral: dcapCollateralShape,
  eventLog: nullable(base64(undefined, inBase64(eventLogSizeMax))),
})
export type TdxEvidence = Shaped<typeof tdxEvidenceShape>

/** Intel SGX evidence. */
const sgxEvidenceShape = object({
  kind: literal('sgx'),
  quote: base64(undefined, inBase64(quoteSizeMax)),
  collateral: dcapCollateralShape,
})
export type SgxEvidence = Shaped<typeof sgxEvidenceShape>

/** A report, a RIM and an OCSP answer: far above what is seen (4.2, 26 and 1 KiB). */
const gpuReportSizeMax = 8 * KiB
const rimSizeMax = 128 * KiB
const ocspAnswerSizeMax = 8 * KiB

/** report  request and response, cut to their own length   chain  leaf first, root last, DER */
const gpuDeviceShape = object({
  report: base64(undefined, inBase64(gpuReportSizeMax)),
  chain: list(certificate, { min: 1, max: 8 }),
})

/**
 * Evidence of NVIDIA GPUs and NVSwitches that answer one nonce: an HGX board has 8 and 4.
 *
 * rims  reference integrity manifests by the id that NVIDIA's service knows them by; devices may share one
 * ocsp  answers on certificates of devices and RIMs, DER; each says itself which certificate it is about
 */
export const gpuEvidenceShape = object({
  kind: literal('gpu'),
  devices: list(gpuDeviceShape, { min: 1, max: 12 }),
  rims: list(
    object({ id: string({ form: /^NV_[A-Za-z0-9_.-]{1,100}$/ }), rim: base64(undefined, inBase64(rimSizeMax)) }),
    { max: 24 },
  ),
  ocsp: list(base64(undefined, inBase64(ocspAnswerSizeMax)), { max: 128 }),
})
export type GpuEvidence = Shaped<typeof gpuEvidenceShape>

/** AWS: a payload of at most 16 KiB, with headers and signature around it. */
const nitroDocumentSizeMax = 16 * KiB + 512

/**
 * AWS Nitro Enclaves evidence: the signed document as the hypervisor gave it out. Its certificates are inside.
 *
 * document  COSE_Sign1, at most 16.5 KiB
 */
const nitroEvidenceShape = object({
  kind: literal('nitro'),
  document: base64(undefined, inBase64(nitroDocumentSizeMax)),
})
export type NitroEvidence = Shaped<typeof nitroEvidenceShape>

/** A quote of a TPM: its longest form has 211 bytes. */
const tpmQuoteSizeMax = 256
/** Values of PCRs by index, 0 to 23, 32 bytes each. */
const pcrsShape: Shape<{ readonly [index: string]: string }> = object(
  Object.fromEntries(Array.from({ length: 24 }, (_, i) => [String(i), optional(base64(32))])),
) as Shape<{ readonly [index: string]: string }>

/**
 * What the vTPM of an Azure confidential VM adds to evidence of its hardware.
 *
 * hclReport     NV index 0x01400001, exactly 2600 bytes, with the hardware report inside
 * tpmQuote      TPMS_ATTEST; tpmSignature  RSASSA-PKCS1-v1_5 with SHA-256 by the attestation key, 256 bytes
 * pcrs          the values of exactly the quoted PCRs of the SHA-256 bank
 */
const vtpmMembers = {
  hclReport: base64(2600, inBase64(2600)),
  tpmQuote: base64(undefined, inBase64(tpmQuoteSizeMax)),
  tpmSignature: base64(256, inBase64(256)),
  pcrs: pcrsShape,
}

/** An Azure confidential VM on AMD SEV-SNP: the report is inside the HCL report, its collateral is as for `snp`. */
const azureSnpEvidenceShape = object({
  kind: literal('azure-snp'),
  ...vtpmMembers,
  vek: certificate,
  ask: certificate,
  ark: certificate,
  crl: nullable(base64(undefined, inBase64(evidenceCrlSizeMax))),
})
export type AzureSnpEvidence = Shaped<typeof azureSnpEvidenceShape>

/** An Azure confidential VM on Intel TDX: `quote` is of the TD whose TDREPORT is inside the HCL report. */
const azureTdxEvidenceShape = object({
  kind: literal('azure-tdx'),
  ...vtpmMembers,
  quote: base64(undefined, inBase64(quoteSizeMax)),
  collateral: dcapCollateralShape,
})
export type AzureTdxEvidence = Shaped<typeof azureTdxEvidenceShape>

/** A token: far above what is seen (2.5 KiB). A key on P-384 has 120 bytes. */
const ccaTokenSizeMax = 16 * KiB
const platformKeySizeMax = 120

/**
 * Arm CCA evidence.
 *
 * token        the collection of platform and realm token, as the realm got it
 * platformKey  the key that signed the platform token, DER SubjectPublicKeyInfo: the token does not carry it
 */
const ccaEvidenceShape = object({
  kind: literal('cca'),
  token: base64(undefined, inBase64(ccaTokenSizeMax)),
  platformKey: base64(undefined, inBase64(platformKeySizeMax)),
})
export type CcaEvidence = Shaped<typeof ccaEvidenceShape>

/** Evidence of one machine, of every kind that the verifier knows. Each adds a shape with its own `kind`. */
export type MachineEvidence =
  | SnpEvidence
  | TdxEvidence
  | SgxEvidence
  | NitroEvidence
  | CcaEvidence
  | AzureSnpEvidence
  | AzureTdxEvidence

/**
 * Evidence of devices beside a machine. Invariant: no place that asks for `Evidence` takes it, since a device says nothing
 * of the machine that asked it: whoever has a GPU can have it sign any nonce.
 */
export type DeviceEvidence = GpuEvidence
/** What a part of composite evidence is, and what one verification is about. */
export type PartEvidence = MachineEvidence | DeviceEvidence

/**
 * Evidence of a machine and of the devices that work with it. That they belong together is not said here: the report data
 * of `cpu` bind the digest of `devices`, and these answer a nonce made of the same binding (core/wire/binding.ts).
 *
 * devices  at most one of each kind, and so one for now: it holds all GPUs and switches
 */
const compositeEvidenceShape = object({
  kind: literal('composite'),
  cpu: (value: Json | undefined, path: string) => machineEvidenceShape(value, path),
  devices: list((value: Json | undefined, path: string) => gpuEvidenceShape(value, path), { min: 1, max: 1 }),
})
export type CompositeEvidence = Shaped<typeof compositeEvidenceShape>

/** Evidence of what a node runs on. */
export type Evidence = MachineEvidence | CompositeEvidence
export type AnyEvidence = Evidence | DeviceEvidence

const kindOf = (value: Json | undefined): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as { readonly kind?: unknown }).kind
    : undefined

/** Evidence of a machine or of devices. For a verifier that is asked what evidence says, never for a release. */
export const anyEvidenceShape: Shape<AnyEvidence> = (value, path) =>
  kindOf(value) === 'gpu' ? gpuEvidenceShape(value, path) : ofKind(value, path, ['composite', 'gpu'])

/** Evidence of what a node runs on, alone or with its devices. */
export const evidenceShape: Shape<Evidence> = (value, path) => ofKind(value, path, ['composite'])

/** `others`: kinds that are taken here beside those of machines, for the message. */
function ofKind(value: Json | undefined, path: string, others: readonly string[]): Evidence {
  if (kindOf(value) === 'composite') return compositeEvidenceShape(value, path)
  return machineOf(value, path, others)
}

const machineShapes: {
  readonly [K in MachineEvidence['kind']]: Shape<Extract<MachineEvidence, { readonly kind: K }>>
} = {
  snp: snpEvidenceShape,
  tdx: tdxEvidenceShape,
  sgx: sgxEvidenceShape,
  nitro: nitroEvidenceShape,
  cca: ccaEvidenceShape,
  'azure-snp': azureSnpEvidenceShape,
  'azure-tdx': azureTdxEvidenceShape,
}

const isMachine = (kind: unknown): kind is MachineEvidence['kind'] =>
  typeof kind === 'string' && Object.hasOwn(machineShapes, kind)

/** Decides by `kind`, never by trying one shape and then the other: what no kind is has a wrong `kind`. */
export const machineEvidenceShape: Shape<MachineEvidence> = (value, path) => machineOf(value, path, [])

function machineOf(value: Json | undefined, path: string, others: readonly string[]): MachineEvidence {
  const kind = kindOf(value)
  if (isMachine(kind)) return machineShapes[kind](value, path)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return machineShapes.snp(value, path)
  // Invariant: it is none of them, so this says so and never returns.
  const named = oneOf(...Object.keys(machineShapes), ...others)
  return named(kind as Json | undefined, path === '' ? 'kind' : `${path}.kind`) as never
}
