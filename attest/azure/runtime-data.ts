import type { AzureCode } from '#attest/azure/codes.js'
import { akExponent, akKeyId, akModulusSize, rsaSpkiHead, rsaSpkiTail } from '#attest/azure/layout.js'
import { concat, fromBase64Url, fromHex } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { boolean, list, literal, object, optional, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'

/** What the paravisor says of the virtual machine, and the key that its vTPM quotes with. */
export interface RuntimeData {
  /** DER SubjectPublicKeyInfo of HCLAkPub */
  readonly ak: Uint8Array
  readonly vm: VmConfiguration
  /** what the guest wrote into NV index 0x01400002, lowercase hex; null when the paravisor leaves it out */
  readonly userData: string | null
}

function refuse(code: AzureCode, message: string, cause?: unknown): Failure<AzureCode> {
  return new Failure<AzureCode>(code, message, { cause })
}

/** An object of which these members are read. Microsoft adds members without a new version; all of them are measured. */
function reading<const M extends { readonly [name: string]: Shape<unknown> }>(members: M) {
  const strict = object(members)
  return (value: Json | undefined, path: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return strict(value, path)
    return strict(Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(members, name))), path)
  }
}

const vmConfigurationShape = reading({
  'secure-boot': boolean,
  'tpm-enabled': boolean,
  'console-enabled': optional(boolean),
  'interactive-console-enabled': optional(boolean),
  'filtered-vpci-devices-allowed': optional(boolean),
  'tpm-persisted': optional(boolean),
  'root-cert-thumbprint': optional(string({ max: 100 })),
  vmUniqueId: optional(string({ max: 64 })),
})
export type VmConfiguration = Shaped<typeof vmConfigurationShape>

/** source: Microsoft OpenHCL, igvm_attest/get.rs, "RuntimeClaims", "RsaJwk", "AttestationVmConfig" */
const runtimeDataShape = reading({
  keys: list(reading({ kid: string() }), { min: 1, max: 8 }),
  'vm-configuration': vmConfigurationShape,
  'user-data': optional(string({ form: /^([0-9a-fA-F]{128})?$/ })),
})

/** A key whose every member is known: what it may be used for is not for a reader to guess. */
const akShape = object({
  kid: literal(akKeyId),
  key_ops: list(literal('sign'), { min: 1, max: 1 }),
  kty: literal('RSA'),
  e: literal(akExponent),
  n: string({ max: 400 }),
})

/**
 * The runtime data that JSON spells: one attestation key of RSA-2048 with exponent 65537, and what the VM was started
 * with. Duplicate members are refused, members of a later version are not read.
 *
 * trusts  that the caller found the digest of these very bytes in a verified hardware report
 * throws  azure/runtime-data, azure/attestation-key
 */
export function parseRuntimeData(bytes: Uint8Array): RuntimeData {
  try {
    const json = parseJson(bytes)
    const data = runtimeDataShape(json, '')
    const at = data.keys.flatMap(({ kid }, i) => (kid === akKeyId ? [i] : []))
    if (at.length !== 1)
      throw refuse('azure/attestation-key', `runtime data have ${at.length} keys named ${akKeyId}, expected one`)
    const key = (json as { readonly keys: readonly Json[] }).keys[at[0]!]
    const userData = data['user-data']
    return { ak: spkiOf(key), vm: data['vm-configuration'], userData: userData ? userData.toLowerCase() : null }
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('azure/')) throw error
    throw refuse('azure/runtime-data', `runtime data: ${error.message}`, error)
  }
}

/** The DER of a key of one size and exponent has one form, so it is written around the modulus. */
function spkiOf(jwk: Json | undefined): Uint8Array {
  try {
    const modulus = fromBase64Url(akShape(jwk, akKeyId).n, akModulusSize)
    if (modulus[0]! < 0x80 || modulus.at(-1)! % 2 === 0)
      throw refuse('azure/attestation-key', 'modulus of the attestation key is even, or has not 2048 bits')
    return concat(fromHex(rsaSpkiHead), modulus, fromHex(rsaSpkiTail))
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('azure/')) throw error
    throw refuse('azure/attestation-key', `attestation key is not one of RSA-2048: ${error.message}`, error)
  }
}
