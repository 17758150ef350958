/**
 * What belongs in attest/nitro: everything that knows AWS Nitro Enclaves, from a document's bytes to neutral claims.
 * This file: names, sizes and constants only, with the specification's names.
 *
 * source  AWS Nitro Enclaves Attestation Process, "Attestation Document Specification", "Syntactical validation"
 */

/** Members of a document. The first six must be there; the others may be absent, or null, which says the same. */
export const required = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle'] as const
export const optional = ['public_key', 'user_data', 'nonce'] as const

export const digestName = 'SHA384'
/** SHA-384: the document names no other digest, so no PCR has another size. */
export const pcrSize = 48
/** PCRs 0 to 31; a document shows those that are locked, 16 of them so far. */
export const pcrCount = 32
/** PCRs that every enclave has: image, kernel with boot files, application. All zero in debug mode. */
export const imagePcrs = [0, 1, 2] as const

/** Sizes in bytes, least and most. */
export const size = {
  payload: [1, 16_384],
  certificate: [1, 1024],
  public_key: [1, 1024],
  user_data: [0, 512],
  nonce: [0, 512],
} as const satisfies Readonly<Record<string, readonly [number, number]>>

/** Characters of a module id: an instance id and the id of an enclave (39 seen). */
export const moduleIdLengthMax = 100
/** The year 9999 in milliseconds: what comes later is no time. */
export const timestampMax = 253_402_300_799_999

/** Values in a document, keys included: some 60 seen. */
export const cborLimits = { sizeMax: size.payload[1], depthMax: 3, itemsMax: 200, indefinite: 'containers' } as const
