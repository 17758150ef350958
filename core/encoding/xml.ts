import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { xmlAttributesMax, xmlDepthMax, xmlElementsMax, xmlNamespacesMax, xmlSizeMax } from '#core/limits.js'

/** Failures of reading XML. */
export type XmlCode =
  | 'xml/size'
  | 'xml/form'
  /** a document type, processing instruction, comment, CDATA section, or a reference that is none of the five */
  | 'xml/forbidden'
  | 'xml/limit'
  | 'xml/duplicate-attribute'
  | 'xml/namespace'

export interface XmlAttribute {
  readonly prefix: string
  readonly local: string
  /** empty for an attribute without a prefix */
  readonly namespace: string
  readonly value: string
}

export interface XmlElement {
  readonly prefix: string
  readonly local: string
  readonly namespace: string
  /** without the declarations of namespaces */
  readonly attributes: readonly XmlAttribute[]
  /** prefix, empty for the default, to namespace: everything in scope */
  readonly scope: ReadonlyMap<string, string>
  /** text as it is meant, not as it is spelled */
  readonly children: readonly (XmlElement | string)[]
}

function refuse(code: XmlCode, message: string): Failure<XmlCode> {
  return new Failure<XmlCode>(code, message)
}

const name = '[A-Za-z_][A-Za-z0-9._-]{0,99}'
const qualified = `(?:(${name}):)?(${name})`
const space = '[ \\n\\t]'
const prolog = /<\?xml version="1\.0"(?: encoding="(?:UTF-8|utf-8)")?(?: standalone="(?:yes|no)")?\?>/y
const open = new RegExp(`<${qualified}`, 'y')
const attribute = new RegExp(`${space}+${qualified}${space}*=${space}*(?:"([^"<]*)"|'([^'<]*)')`, 'y')
const openEnd = new RegExp(`${space}*(/?)>`, 'y')
const close = new RegExp(`</${qualified}${space}*>`, 'y')
const blank = new RegExp(`^${space}*$`)
/** No character that XML forbids, and no carriage return: there is one spelling of a line end. */
const forbiddenCharacter = /[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u
const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const xmlNamespace = 'http://www.w3.org/XML/1998/namespace'
const xmlnsNamespace = 'http://www.w3.org/2000/xmlns/'

/** An element that is still open. */
interface Building extends XmlElement {
  readonly children: (XmlElement | string)[]
}

/**
 * The root element of a document that uses little of XML: elements, attributes, namespaces, text, the five references by
 * name. What else there is, document types and entities of its own above all, is refused and not skipped.
 *
 * bytes   UTF-8, at most 256 KiB, 16 deep, 4,096 elements, 128 attributes and 32 namespaces each
 * throws  xml/size, xml/form, xml/forbidden, xml/limit, xml/duplicate-attribute, xml/namespace
 * source  W3C Extensible Markup Language 1.0, fifth edition; Namespaces in XML 1.0, third edition
 */
export function parseXml(bytes: Uint8Array): XmlElement {
  if (bytes.length > xmlSizeMax) throw refuse('xml/size', `document has ${bytes.length} bytes, at most ${xmlSizeMax}`)
  const text = readText(bytes)
  const match = (form: RegExp, at: number) => {
    form.lastIndex = at
    return form.exec(text)
  }
  const stack: Building[] = []
  let at = text.startsWith('<?') ? (match(prolog, 0)?.[0].length ?? refuseAt(text, 0)) : 0
  let elements = 0
  for (;;) {
    const next = text.indexOf('<', at)
    const between = text.slice(at, next < 0 ? text.length : next)
    const parent = stack.at(-1)
    if (parent && between !== '') parent.children.push(resolve(between, true))
    else if (!blank.test(between)) throw refuse('xml/form', 'document holds text outside its root element')
    if (next < 0) throw refuse('xml/form', 'document ends before its root element does')
    if (text[next + 1] === '/') {
      const found = match(close, next)
      if (!found || !parent || (found[1] ?? '') !== parent.prefix || found[2] !== parent.local)
        throw refuse('xml/form', `end tag at character ${next} closes no element`)
      at = next + found[0].length
      stack.pop()
      if (stack.length === 0) return ended(text, at, parent)
      continue
    }
    if (++elements > xmlElementsMax) throw refuse('xml/limit', `document has more than ${xmlElementsMax} elements`)
    const { element, end, empty } = readOpen(text, next, parent, match)
    parent?.children.push(element)
    at = end
    if (empty && !parent) return ended(text, at, element)
    if (!empty) stack.push(element)
    if (stack.length > xmlDepthMax) throw refuse('xml/limit', `document is deeper than ${xmlDepthMax}`)
  }
}

function readText(bytes: Uint8Array): string {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('xml/form', 'document is not UTF-8')
  }
  if (forbiddenCharacter.test(text)) throw refuse('xml/form', 'document holds a character that is not accepted')
  return text
}

function ended(text: string, at: number, root: XmlElement): XmlElement {
  const rest = text.slice(at)
  if (blank.test(rest)) return root
  throw refuse(/^[ \n\t]*<[!?]/.test(rest) ? 'xml/forbidden' : 'xml/form', 'document goes on after its root element')
}

function refuseAt(text: string, at: number): never {
  const markup = text[at + 1] === '!' || text[at + 1] === '?'
  throw refuse(markup ? 'xml/forbidden' : 'xml/form', `markup at character ${at} is not accepted`)
}

/** Text with the five references put in. */
function resolve(text: string, isText: boolean): string {
  if (isText && text.includes(']]>')) throw refuse('xml/form', 'text holds the end of a CDATA section')
  if (!isText && /[\t\n]/.test(text)) throw refuse('xml/form', 'attribute holds a line end or a tab')
  if (!text.includes('&')) return text
  return text.replace(/&([a-z]{2,4};)?/g, (_, reference: string | undefined) => {
    const found = reference && entities[reference.slice(0, -1)]
    if (!found) throw refuse('xml/forbidden', 'document holds a reference that is none of the five')
    return found
  })
}

interface Opened {
  readonly element: Building
  readonly end: number
  readonly empty: boolean
}
type Match = (form: RegExp, at: number) => RegExpExecArray | null

function readOpen(text: string, start: number, parent: XmlElement | undefined, match: Match): Opened {
  const tag = match(open, start)
  if (!tag) return refuseAt(text, start)
  let at = start + tag[0].length
  const plain: { readonly prefix: string; readonly local: string; readonly value: string }[] = []
  const declared: (readonly [string, string])[] = []
  for (let found = match(attribute, at); found; found = match(attribute, at)) {
    at += found[0].length
    const [, prefix = '', local = '', double, single] = found
    const value = resolve(double ?? single ?? '', false)
    if (prefix === 'xmlns') declared.push([local, value])
    else if (prefix === '' && local === 'xmlns') declared.push(['', value])
    else plain.push({ prefix, local, value })
    if (plain.length + declared.length > xmlAttributesMax)
      throw refuse('xml/limit', `element ${tag[2]} has more than ${xmlAttributesMax} attributes`)
  }
  const end = match(openEnd, at)
  if (!end) throw refuse('xml/form', `start tag of ${tag[2]} does not end`)
  const scope = scopeOf(parent?.scope, declared)
  const prefix = tag[1] ?? ''
  const namespace = scope.get(prefix)
  if (namespace === undefined && prefix !== '') throw refuse('xml/namespace', `prefix ${prefix} is not declared`)
  return {
    element: {
      prefix,
      local: tag[2]!,
      namespace: namespace ?? '',
      attributes: readAttributes(plain, scope),
      scope,
      children: [],
    },
    end: at + end[0].length,
    empty: end[1] === '/',
  }
}

const noScope: ReadonlyMap<string, string> = new Map()

function scopeOf(
  outer: ReadonlyMap<string, string> = noScope,
  declared: readonly (readonly [string, string])[],
): ReadonlyMap<string, string> {
  if (declared.length === 0) return outer
  const scope = new Map(outer)
  const seen = new Set<string>()
  for (const [prefix, namespace] of declared) {
    if (seen.has(prefix))
      throw refuse('xml/duplicate-attribute', `namespace of ${prefix || 'default'} is declared twice`)
    const reserved = namespace === xmlNamespace || namespace === xmlnsNamespace || namespace === ''
    if (reserved || prefix === 'xml' || prefix === 'xmlns' || /[^\u0021-\u007e]/.test(namespace))
      throw refuse('xml/namespace', `namespace of ${prefix || 'default'} is reserved, empty or not ASCII`)
    seen.add(prefix)
    scope.set(prefix, namespace)
  }
  // Every element that declares one copies them all.
  if (scope.size > xmlNamespacesMax)
    throw refuse('xml/limit', `more than ${xmlNamespacesMax} namespaces are in scope of one element`)
  return scope
}

/** Invariant: no two attributes have one name, by prefix or by namespace; none is of XML's own. */
function readAttributes(
  plain: readonly { readonly prefix: string; readonly local: string; readonly value: string }[],
  scope: ReadonlyMap<string, string>,
): readonly XmlAttribute[] {
  const seen = new Set<string>()
  return plain.map(({ prefix, local, value }) => {
    const namespace = prefix === '' ? '' : scope.get(prefix)
    if (namespace === undefined) throw refuse('xml/namespace', `prefix ${prefix} is not declared`)
    const key = `${namespace} ${local}`
    if (seen.has(key)) throw refuse('xml/duplicate-attribute', `attribute ${local} is there twice`)
    seen.add(key)
    return { prefix, local, namespace, value }
  })
}
