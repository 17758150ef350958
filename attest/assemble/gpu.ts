import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import { type GpuReport, parseReport } from '#attest/gpu/parse.js'
import { rimIds } from '#attest/gpu/rim/golden.js'
import { attempt, type NamedFile, type Pool } from '#attest/pool.js'
import { equal, fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import { parseOcsp } from '#core/x509/ocsp-answer.js'

/**
 * Devices that answered together: the report, and every other one in the pool where it is one of them. The chain of each
 * is the file whose name begins most like that of its report. RIMs go under the id that a device asks for.
 */
export const assembleGpu: Assembler = ({ bytes, title }, pool) => {
  const reports = pool.evidence.filter(({ form }) => form === 'gpu-report')
  const together = reports.some((one) => equal(one.bytes, bytes)) ? reports : [{ name: '', bytes }]
  const devices = together.map((one) => ({ report: one.bytes, chain: chainOf(one.name, pool) }))
  const wanted = new Wanted()
  if (devices.some(({ chain }) => chain.length === 0)) wanted.take(undefined, 'the certificate chain of each device')
  wanted.done(title)
  const rims = new Map(devices.flatMap(({ report }) => attempt(() => rimsOf(parseReport(report), pool)) ?? []))
  return {
    kind: 'gpu',
    devices: devices.map(({ report, chain }) => ({ report: toBase64(report), chain: chain.map(toBase64) })),
    rims: [...rims].map(([id, rim]) => ({ id, rim: toBase64(rim) })),
    // Each answer says itself which certificate it is about; one that is not current then fails, and is not left out.
    ocsp: pool.others.flatMap((file) => (attempt(() => parseOcsp(file.bytes)) ? [toBase64(file.bytes)] : [])),
  }
}

function chainOf(report: string, { chains }: Pool): readonly Uint8Array[] {
  return chains.toSorted((a, b) => likeness(report, b.name) - likeness(report, a.name))[0]?.ders ?? []
}

/** How many characters two names begin with alike; between equals the one that says it is a chain. */
function likeness(report: string, chain: string): number {
  const differs = [...report].findIndex((character, i) => chain[i] !== character)
  return 2 * (differs === -1 ? report.length : differs) + (chain.includes('chain') ? 1 : 0)
}

const rimVersion = /\bcolloquialVersion="([^"]{1,40})"/
/** Five groups of two digits: a VBIOS, or the BIOS of a switch. Drivers have two dots. */
const biosVersion = /^[0-9A-Fa-f]{2}(\.[0-9A-Fa-f]{2}){4}$/

/** The RIM of this version, else the only kind of RIM there is for the part: the verifier then says that it is of another. */
function rimFor(bios: boolean, version: string, files: readonly NamedFile[]): Uint8Array | undefined {
  const rims = files.flatMap(({ bytes }) => {
    const found = rimVersion.exec(attempt(() => fromUtf8(bytes.subarray(0, 4096))) ?? '')?.[1]
    return found !== undefined && biosVersion.test(found) === bios ? [{ bytes, version: found.toUpperCase() }] : []
  })
  return (rims.find((one) => one.version === version) ?? rims[0])?.bytes
}

function rimsOf(report: GpuReport, pool: Pool): readonly (readonly [id: string, rim: Uint8Array])[] {
  // Early Blackwell reports do not say their chip; its certificates do. The id of a switch has no chip.
  const isBlackwell = report.opaque.chipInfo !== null || pool.certificates.some(({ name }) => /^GB[12]/.test(name))
  const architecture = isBlackwell ? 'BLACKWELL' : 'HOPPER'
  const ids = rimIds(report, { architecture })
  const { driverVersion, vbiosVersion } = report.opaque
  const driver = driverVersion === null ? undefined : rimFor(false, driverVersion, pool.others)
  const bios = rimFor(true, vbiosVersion, pool.others)
  return [
    ...(ids.driver !== null && driver ? [[ids.driver, driver] as const] : []),
    ...(ids.vbios !== null && bios ? [[ids.vbios, bios] as const] : []),
  ]
}
