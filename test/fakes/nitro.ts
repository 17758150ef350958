import { size } from '#attest/nitro/layout.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { coseSignedBytes } from '#core/cose.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import type { NitroEvidence } from '#core/wire/evidence.js'
import {
  basicConstraints,
  keyUsage,
  type MintCertificate,
  type MintKey,
} from '#runtime/attester/simulated/certificate.js'
import { digitalSignature, type EcAlgorithm, ecCertificate, ecSign } from './ec-certificates.js'
import keys from './nitro-keys.json' with { type: 'json' }
import { testTime } from './platform.js'

const read = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})
/** Keys of a throwaway vendor on P-384; `other` is that of one whom nobody names. NOT HARDWARE. */
export const nitroKeys = {
  root: read(keys.root),
  region: read(keys.region),
  zone: read(keys.zone),
  instance: read(keys.instance),
  signer: read(keys.signer),
  other: read(keys.other),
}
export const nitroRootDigest = toHex(sha256(nitroKeys.root.spki))
export const nitroReportData = new Uint8Array(64).fill(7)
export const nitroModuleId = 'i-00000000000000000-enc0000000000000000'

export type Members = Map<CborKey, Cbor>

/** One thing to break, or to do differently. Everything else stays as it is on a good machine. */
export interface NitroBreakage {
  readonly members?: (members: Members) => void
  /** changes the payload before it is signed */
  readonly payload?: (bytes: Uint8Array) => Uint8Array
  readonly protectedHeader?: Uint8Array
  readonly unprotectedHeader?: Cbor
  readonly algorithm?: EcAlgorithm
  readonly documentSigner?: MintKey
  /** changes the array of four after it was signed */
  readonly message?: (message: readonly Cbor[]) => Cbor
  readonly documentBytes?: (bytes: Uint8Array) => Uint8Array
  readonly signer?: Partial<MintCertificate>
  readonly instance?: Partial<MintCertificate>
  readonly zone?: Partial<MintCertificate>
  readonly region?: Partial<MintCertificate>
  readonly root?: Partial<MintCertificate>
  /** who signs the certificate of the document's key */
  readonly signerIssuer?: MintKey
  readonly rootKey?: MintKey
  /** changes the cabundle, root first */
  readonly bundle?: (bundle: readonly Uint8Array[]) => readonly Uint8Array[]
}

const day = 86_400
const names = {
  root: 'aws.nitro-enclaves',
  region: 'region.aws.nitro-enclaves',
  zone: 'zonal.region.aws.nitro-enclaves',
  instance: 'i-00000000000000000.region.aws.nitro-enclaves',
  signer: `${nitroModuleId}.region.aws`,
}

async function mintChain(broken: NitroBreakage) {
  const { root, region, zone, instance, signer } = nitroKeys
  const rootKey = broken.rootKey ?? root
  const dates = (days: number) => ({ notBefore: testTime - days * day, notAfter: testTime + days * day })
  const authority = (pathLength?: number) => [basicConstraints(pathLength), keyUsage(true)]
  const issue = (fields: MintCertificate, by: MintKey) => ecCertificate('ES384', fields, by)
  const good = {
    root: { serial: 1, issuer: names.root, subject: names.root, spki: rootKey.spki, ...dates(4000) },
    region: { serial: 2, issuer: names.root, subject: names.region, spki: region.spki, ...dates(10) },
    zone: { serial: 3, issuer: names.region, subject: names.zone, spki: zone.spki, ...dates(3) },
    instance: { serial: 4, issuer: names.zone, subject: names.instance, spki: instance.spki, ...dates(1) },
    signer: { serial: 5, issuer: names.instance, subject: names.signer, spki: signer.spki },
  }
  // As AWS does: the key is certified seconds before it signs, and for three hours.
  const lease = { notBefore: testTime - 13, notAfter: testTime - 13 + 10_800 }
  const leaf = { ...good.signer, ...lease, extensions: [digitalSignature] }
  return {
    bundle: [
      await issue({ ...good.root, extensions: authority(), ...broken.root }, rootKey),
      await issue({ ...good.region, extensions: authority(2), ...broken.region }, rootKey),
      await issue({ ...good.zone, extensions: authority(1), ...broken.zone }, region),
      await issue({ ...good.instance, extensions: authority(0), ...broken.instance }, zone),
    ],
    certificate: await issue({ ...leaf, ...broken.signer }, broken.signerIssuer ?? instance),
  }
}

/** PCRs of a production enclave: three of the image, role, instance, signer, and the rest zero. */
export const nitroPcr = (index: number) =>
  [0, 1, 2, 3, 4, 8].includes(index) ? new Uint8Array(48).fill(0xa0 + index) : new Uint8Array(48)

async function goodMembers(broken: NitroBreakage): Promise<Members> {
  const { bundle, certificate } = await mintChain(broken)
  return new Map<CborKey, Cbor>([
    ['module_id', nitroModuleId],
    ['digest', 'SHA384'],
    ['timestamp', (testTime - 10) * 1000 + 250],
    ['pcrs', new Map<CborKey, Cbor>(Array.from({ length: 16 }, (_, i) => [i, nitroPcr(i)]))],
    ['certificate', certificate],
    ['cabundle', broken.bundle?.(bundle) ?? bundle],
    ['public_key', null],
    ['user_data', nitroReportData],
    ['nonce', null],
  ])
}

/** The bytes of a document of a simulated hypervisor with one thing broken. With no argument it is good. */
export async function mintNitro(broken: NitroBreakage = {}): Promise<Uint8Array> {
  const members = await goodMembers(broken)
  broken.members?.(members)
  const plain = encodeCbor(members)
  const payload = broken.payload?.(plain) ?? plain
  const algorithm = broken.algorithm ?? 'ES384'
  const header = broken.protectedHeader ?? encodeCbor(new Map([[1, algorithm === 'ES384' ? -35 : -7]]))
  const signature = await ecSign(algorithm, coseSignedBytes(header, payload), broken.documentSigner ?? nitroKeys.signer)
  const message = [header, broken.unprotectedHeader ?? new Map<CborKey, Cbor>(), payload, signature]
  const bytes = encodeCbor(broken.message?.(message) ?? message)
  return broken.documentBytes?.(bytes) ?? bytes
}

export async function mintNitroEvidence(broken: NitroBreakage = {}): Promise<NitroEvidence> {
  return { kind: 'nitro', document: toBase64(await mintNitro(broken)) }
}

/** The most bytes that a document may carry in a member. */
export const most = (name: 'certificate' | 'public_key' | 'user_data' | 'nonce'): number => size[name][1]
