import { chipIdSize, hwIdSize, type Product, platformBit, products } from '#attest/snp/layout.js'
import { concat, fromBase64, fromHex, toBase64, toHex } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { base64, integer, literal, object, oneOf, optional, type Shape, type Shaped } from '#core/encoding/shape.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import {
  createAuthority,
  issueCrl,
  issueVcek,
  type Minted,
  type SimulatedAuthority,
} from '#runtime/attester/simulated/authority.js'
import {
  defaultPolicy,
  encodeReport,
  type MintReport,
  type MintTcb,
  productDefaults,
  signReport,
} from '#runtime/attester/simulated/report.js'

/** The guest on the simulated machine. */
export interface GuestOptions {
  /** 48 bytes, hex: see measureRuntime */
  readonly measurement: string
  /** 32 bytes, hex; zeros when absent */
  readonly hostData?: string
  readonly guestSvn?: number
  readonly vmpl?: number
  readonly policy?: bigint
  readonly platformInfo?: bigint
  readonly reportVersion?: number
}

export interface SimulatedPlatformOptions extends GuestOptions {
  readonly product?: Product
  readonly tcb?: MintTcb
  /** for which the certificates begin to be valid: now */
  readonly at: UnixSeconds
  /** an existing throwaway vendor: without it two RSA keys of 4096 bits are made, which takes seconds */
  readonly authority?: SimulatedAuthority
}

/** A machine that is NOT HARDWARE, with the guest that runs on it. */
export interface SimulatedPlatform {
  readonly product: Product
  /** SHA-256 of the root's public key, hex: what `simulatedRoots` names */
  readonly rootDigest: string
  readonly authority: SimulatedAuthority
  readonly vcek: Minted
  readonly tcb: MintTcb
  readonly chipId: Uint8Array
  readonly crl: Uint8Array
  /** everything that the next report says, but for its report data */
  readonly guest: Omit<MintReport, 'reportData' | 'reportId'>
  /** Evidence that binds 64 bytes. */
  attest(reportData: Uint8Array): Promise<SnpEvidence>
}

/** A new simulated machine with a chip of its own. */
export async function createSimulatedPlatform(options: SimulatedPlatformOptions): Promise<SimulatedPlatform> {
  const product = options.authority?.product ?? options.product ?? 'Genoa'
  const authority = options.authority ?? (await createAuthority(product, options.at))
  const tcb = options.tcb ?? productDefaults[product].tcb
  const hwId = randomBytes(hwIdSize[product])
  const vcek = await issueVcek(authority, tcb, hwId, options.at)
  return assemble({ authority, tcb, hwId, vcek }, options, options.at)
}

interface Machine {
  readonly authority: SimulatedAuthority
  readonly tcb: MintTcb
  readonly hwId: Uint8Array
  readonly vcek: Minted
}

async function assemble(machine: Machine, options: GuestOptions, at: UnixSeconds): Promise<SimulatedPlatform> {
  const { authority, tcb, hwId, vcek } = machine
  const { product } = authority
  const crl = await issueCrl(authority, at)
  const chipId = concat(hwId, new Uint8Array(chipIdSize - hwId.length))
  const guest = {
    product,
    version: options.reportVersion ?? productDefaults[product].version,
    guestSvn: options.guestSvn ?? 0,
    policy: options.policy ?? defaultPolicy,
    vmpl: options.vmpl ?? 0,
    platformInfo:
      options.platformInfo ?? (1n << BigInt(platformBit.eccEnabled)) | (1n << BigInt(platformBit.aliasCheckComplete)),
    signingKey: 'VCEK' as const,
    tcb,
    chipId,
    measurement: fromHex(options.measurement, 48),
    hostData: options.hostData === undefined ? new Uint8Array(32) : fromHex(options.hostData, 32),
  }
  return {
    product,
    rootDigest: toHex(sha256(authority.ark.key.spki)),
    authority,
    vcek,
    tcb,
    chipId,
    crl,
    guest,
    async attest(reportData) {
      const report = encodeReport({ ...guest, reportData, reportId: randomBytes(32) })
      return evidenceOf(await signReport(report, vcek.key), vcek.certificate, authority, crl)
    },
  }
}

/** The wire form. */
export function evidenceOf(
  report: Uint8Array,
  vek: Uint8Array,
  authority: SimulatedAuthority,
  crl: Uint8Array | null,
): SnpEvidence {
  return {
    kind: 'snp',
    report: toBase64(report),
    vek: toBase64(vek),
    ask: toBase64(authority.ask.certificate),
    ark: toBase64(authority.ark.certificate),
    crl: crl === null ? null : toBase64(crl),
  }
}

const bytes = base64(undefined, 8 * KiB)
const mintedShape = object({ pkcs8: bytes, spki: bytes, certificate: bytes })
const svn = integer({ max: 255 })
const stateShape = object({
  format: literal('claviger-simulated-platform/1'),
  note: literal('NOT HARDWARE'),
  product: oneOf(...products),
  tcb: object({ fmc: optional(svn), bootLoader: svn, tee: svn, snp: svn, microcode: svn }) as Shape<MintTcb>,
  hwId: base64(),
  ark: mintedShape,
  ask: mintedShape,
  vcek: mintedShape,
})

/** The machine as JSON, private keys included: for a file that only its owner can read. */
export function exportPlatform(platform: SimulatedPlatform): Uint8Array {
  const minted = ({ key, certificate }: Minted) => ({
    pkcs8: toBase64(key.pkcs8),
    spki: toBase64(key.spki),
    certificate: toBase64(certificate),
  })
  return canonicalJson({
    format: 'claviger-simulated-platform/1',
    note: 'NOT HARDWARE',
    product: platform.product,
    tcb: platform.tcb,
    hwId: toBase64(platform.chipId.subarray(0, hwIdSize[platform.product])),
    ark: minted(platform.authority.ark),
    ask: minted(platform.authority.ask),
    vcek: minted(platform.vcek),
  })
}

/** The machine of exportPlatform, with a guest on it and a CRL of `at`. @throws json/..., shape/... */
export async function importPlatform(
  state: Uint8Array,
  options: GuestOptions & { readonly at: UnixSeconds },
): Promise<SimulatedPlatform> {
  const found = stateShape(parseJson(state), 'simulated platform')
  const minted = (one: Shaped<typeof mintedShape>): Minted => ({
    key: { pkcs8: fromBase64(one.pkcs8), spki: fromBase64(one.spki) },
    certificate: fromBase64(one.certificate),
  })
  const authority = { product: found.product, ark: minted(found.ark), ask: minted(found.ask) }
  const hwId = fromBase64(found.hwId, hwIdSize[found.product])
  return assemble({ authority, tcb: found.tcb, hwId, vcek: minted(found.vcek) }, options, options.at)
}
