import { utf8 } from '#core/bytes/bytes.js'
import type { XmlAttribute, XmlElement } from '#core/encoding/xml.js'

/**
 * The canonical bytes of an element and all in it, but for one element that may be left out. Of a root this is the
 * canonical document, since parseXml accepts nothing beside it; of another element all namespaces in scope come along.
 *
 * trusts  that parseXml read it: no comments, no attributes of XML's own, no tab or line end in an attribute
 * source  W3C Canonical XML 1.1, "Processing Model", "Document Order"
 */
export function canonicalXml(element: XmlElement, without?: XmlElement): Uint8Array {
  const out: string[] = []
  write(element, new Map(), without, out)
  return utf8(out.join(''))
}

const textEscapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const valueEscapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '"': '&quot;' }
const escapeText = (text: string) => text.replace(/[&<>]/g, (one) => textEscapes[one]!)
const escapeValue = (text: string) => text.replace(/[&<"]/g, (one) => valueEscapes[one]!)

/** Names are ASCII, so the order of UTF-16 units is that of code points. */
const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
const byName = (a: XmlAttribute, b: XmlAttribute) => order(a.namespace, b.namespace) || order(a.local, b.local)
const nameOf = ({ prefix, local }: { readonly prefix: string; readonly local: string }) =>
  prefix === '' ? local : `${prefix}:${local}`

/** Depth is bounded by parseXml. `rendered`: what the parent declared, so that nothing is declared twice. */
function write(
  element: XmlElement,
  rendered: ReadonlyMap<string, string>,
  without: XmlElement | undefined,
  out: string[],
): void {
  const name = nameOf(element)
  out.push('<', name)
  if (element.scope !== rendered) {
    const fresh = [...element.scope].filter(([prefix, namespace]) => rendered.get(prefix) !== namespace)
    for (const [prefix, namespace] of fresh.sort(([a], [b]) => order(a, b)))
      out.push(' ', prefix === '' ? 'xmlns' : `xmlns:${prefix}`, '="', escapeValue(namespace), '"')
  }
  const sorted = element.attributes.length < 2 ? element.attributes : element.attributes.toSorted(byName)
  for (const one of sorted) out.push(' ', nameOf(one), '="', escapeValue(one.value), '"')
  out.push('>')
  for (const child of element.children) {
    if (typeof child === 'string') out.push(escapeText(child))
    else if (child !== without) write(child, element.scope, without, out)
  }
  out.push('</', name, '>')
}
