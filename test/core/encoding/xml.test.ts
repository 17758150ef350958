import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { parseXml, type XmlElement } from '#core/encoding/xml.js'
import { canonicalXml } from '#core/encoding/xml-canonical.js'
import { xmlAttributesMax, xmlDepthMax, xmlElementsMax, xmlNamespacesMax, xmlSizeMax } from '#core/limits.js'
import { codeOf } from '../../fakes/code-of.js'

const canonical = (text: string) => fromUtf8(canonicalXml(parseXml(utf8(text))))
const code = (text: string) => codeOf(() => parseXml(utf8(text)))

test('reads elements, attributes, namespaces and text', () => {
  const root = parseXml(
    utf8('<?xml version="1.0" encoding="UTF-8"?>\n<a xmlns="n:0" xmlns:p="n:1" x="1" p:y=\'2"\'>t&lt;<p:b/> </a>\n'),
  )
  expect(root).toMatchObject({ prefix: '', local: 'a', namespace: 'n:0' })
  expect(root.attributes).toEqual([
    { prefix: '', local: 'x', namespace: '', value: '1' },
    { prefix: 'p', local: 'y', namespace: 'n:1', value: '2"' },
  ])
  expect(root.children).toEqual(['t<', expect.objectContaining({ local: 'b', namespace: 'n:1', children: [] }), ' '])
})

const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth)
const declarations = (count: number) => Array.from({ length: count }, (_, i) => ` xmlns:p${i}="n"`).join('')

describe('refuses', () => {
  test.each([
    ['xml/form', 'nothing', ''],
    ['xml/form', 'text alone', 'a'],
    ['xml/form', 'text before the root', 'a<a/>'],
    ['xml/form', 'text after the root', '<a/>a'],
    ['xml/form', 'two roots', '<a/><a/>'],
    ['xml/form', 'an element that does not end', '<a>'],
    ['xml/form', 'an end tag of another element', '<a></b>'],
    ['xml/form', 'an end tag of another prefix', '<p:a xmlns:p="n"></a>'],
    ['xml/form', 'an end tag alone', '</a>'],
    ['xml/form', 'a start tag that does not end', '<a x="1"'],
    ['xml/form', 'an attribute without quotes', '<a x=1/>'],
    ['xml/form', 'attributes without space between', '<a x="1"y="2"/>'],
    ['xml/form', 'a line end in an attribute', '<a x="1\n2"/>'],
    ['xml/form', 'a smaller-than sign in an attribute', '<a x="<"/>'],
    ['xml/form', 'a name that is not ASCII', '<ä/>'],
    ['xml/form', 'a name of two colons', '<a:b:c xmlns:a="n"/>'],
    ['xml/form', 'a carriage return', '<a>\r\n</a>'],
    ['xml/form', 'a control character', '<a>\u0001</a>'],
    ['xml/form', 'the end of a CDATA section', '<a>]]></a>'],
    ['xml/forbidden', 'a document type', '<!DOCTYPE a [<!ENTITY b "c">]><a/>'],
    ['xml/forbidden', 'an entity of its own', '<a>&b;</a>'],
    ['xml/forbidden', 'a character reference', '<a>&#65;</a>'],
    ['xml/forbidden', 'an ampersand alone', '<a x="&"/>'],
    ['xml/forbidden', 'a comment', '<a><!-- b --></a>'],
    ['xml/forbidden', 'a comment after the root', '<a/><!-- b -->'],
    ['xml/forbidden', 'a processing instruction', '<a><?b c?></a>'],
    ['xml/forbidden', 'a CDATA section', '<a><![CDATA[b]]></a>'],
    ['xml/forbidden', 'XML 1.1', '<?xml version="1.1"?><a/>'],
    ['xml/forbidden', 'another encoding', '<?xml version="1.0" encoding="UTF-16"?><a/>'],
    ['xml/duplicate-attribute', 'an attribute twice', '<a x="1" x="2"/>'],
    ['xml/duplicate-attribute', 'an attribute twice by namespace', '<a xmlns:p="n" xmlns:q="n" p:x="1" q:x="2"/>'],
    ['xml/duplicate-attribute', 'a namespace declared twice', '<a xmlns="n" xmlns="m"/>'],
    ['xml/namespace', 'a prefix that nobody declared', '<p:a/>'],
    ['xml/namespace', 'an attribute of such a prefix', '<a p:x="1"/>'],
    ['xml/namespace', 'a prefix after its element', '<a><b xmlns:p="n"/><p:c/></a>'],
    ['xml/namespace', "an attribute of XML's own", '<a xml:space="preserve"/>'],
    ['xml/namespace', 'a namespace taken back', '<a xmlns="n"><b xmlns=""/></a>'],
    ['xml/namespace', 'the prefix xmlns', '<a xmlns:xmlns="n"/>'],
    ['xml/namespace', 'the prefix xml', '<a xmlns:xml="n"/>'],
    ['xml/namespace', 'a namespace that is not ASCII', '<a xmlns:p="é"/>'],
    ['xml/namespace', 'a namespace with a space', '<a xmlns="n m"/>'],
    ['xml/namespace', "XML's own namespace", '<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>'],
    ['xml/limit', 'too deep a nesting', nested(xmlDepthMax + 1)],
    ['xml/limit', 'too many elements', `<a>${'<b/>'.repeat(xmlElementsMax)}</a>`],
    [
      'xml/limit',
      'too many attributes',
      `<a${Array.from({ length: xmlAttributesMax + 1 }, (_, i) => ` x${i}=""`).join('')}/>`,
    ],
    ['xml/limit', 'too many namespaces', `<a${declarations(xmlNamespacesMax + 1)}/>`],
    ['xml/size', 'too long a document', `<a>${' '.repeat(xmlSizeMax)}</a>`],
  ])('%s: %s', (wanted, _, text) => {
    expect(code(text)).toBe(wanted)
  })

  test('xml/form: bytes that are no UTF-8', () => {
    expect(codeOf(() => parseXml(concat(utf8('<a>'), new Uint8Array([0xff]), utf8('</a>'))))).toBe('xml/form')
  })

  test('but not what is at a limit', () => {
    expect(code(nested(xmlDepthMax))).toBe('ok')
    expect(code(`<a${declarations(xmlNamespacesMax)}/>`)).toBe('ok')
  })
})

describe('canonical form', () => {
  test.each([
    ['end tags and order of attributes', '<a  b="2"\n a="1" />', '<a a="1" b="2"></a>'],
    [
      'namespaces before attributes, attributes by namespace',
      '<a z="0" p:x="1" q:a="2" xmlns:q="n:1" xmlns:p="n:2" xmlns="n:0"/>',
      '<a xmlns="n:0" xmlns:p="n:2" xmlns:q="n:1" z="0" q:a="2" p:x="1"></a>',
    ],
    [
      'a namespace once, and again where it changes',
      '<a xmlns="n"><b xmlns="n"><c xmlns="m"/></b></a>',
      '<a xmlns="n"><b><c xmlns="m"></c></b></a>',
    ],
    ['a namespace that is not used', '<a><b xmlns:p="n"/></a>', '<a><b xmlns:p="n"></b></a>'],
    [
      'references',
      `<a x='&lt;&amp;&quot;&apos;>'>&lt;&gt;&amp;"&apos;</a>`,
      `<a x="&lt;&amp;&quot;'>">&lt;&gt;&amp;"'</a>`,
    ],
    ['nothing beside the root', '<?xml version="1.0"?>\n\n<a>\n </a>\n', '<a>\n </a>'],
  ])('%s', (_, text, wanted) => {
    expect(canonical(text)).toBe(wanted)
  })

  test('of a part has every namespace in scope, and leaves out what is asked for', () => {
    const root = parseXml(utf8('<a xmlns="n" xmlns:p="m"><b>1<c/>2</b></a>'))
    const part = root.children[0] as XmlElement
    expect(fromUtf8(canonicalXml(part))).toBe('<b xmlns="n" xmlns:p="m">1<c></c>2</b>')
    expect(fromUtf8(canonicalXml(part, part.children[1] as XmlElement))).toBe('<b xmlns="n" xmlns:p="m">12</b>')
  })
})

const name = fc.constantFrom('a', 'b', 'c-d', 'E.f')
const content = fc.string({ unit: fc.constantFrom('x', ' ', '\n', '&amp;', '&lt;', 'ü', '"'), maxLength: 6 })
const value = fc.string({ unit: fc.constantFrom('x', ' ', '&amp;', '&quot;', 'ü', '>'), maxLength: 6 })
const { element } = fc.letrec<{ element: string }>((tie) => ({
  element: fc
    .record({
      name,
      attributes: fc.uniqueArray(fc.tuple(name, value), { selector: ([one]) => one, maxLength: 3 }),
      space: fc.constantFrom('', ' xmlns="n:0"', ' xmlns="n:1" xmlns:p="n:2"'),
      inner: fc.array(fc.oneof({ depthSize: 'small' }, content, tie('element')), { maxLength: 3 }),
    })
    .map(({ name, attributes, space, inner }) => {
      const spelled = attributes.map(([one, text]) => ` ${one}="${text}"`).join('')
      return `<${name}${space}${spelled}>${inner.join('')}</${name}>`
    }),
}))

describe('properties', () => {
  test('the canonical form of the canonical form is itself', () => {
    fc.assert(
      fc.property(element, (text) => {
        fc.pre(code(text) === 'ok')
        expect(canonical(canonical(text))).toBe(canonical(text))
      }),
      { numRuns: 500 },
    )
  })

  test('on any bytes only a Failure is thrown', () => {
    const markup = fc.string({ unit: fc.constantFrom(...'<>/="\' &;!?-[]:axmlns\n'), maxLength: 60 }).map(utf8)
    const good = '<a xmlns="n:0" xmlns:p="n:1"><p:b p:c="&lt;">d</p:b></a>'
    const near = fc
      .record({ at: fc.nat(good.length), drop: fc.nat(4), put: fc.string({ maxLength: 4 }) })
      .map(({ at, drop, put }) => utf8(good.slice(0, at) + put + good.slice(at + drop)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), markup, near), (bytes) => {
        codeOf(() => canonicalXml(parseXml(bytes)))
      }),
      { numRuns: 2000 },
    )
  })
})
