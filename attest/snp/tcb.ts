import type { SnpCode } from '#attest/snp/codes.js'
import { type Product, type TcbPart, tcbLayout } from '#attest/snp/layout.js'
import { Failure } from '#core/failure.js'

/** Security versions of a platform's parts, 0 to 255. `fmc` is null on products that do not count it. */
export interface Tcb {
  readonly fmc: number | null
  readonly bootLoader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}
const tcbParts = ['fmc', 'bootLoader', 'tee', 'snp', 'microcode'] as const satisfies readonly TcbPart[]

/** The TCB of 8 bytes in the order of `product`. @throws snp/tcb-reserved */
export function readTcb(bytes: Uint8Array, product: Product, what: string): Tcb {
  const out: Record<TcbPart, number | null> = { fmc: null, bootLoader: 0, tee: 0, snp: 0, microcode: 0 }
  for (const [i, part] of tcbLayout[product].entries()) {
    const value = bytes[i]!
    if (part !== null) out[part] = value
    else if (value !== 0)
      throw new Failure<SnpCode>('snp/tcb-reserved', `${what} byte ${i} is ${value}, expected 0 on ${product}`)
  }
  return out as Tcb
}

/** `1.1.1.4.81`: FMC (where there is one), boot loader, TEE, SNP, microcode. */
export function formatTcb(tcb: Tcb): string {
  return tcbParts.flatMap((part) => tcb[part] ?? []).join('.')
}

/** The parts in which `tcb` is below `floor`; a part that only one of them has counts as below. */
export function partsBelow(tcb: Tcb, floor: Tcb): readonly TcbPart[] {
  return tcbParts.filter((part) => {
    const [have, want] = [tcb[part], floor[part]]
    return have === null || want === null ? have !== want : have < want
  })
}
