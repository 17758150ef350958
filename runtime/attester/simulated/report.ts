import {
  type Field,
  field,
  type Product,
  policyBit,
  reportSize,
  signatureAlgoEcdsaP384,
  signedSize,
  signingKeys,
  type TcbPart,
  tcbLayout,
} from '#attest/snp/layout.js'
import { assert } from '#core/assert.js'
import { concat } from '#core/bytes/bytes.js'
import { backend } from '#crypto-backend'
import type { MintKey } from '#runtime/attester/simulated/certificate.js'

/** Security versions of the simulated platform; `fmc` on Turin only. */
export type MintTcb = { readonly [part in Exclude<TcbPart, 'fmc'>]: number } & { readonly fmc?: number }

/** What a report says. Lengths are those of the layout. */
export interface MintReport {
  readonly product: Product
  readonly version: number
  readonly guestSvn: number
  readonly policy: bigint
  readonly vmpl: number
  readonly platformInfo: bigint
  readonly signingKey: 'VCEK' | 'VLEK'
  readonly tcb: MintTcb
  readonly chipId: Uint8Array
  readonly measurement: Uint8Array
  readonly hostData: Uint8Array
  readonly reportData: Uint8Array
  readonly reportId: Uint8Array
}

/** The parts of each product that the report tells: CPUID, and the TCB of a current firmware. */
export const productDefaults: Readonly<
  Record<
    Product,
    { readonly cpuid: readonly [number, number, number]; readonly version: number; readonly tcb: MintTcb }
  >
> = {
  Milan: { cpuid: [0x19, 0x01, 0x01], version: 3, tcb: { bootLoader: 4, tee: 0, snp: 24, microcode: 219 } },
  Genoa: { cpuid: [0x19, 0x11, 0x01], version: 5, tcb: { bootLoader: 10, tee: 0, snp: 27, microcode: 84 } },
  Turin: { cpuid: [0x1a, 0x02, 0x01], version: 5, tcb: { fmc: 1, bootLoader: 1, tee: 1, snp: 4, microcode: 81 } },
}

/** ABI 1.55, nothing allowed: no debugging, no migration, no SMT. */
export const defaultPolicy = (1n << BigInt(policyBit.reservedOne)) | 0x0137n

/** A TCB_VERSION in the byte order of its product. */
function encodeTcb(product: Product, tcb: MintTcb): Uint8Array {
  return new Uint8Array(tcbLayout[product].map((part) => (part === null ? 0 : (tcb[part] ?? 0))))
}

/** The 672 bytes that are signed. */
export function encodeReport(fields: MintReport): Uint8Array {
  const out = new Uint8Array(signedSize)
  const view = new DataView(out.buffer)
  const u32 = (name: Field, value: number) => view.setUint32(field[name][0], value, true)
  const u64 = (name: Field, value: bigint) => view.setBigUint64(field[name][0], value, true)
  const put = (name: Field, bytes: Uint8Array) => {
    assert(bytes.length === field[name][1], `${name} has ${field[name][1]} bytes`)
    out.set(bytes, field[name][0])
  }
  const { cpuid } = productDefaults[fields.product]
  const firmware = new Uint8Array([21, 55, 1])
  u32('version', fields.version)
  u32('guestSvn', fields.guestSvn)
  u64('policy', fields.policy)
  u32('vmpl', fields.vmpl)
  u32('signatureAlgo', signatureAlgoEcdsaP384)
  u64('platformInfo', fields.platformInfo)
  u32('keyInfo', signingKeys[fields.signingKey] << 2)
  put('reportData', fields.reportData)
  put('measurement', fields.measurement)
  put('hostData', fields.hostData)
  put('reportId', fields.reportId)
  put('reportIdMa', new Uint8Array(32).fill(0xff))
  for (const name of ['reportedTcb', 'committedTcb', 'currentTcb', 'launchTcb'] as const)
    put(name, encodeTcb(fields.product, fields.tcb))
  if (fields.version >= 3) put('cpuid', new Uint8Array(cpuid))
  put('chipId', fields.chipId)
  put('currentFirmware', firmware)
  put('committedFirmware', firmware)
  return out
}

/** The whole report of 1184 bytes: the signature's r and s little-endian, each in 72 bytes, zeros to the end. */
export async function signReport(signed: Uint8Array, key: MintKey): Promise<Uint8Array> {
  const handle = await backend.importPrivateKey('ES384', key.pkcs8)
  const raw = await backend.sign(handle, signed)
  const padding = new Uint8Array(24)
  const signature = concat(raw.slice(0, 48).reverse(), padding, raw.slice(48).reverse(), padding)
  return concat(signed, signature, new Uint8Array(reportSize - signedSize - signature.length))
}
