/**
 * What belongs in attest/gpu/rim: reference integrity manifests (RIMs) of NVIDIA, from signed XML to golden values. Which
 * RIM a device needs, and what follows from a difference, belongs to the verification of devices.
 */
import type { GpuCode } from '#attest/gpu/codes.js'
import { equal, fromBase64 } from '#core/bytes/bytes.js'
import { sha384 } from '#core/crypto/hash.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import type { XmlElement } from '#core/encoding/xml.js'
import { canonicalXml } from '#core/encoding/xml-canonical.js'
import { Failure, isFailure } from '#core/failure.js'

export function refuse(code: GpuCode, message: string, cause?: unknown): Failure<GpuCode> {
  return new Failure<GpuCode>(code, message, { cause })
}

const dsig = 'http://www.w3.org/2000/09/xmldsig#'
const algorithms = {
  c14n11: 'http://www.w3.org/2006/12/xml-c14n11',
  enveloped: 'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
  ecdsaSha384: 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384',
  sha384: 'http://www.w3.org/2001/04/xmldsig-more#sha384',
} as const

/** The signature that stands in a document, in the only form that is accepted. Certificates are DER, the signer's first. */
export interface EnvelopedSignature {
  readonly element: XmlElement
  readonly signedInfo: XmlElement
  /** r then s, 96 bytes */
  readonly value: Uint8Array
  readonly digest: Uint8Array
  readonly certificates: readonly Uint8Array[]
}

/** The elements in an element that holds nothing else but white space. @throws gpu/rim-form */
export function elementsOf(parent: XmlElement): readonly XmlElement[] {
  return parent.children.filter((child): child is XmlElement => {
    if (typeof child !== 'string') return true
    if (/[^ \n\t]/.test(child)) throw refuse('gpu/rim-form', `${parent.local} of the RIM holds text`)
    return false
  })
}

/** The elements of these names in this order, and no others. */
function sequence(parent: XmlElement, ...names: readonly string[]): readonly XmlElement[] {
  const found = elementsOf(parent)
  if (found.length !== names.length || found.some((one, i) => one.namespace !== dsig || one.local !== names[i]))
    throw refuse('gpu/rim-form', `${parent.local} of the RIM's signature does not hold ${names.join(', ')}`)
  return found
}

/** The one attribute of an element. */
function only(element: XmlElement, name: string): string {
  const [first, ...more] = element.attributes
  if (first?.local !== name || first.prefix !== '' || more.length > 0)
    throw refuse('gpu/rim-form', `${element.local} of the RIM's signature does not say ${name} alone`)
  return first.value
}

function algorithm(element: XmlElement, wanted: string): void {
  const found = only(element, 'Algorithm')
  if (found !== wanted) throw refuse('gpu/rim-form', `${element.local} of the RIM's signature is not ${wanted}`)
}

/** The bytes of base64 in an element that holds nothing else; lines may be broken. */
function bytesOf(element: XmlElement): Uint8Array {
  const [text, ...more] = element.children
  if (typeof text !== 'string' || more.length > 0 || element.attributes.length > 0)
    throw refuse('gpu/rim-form', `${element.local} of the RIM's signature does not hold base64 alone`)
  try {
    return fromBase64(text.replace(/[ \n\t]/g, ''))
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('gpu/rim-form', `${element.local} of the RIM's signature does not hold base64`, cause)
  }
}

/**
 * Reads the one signature of the document, which signs all of it but itself: one reference, to the whole, through the two
 * transforms in their order, and no algorithm but those that NVIDIA uses.
 *
 * throws  gpu/rim-form
 * source  W3C XML Signature Syntax and Processing 1.1, "Core Signature Syntax"
 */
export function readSignature(element: XmlElement): EnvelopedSignature {
  if (element.namespace !== dsig || element.local !== 'Signature')
    throw refuse('gpu/rim-form', 'last element of the RIM is no signature')
  const [signedInfo, value, keyInfo] = sequence(element, 'SignedInfo', 'SignatureValue', 'KeyInfo') as Three
  const [canonical, method, reference] = sequence(
    signedInfo,
    'CanonicalizationMethod',
    'SignatureMethod',
    'Reference',
  ) as Three
  algorithm(canonical, algorithms.c14n11)
  algorithm(method, algorithms.ecdsaSha384)
  if (only(reference, 'URI') !== '') throw refuse('gpu/rim-form', 'signature of the RIM is not over the whole RIM')
  const [transforms, digestMethod, digest] = sequence(reference, 'Transforms', 'DigestMethod', 'DigestValue') as Three
  const [first, second] = sequence(transforms, 'Transform', 'Transform') as Three
  algorithm(first, algorithms.enveloped)
  algorithm(second, algorithms.c14n11)
  algorithm(digestMethod, algorithms.sha384)
  for (const one of [canonical, method, first, second, digestMethod]) sequence(one)
  const [data] = sequence(keyInfo, 'X509Data') as Three
  const certificates = elementsOf(data)
  return {
    element,
    signedInfo,
    value: bytesOf(value),
    digest: bytesOf(digest),
    certificates: sequence(data, ...certificates.map(() => 'X509Certificate')).map(bytesOf),
  }
}
type Three = readonly [XmlElement, XmlElement, XmlElement]

/** The document without its signature is the one that the signature is about. @throws gpu/rim-digest */
export function verifyDigest(root: XmlElement, { element, digest }: EnvelopedSignature): void {
  if (!equal(sha384(canonicalXml(root, element)), digest))
    throw refuse('gpu/rim-digest', 'contents of the RIM are not those that were signed')
}

/** The key in `spki` signed what the signature is about. @throws gpu/rim-signature */
export async function verifySignedInfo({ signedInfo, value }: EnvelopedSignature, spki: Uint8Array): Promise<void> {
  try {
    await verifySpkiSignature('ES384', spki, canonicalXml(signedInfo), value, 'RIM')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('gpu/rim-signature', 'RIM was not signed by the first of its certificates', cause)
  }
}
