import { type ExplainedField, type ExplainedPart, field } from '#attest/explain/part.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parseXml, type XmlElement } from '#core/encoding/xml.js'
import { isFailure } from '#core/failure.js'

const fieldsMax = 3000
const certificatesMax = 16
const valueMax = 2000
const headSize = 4096

/** A RIM names the element of its document somewhere near the beginning. */
function isRim(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte > 0x20 && byte !== 0xef && byte !== 0xbb && byte !== 0xbf)
  return first === 0x3c && String.fromCharCode(...bytes.subarray(0, headSize)).includes('SoftwareIdentity')
}

/** The attributes and texts of a RIM by their path, and the certificates in it, base64; null for bytes that are none. */
export function explainRim(
  bytes: Uint8Array,
): { readonly part: ExplainedPart; readonly certificates: readonly string[] } | null {
  if (!isRim(bytes)) return null
  const fields: ExplainedField[] = []
  const certificates: string[] = []
  try {
    const root = parseXml(bytes)
    walk(root, root.local, { fields, certificates })
  } catch (error) {
    if (!isFailure(error)) throw error
    fields.push(field('(not read)', `${error.message} (${error.code})`))
  }
  fields.push(field('(whole)', `SHA-256 ${toHex(sha256(bytes))}`, 0, bytes.length))
  const document = 'ISO/IEC 19770-2:2015 SWID; TCG Reference Integrity Manifest Information Model 1.01'
  return { part: { title: 'Reference integrity manifest', document, fields }, certificates }
}

interface Out {
  readonly fields: ExplainedField[]
  readonly certificates: string[]
}

/** An element and what is in it. One without any, as a measurement, is one line with all its attributes. */
function walk(element: XmlElement, path: string, out: Out): void {
  const { fields, certificates } = out
  if (fields.length === fieldsMax) fields.push(field('(more)', `only the first ${fieldsMax} values are shown`))
  if (fields.length > fieldsMax) return
  const inner = element.children.filter((child): child is XmlElement => typeof child !== 'string')
  const attributes = element.attributes.map(({ local, value }) => `${local}=${value}`).join(' ')
  if (attributes !== '') fields.push(field(path, attributes.slice(0, valueMax)))
  const text = element.children
    .filter((child) => typeof child === 'string')
    .join('')
    .replace(/\s+/g, ' ')
    .trim()
  const isCertificate = element.local === 'X509Certificate' && certificates.length < certificatesMax
  if (isCertificate) certificates.push(text.replaceAll(' ', ''))
  else if (text !== '') fields.push(field(path, text.slice(0, valueMax)))
  const counts = new Map<string, number>()
  for (const child of inner) {
    const at = counts.get(child.local) ?? 0
    counts.set(child.local, at + 1)
    walk(child, `${path}.${child.local}${at === 0 ? '' : `[${at}]`}`, out)
  }
}
