import type { Anchors } from '#attest/anchors.js'
import { type Caches, noCaches } from '#attest/caches.js'
import { rootPlatform } from '#attest/gpu/chain.js'
import { blockCount } from '#attest/gpu/layout.js'
import { elementsOf, readSignature, refuse, verifyDigest, verifySignedInfo } from '#attest/gpu/rim/signature.js'
import { nvidiaRoots } from '#attest/gpu/roots.js'
import { fromBase64, fromHex } from '#core/bytes/bytes.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { parseXml, type XmlElement } from '#core/encoding/xml.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Certificate, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'

/** What a RIM says, signed by the first of its certificates. Who that is, and when, is told by verifyRimChain. */
export interface Rim {
  /** the version of the driver or of the VBIOS that it is about */
  readonly version: string
  /** `GH100`, `LS10` */
  readonly product: string
  /** accepted digests by index from 0, of those that count: index i is block i + 1 */
  readonly golden: ReadonlyMap<number, readonly Uint8Array[]>
  /** signer, two authorities, root */
  readonly chain: readonly Certificate[]
}

const swid = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const hashNamespace = 'http://www.w3.org/2001/04/xmlenc#sha384'
const chainSize = 4
const names = ['RIM signer', 'RIM issuer', 'RIM family certificate', 'RIM root']

/**
 * Reads a RIM whose contents and signature are good under the key of the first certificate in it. Nothing here depends on
 * time or on trusted roots, so that it may be remembered by the bytes.
 *
 * throws  gpu/rim-form, gpu/rim-digest, gpu/rim-signature, gpu/rim-certificate, x509/...
 * source  ISO/IEC 19770-2:2015 SWID; TCG Reference Integrity Manifest Information Model 1.01; W3C XML Signature Syntax
 *         and Processing 1.1, "Core Validation"
 */
export async function readRim(text: string): Promise<Rim> {
  const root = readDocument(fromBase64(text))
  const elements = elementsOf(root)
  const signature = readSignature(elements.at(-1) ?? root)
  verifyDigest(root, signature)
  const chain = readCertificates(signature.certificates)
  await verifySignedInfo(signature, chain[0]!.spki)
  const one = (local: string) => {
    const found = elements.filter((element) => element.namespace === swid && element.local === local)
    if (found.length !== 1) throw refuse('gpu/rim-form', `RIM has ${found.length} of ${local}, expected 1`)
    return found[0]!
  }
  const meta = one('Meta')
  return {
    version: attributeOf(meta, 'colloquialVersion'),
    product: attributeOf(meta, 'product'),
    golden: readGolden(one('Payload')),
    chain,
  }
}

function readDocument(bytes: Uint8Array): XmlElement {
  let root: XmlElement
  try {
    root = parseXml(bytes)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('gpu/rim-form', `RIM: ${cause.message}`, cause)
  }
  if (root.namespace !== swid || root.local !== 'SoftwareIdentity')
    throw refuse('gpu/rim-form', 'RIM is no SoftwareIdentity of ISO/IEC 19770-2')
  return root
}

function attributeOf(element: XmlElement, local: string, namespace = ''): string {
  const found = element.attributes.find((one) => one.local === local && one.namespace === namespace)
  if (!found) throw refuse('gpu/rim-form', `${element.local} of the RIM has no ${local}`)
  return found.value
}

/** NVIDIA spells dates before 2050 as GeneralizedTime in some of these certificates. */
function readCertificates(certificates: readonly Uint8Array[]): readonly Certificate[] {
  if (certificates.length !== chainSize)
    throw refuse('gpu/rim-certificate', `RIM has ${certificates.length} certificates, expected ${chainSize}`)
  const chain = certificates.map((der, i) => parseCertificate(der, names[i]!, { times: 'any' }))
  const signer = chain[0]!
  if (signer.isCa || signer.keyUsage?.digitalSignature !== true)
    throw refuse('gpu/rim-certificate', 'signer of the RIM is an authority, or may not sign')
  for (const [i, one] of chain.entries()) {
    if (one.algorithm !== 'ES384' || !hasKeyForm('ES384', one.spki))
      throw refuse('gpu/rim-certificate', `${names[i]} is not on P-384`)
  }
  return chain
}

/** The resources that count. An index is there once, and says as many digests as it has. */
function readGolden(payload: XmlElement): Rim['golden'] {
  const golden = new Map<number, readonly Uint8Array[]>()
  const seen = new Set<number>()
  for (const resource of elementsOf(payload)) {
    if (resource.namespace !== swid || resource.local !== 'Resource' || attributeOf(resource, 'type') !== 'Measurement')
      throw refuse('gpu/rim-form', 'payload of the RIM holds what is no measurement')
    const index = numberOf(resource, 'index', blockCount.gpu - 1)
    if (seen.has(index)) throw refuse('gpu/rim-form', `RIM has measurement ${index} twice`)
    seen.add(index)
    const active = attributeOf(resource, 'active')
    if (active !== 'True' && active !== 'False')
      throw refuse('gpu/rim-form', `measurement ${index} of the RIM is neither active nor not`)
    const digests = readDigests(resource, index)
    if (active === 'True') golden.set(index, digests)
  }
  if (golden.size === 0) throw refuse('gpu/rim-form', 'RIM has no measurement that counts')
  return golden
}

function numberOf(resource: XmlElement, name: string, max: number): number {
  const text = attributeOf(resource, name)
  const number = /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : max + 1
  if (number > max) throw refuse('gpu/rim-form', `${name} of a measurement of the RIM is ${text.slice(0, 20)}`)
  return number
}

function readDigests(resource: XmlElement, index: number): readonly Uint8Array[] {
  const count = numberOf(resource, 'alternatives', 100)
  const hashes = resource.attributes.filter((one) => one.namespace === hashNamespace)
  if (count === 0 || hashes.length !== count || numberOf(resource, 'size', 64) !== 48)
    throw refuse('gpu/rim-form', `measurement ${index} of the RIM does not have as many digests as it says`)
  return Array.from({ length: count }, (_, i) => {
    const text = attributeOf(resource, `Hash${i}`, hashNamespace).toLowerCase()
    if (!/^[0-9a-f]{96}$/.test(text)) throw refuse('gpu/rim-form', `Hash${i} of measurement ${index} is no SHA-384`)
    return fromHex(text)
  })
}

/**
 * The RIM was signed under NVIDIA's root for RIMs, or a simulated one, by certificates that are valid at `at`.
 *
 * throws  gpu/unknown-root, and those of core/x509: chain/...
 * source  RFC 5280, "Basic Path Validation"
 */
export async function verifyRimChain(
  { chain }: Rim,
  anchors: Anchors,
  at: UnixSeconds,
  caches: Caches = noCaches(),
): Promise<'hardware' | 'simulated'> {
  const platform = rootPlatform(chain.at(-1)!, nvidiaRoots.rim, anchors, 'the RIM')
  await verifyChain(chain, names, at, caches.links)
  return platform
}
