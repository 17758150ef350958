import type { SnpCode } from '#attest/snp/codes.js'
import {
  cpuidVersionMin,
  type Field,
  field,
  keyInfo,
  mitigationVersionMin,
  policyBit,
  reportSize,
  reportVersions,
  reservedFields,
  signatureAlgoEcdsaP384,
  signedSize,
  signingKeys,
  vmplHost,
  vmplMax,
} from '#attest/snp/layout.js'
import { concat, isZero } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

/** A report as it stands in its bytes. TCB versions stay raw: their order depends on the product, not yet known. */
export interface SnpReport {
  readonly bytes: Uint8Array
  /** the first 672 bytes: what is signed, and what every member below was read from */
  readonly signed: Uint8Array
  /** r then s, big-endian, 96 bytes */
  readonly signature: Uint8Array
  readonly version: number
  readonly guestSvn: number
  readonly policy: bigint
  readonly vmpl: number
  readonly platformInfo: bigint
  readonly signingKey: 'VCEK' | 'VLEK'
  readonly authorKeyEnabled: boolean
  readonly cpuid: { readonly family: number; readonly model: number; readonly stepping: number } | null
  /** the bytes of a field, as a view */
  bytesOf(name: Field): Uint8Array
}

function refuse(code: SnpCode, message: string): Failure<SnpCode> {
  return new Failure<SnpCode>(code, message)
}

/**
 * The report that 1184 bytes spell. Reserved bytes are zero, reserved bits what the specification says, versions and
 * signature algorithm known, the report is signed and was asked for by the guest.
 *
 * throws  snp/size, snp/version, snp/signature-algorithm, snp/reserved, snp/policy-reserved, snp/key-info,
 *         snp/unsigned, snp/author-key, snp/vmpl, snp/host-requested
 * source  AMD 56860, "ATTESTATION_REPORT"
 */
export function parseReport(bytes: Uint8Array): SnpReport {
  if (bytes.length !== reportSize) throw refuse('snp/size', `report has ${bytes.length} bytes, expected ${reportSize}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bytesOf = (name: Field) => bytes.subarray(field[name][0], field[name][0] + field[name][1])
  const u32 = (name: Field) => view.getUint32(field[name][0], true)
  const u64 = (name: Field) => view.getBigUint64(field[name][0], true)

  const version = u32('version')
  if (!reportVersions.some((known) => known === version))
    throw refuse('snp/version', `report version is ${version}, expected one of ${reportVersions.join(', ')}`)
  const algorithm = u32('signatureAlgo')
  if (algorithm !== signatureAlgoEcdsaP384)
    throw refuse('snp/signature-algorithm', `signature algorithm is ${algorithm}, expected ${signatureAlgoEcdsaP384}`)
  for (const name of reservedFields) refuseNonZero(name, bytesOf(name))
  if (version < cpuidVersionMin) refuseNonZero('cpuid', bytesOf('cpuid'))
  if (version < mitigationVersionMin) {
    refuseNonZero('launchMitVector', bytesOf('launchMitVector'))
    refuseNonZero('currentMitVector', bytesOf('currentMitVector'))
  }
  const [family, model, stepping] = bytesOf('cpuid') as unknown as readonly [number, number, number]
  return {
    bytes,
    signed: bytes.subarray(0, signedSize),
    signature: concat(bytesOf('signatureR').toReversed(), bytesOf('signatureS').toReversed()),
    version,
    guestSvn: u32('guestSvn'),
    policy: readPolicy(u64('policy')),
    vmpl: readVmpl(u32('vmpl')),
    platformInfo: u64('platformInfo'),
    ...readKeyInfo(u32('keyInfo'), bytesOf('authorKeyDigest')),
    cpuid: version < cpuidVersionMin ? null : { family, model, stepping },
    bytesOf,
  }
}

function refuseNonZero(name: Field, bytes: Uint8Array): void {
  if (!isZero(bytes)) throw refuse('snp/reserved', `unsupported report layout: ${name} is not zero`)
}

/** source: AMD 56860, "Guest Policy": bit 17 is one, bits 26 and up are zero. */
function readPolicy(policy: bigint): bigint {
  if (policy >> BigInt(policyBit.reservedFrom) !== 0n || !((policy >> BigInt(policyBit.reservedOne)) & 1n))
    throw refuse('snp/policy-reserved', `guest policy 0x${policy.toString(16)} sets reserved bits`)
  return policy
}

function readVmpl(vmpl: number): number {
  // A report that the host asked for carries report data of the host's choice: it says nothing of the guest.
  if (vmpl === vmplHost) throw refuse('snp/host-requested', 'the host asked for this report, expected the guest')
  if (vmpl > vmplMax) throw refuse('snp/vmpl', `vmpl is ${vmpl}, expected 0 to ${vmplMax}`)
  return vmpl
}

function readKeyInfo(flags: number, authorKeyDigest: Uint8Array): Pick<SnpReport, 'signingKey' | 'authorKeyEnabled'> {
  if (flags >>> keyInfo.reservedFrom !== 0)
    throw refuse('snp/key-info', `key info 0x${flags.toString(16)} sets reserved bits`)
  const key = (flags >>> keyInfo.signingKeyShift) & keyInfo.signingKeyMask
  if (flags & keyInfo.maskChipKey) throw refuse('snp/unsigned', 'the chip key is masked, so the report is not signed')
  if (key === signingKeys.none) throw refuse('snp/unsigned', 'the report says that no key signed it')
  if (key !== signingKeys.VCEK && key !== signingKeys.VLEK)
    throw refuse('snp/key-info', `signing key is ${key}, expected VCEK or VLEK`)
  const authorKeyEnabled = (flags & keyInfo.authorKeyEnabled) !== 0
  if (!authorKeyEnabled && !isZero(authorKeyDigest))
    throw refuse('snp/author-key', 'the report carries an author key digest that it says is absent')
  return { signingKey: key === signingKeys.VCEK ? 'VCEK' : 'VLEK', authorKeyEnabled }
}
