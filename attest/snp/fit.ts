import type { Endorsement } from '#attest/snp/endorsement.js'
import { cpuModels, hwIdSize } from '#attest/snp/layout.js'
import type { SnpReport } from '#attest/snp/parse.js'
import { formatTcb, readTcb, type Tcb } from '#attest/snp/tcb.js'
import { equal, isZero, toHex } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'

/** One way in which the certificate of an endorsement key is of another machine than a report. */
export interface Misfit {
  readonly part: 'key' | 'product' | 'chip' | 'tcb'
  /** both sides, in words */
  readonly text: string
}

/** So much of a chip id tells two chips apart for a reader, in bytes. */
const shownSize = 8
const shown = (id: Uint8Array) => `${toHex(id.subarray(0, shownSize))}${id.length > shownSize ? '…' : ''}`

/**
 * How report and certificate differ in what both of them name: kind of key, product, chip, reported TCB. Nothing is verified
 * here: it tells which of several certificates is the one for a report, and why a signature cannot be good. A report names no
 * provider, so certificates of two of them for one TCB fit alike.
 */
export function misfitsOf(report: SnpReport, { key, product, tcb, hwId }: Endorsement): readonly Misfit[] {
  const misfits: Misfit[] = []
  if (report.signingKey !== key)
    misfits.push({ part: 'key', text: `the certificate is of a ${key}, the report names a ${report.signingKey}` })
  if (report.cpuid) {
    const { family, model } = report.cpuid
    const known = cpuModels.find((one) => one.family === family && model >= one.from && model <= one.to)
    if (known?.product !== product)
      misfits.push({
        part: 'product',
        text: `the certificate is for ${product}, the report of ${known?.product ?? 'an unknown product'}`,
      })
  }
  const chipId = report.bytesOf('chipId')
  const size = hwIdSize[product]
  if (hwId && !(equal(chipId.subarray(0, size), hwId) && isZero(chipId.subarray(size)))) {
    const found = isZero(chipId) ? 'of a masked one' : `of chip ${shown(chipId)}`
    misfits.push({ part: 'chip', text: `the certificate is for chip ${shown(hwId)}, the report ${found}` })
  }
  const [certified, reported] = [formatTcb(tcb), tcbText(report, product)]
  if (certified !== reported)
    misfits.push({ part: 'tcb', text: `the certificate is for TCB ${certified}, the report of TCB ${reported}` })
  return misfits
}

function tcbText(report: SnpReport, product: Endorsement['product']): string {
  const bytes = report.bytesOf('reportedTcb')
  let tcb: Tcb
  try {
    tcb = readTcb(bytes, product, 'reported TCB')
  } catch (error) {
    if (!isFailure(error)) throw error
    return toHex(bytes)
  }
  return formatTcb(tcb)
}
