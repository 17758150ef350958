import type { GpuCode } from '#attest/gpu/codes.js'
import { block, blockCount, type DeviceKind, reportSizeMax, request, response } from '#attest/gpu/layout.js'
import { type OpaqueData, parseOpaqueData } from '#attest/gpu/opaque.js'
import { Failure } from '#core/failure.js'

/** A report as it stands in its bytes: request and response of one exchange. Byte members are views. */
export interface GpuReport {
  readonly kind: DeviceKind
  /** request and response without the signature: what is signed, and what every member was read from */
  readonly signed: Uint8Array
  /** r then s, big-endian, 96 bytes */
  readonly signature: Uint8Array
  /** 32 bytes of the request: the verifier's */
  readonly nonce: Uint8Array
  /** SHA-384 digests, the first is that of block 1 */
  readonly blocks: readonly Uint8Array[]
  readonly opaque: OpaqueData
}

function refuse(code: GpuCode, message: string): Failure<GpuCode> {
  return new Failure<GpuCode>(code, message)
}

/**
 * The report that the bytes spell: a request for all measurements with a signature, and its answer with every block of
 * the device in order, every length exact, no opaque type twice.
 *
 * throws  gpu/size, gpu/request, gpu/response, gpu/blocks, gpu/trailing, gpu/opaque, gpu/opaque-duplicate,
 *         gpu/opaque-type, gpu/opaque-version
 * source  DMTF DSP0274 SPDM 1.1, "GET_MEASUREMENTS request message", "MEASUREMENTS response message"
 */
export function parseReport(bytes: Uint8Array): GpuReport {
  const recordAt = request.size + response.headerSize
  const least = recordAt + response.nonceSize + 2 + response.signatureSize
  if (bytes.length < least || bytes.length > reportSizeMax)
    throw refuse('gpu/size', `report has ${bytes.length} bytes, expected ${least} to ${reportSizeMax}`)
  if (!request.head.every((byte, i) => bytes[i] === byte) || bytes[request.slot] !== 0)
    throw refuse('gpu/request', 'request is not one for all measurements, signed by slot 0, in SPDM 1.1')
  if (!response.head.every((byte, i) => bytes[request.size + i] === byte))
    throw refuse('gpu/response', 'response is not one of measurements in SPDM 1.1')
  const { kind, size } = readCount(bytes, request.size + 4)
  const opaqueAt = recordAt + size + response.nonceSize + 2
  if (bytes.length < opaqueAt + response.signatureSize) throw refuse('gpu/size', 'report ends before its opaque data')
  const signedSize = opaqueAt + bytes[opaqueAt - 2]! + bytes[opaqueAt - 1]! * 256
  const whole = signedSize + response.signatureSize
  if (bytes.length !== whole)
    throw refuse(bytes.length < whole ? 'gpu/size' : 'gpu/trailing', `report has ${bytes.length} bytes, says ${whole}`)
  return {
    kind,
    signed: bytes.subarray(0, signedSize),
    signature: bytes.subarray(signedSize),
    nonce: bytes.subarray(request.nonce[0], request.nonce[0] + request.nonce[1]),
    blocks: readBlocks(bytes.subarray(recordAt, recordAt + size)),
    opaque: parseOpaqueData(bytes.subarray(opaqueAt, signedSize), kind),
  }
}

/** Number of blocks and length of the record: both are fixed by the kind of device. */
function readCount(bytes: Uint8Array, at: number): { readonly kind: DeviceKind; readonly size: number } {
  const count = bytes[at]!
  const size = bytes[at + 1]! + bytes[at + 2]! * 0x100 + bytes[at + 3]! * 0x10000
  const kind = (['gpu', 'switch'] as const).find((one) => blockCount[one] === count)
  if (!kind)
    throw refuse('gpu/blocks', `report has ${count} blocks, expected ${blockCount.gpu} (GPU) or ${blockCount.switch}`)
  if (size !== count * block.size)
    throw refuse('gpu/blocks', `record has ${size} bytes, expected ${count * block.size} for ${count} blocks`)
  return { kind, size }
}

/** Invariant: block i has index i, so no block is there twice and none is missing. */
function readBlocks(record: Uint8Array): readonly Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at < record.length; at += block.size) {
    const good =
      record[at] === out.length + 1 &&
      record[at + 1] === block.specification &&
      record[at + 2]! + record[at + 3]! * 256 === block.measurementSize &&
      record[at + 4] === block.valueType &&
      record[at + 5]! + record[at + 6]! * 256 === block.valueSize
    if (!good) throw refuse('gpu/blocks', `block ${out.length + 1} is out of order, or no digest of 48 bytes`)
    out.push(record.subarray(at + 7, at + block.size))
  }
  return out
}
