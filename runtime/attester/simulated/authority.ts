import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import { extensionOid, type Product, structVersion, tcbLayout } from '#attest/snp/layout.js'
import type { UnixSeconds } from '#core/time.js'
import { backend } from '#crypto-backend'
import {
  basicConstraints,
  keyUsage,
  type MintExtension,
  type MintKey,
  mintCertificate,
  mintCrl,
} from '#runtime/attester/simulated/certificate.js'
import { ia5, integer } from '#runtime/attester/simulated/der.js'
import type { MintTcb } from '#runtime/attester/simulated/report.js'

/** A throwaway vendor: root and intermediate of one product, with their private keys. */
export interface SimulatedAuthority {
  readonly product: Product
  readonly ark: Minted
  readonly ask: Minted
}
/** A key with its certificate. */
export interface Minted {
  readonly key: MintKey
  readonly certificate: Uint8Array
}

const year = 365 * 86_400
export const rootName = 'ARK-SIMULATED'
export const serials = { ark: 0x20000, ask: 0x20002 } as const

async function generateRsaKey(): Promise<MintKey> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 4096 })
  return {
    pkcs8: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
  }
}

/** A new root and intermediate, valid for 25 years from a day before `at`. Takes seconds: two RSA keys of 4096 bits. */
export async function createAuthority(product: Product, at: UnixSeconds): Promise<SimulatedAuthority> {
  const [ark, ask] = await Promise.all([generateRsaKey(), generateRsaKey()])
  return issueAuthority(product, ark, ask, at)
}

/** Root and intermediate certificates of existing keys. */
export async function issueAuthority(
  product: Product,
  ark: MintKey,
  ask: MintKey,
  at: UnixSeconds,
): Promise<SimulatedAuthority> {
  const dates = { notBefore: at - 86_400, notAfter: at + 25 * year }
  const root = await mintCertificate(
    {
      ...dates,
      serial: serials.ark,
      issuer: rootName,
      subject: rootName,
      spki: ark.spki,
      extensions: [keyUsage(true), basicConstraints()],
    },
    ark,
  )
  const intermediate = await mintCertificate(
    {
      ...dates,
      serial: serials.ask,
      issuer: rootName,
      subject: `SEV-${product}`,
      spki: ask.spki,
      extensions: [basicConstraints(0), keyUsage(false)],
    },
    ark,
  )
  return { product, ark: { key: ark, certificate: root }, ask: { key: ask, certificate: intermediate } }
}

/** AMD's extensions of a VCEK: structure version, product, TCB, chip. */
export function vcekExtensions(product: Product, tcb: MintTcb, hwId: Uint8Array): readonly MintExtension[] {
  const plain = (oid: string, value: Uint8Array): MintExtension => ({ oid, critical: false, value })
  const turin = tcbLayout[product].includes('fmc')
  return [
    plain(extensionOid.structVersion, integer(structVersion[product])),
    plain(extensionOid.productName, ia5(product)),
    plain(extensionOid.bootLoader, integer(tcb.bootLoader)),
    plain(extensionOid.tee, integer(tcb.tee)),
    ...(turin ? [plain(extensionOid.fmc, integer(tcb.fmc ?? 0))] : [plain(extensionOid.reserved4, integer(0))]),
    plain(extensionOid.reserved5, integer(0)),
    plain(extensionOid.reserved6, integer(0)),
    plain(extensionOid.reserved7, integer(0)),
    plain(extensionOid.snp, integer(tcb.snp)),
    plain(extensionOid.microcode, integer(tcb.microcode)),
    plain(extensionOid.hwId, hwId),
  ]
}

/** A new chip's key with its certificate, valid for 7 years. Serial number 0, as on every VCEK. */
export async function issueVcek(
  authority: SimulatedAuthority,
  tcb: MintTcb,
  hwId: Uint8Array,
  at: UnixSeconds,
): Promise<Minted> {
  const key = await backend.generateKey('ES384')
  const certificate = await mintCertificate(
    {
      serial: 0,
      issuer: `SEV-${authority.product}`,
      subject: 'SEV-VCEK',
      notBefore: at - 3600,
      notAfter: at + 7 * year,
      spki: key.spki,
      extensions: vcekExtensions(authority.product, tcb, hwId),
    },
    authority.ask.key,
  )
  return { key, certificate }
}

/** A CRL of the root that lists nothing, good for a year. */
export async function issueCrl(authority: SimulatedAuthority, at: UnixSeconds): Promise<Uint8Array> {
  const dates = { thisUpdate: at - 3600, nextUpdate: at + year }
  return mintCrl({ issuer: rootName, ...dates, revoked: [] }, authority.ark.key)
}
