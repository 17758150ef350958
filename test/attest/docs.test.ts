import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fixes } from '#attest/fixes.js'
import { nitroSteps } from '#attest/nitro/steps.js'
import { fromBase64Url, toBase64, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { earPayloadShape } from '#core/wire/ear.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { mintDcapEvidence } from '../fakes/dcap.js'

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const vectors = join(import.meta.dirname, '../vectors')
const examples = (name: string) =>
  [...file(`docs/spec/${name}`).matchAll(/```json\n(.*?)```/gs)].map((found) => parseJson(utf8(found[1]!)))

test('the example of reference values is one, and the evidence is the vector with its strings cut', async () => {
  const minted = evidenceShape((await mintDcapEvidence()) as unknown as Json, '')
  const [evidence, values, tdx, dcapValues] = examples('evidence.md')
  expect(referenceValuesShape(values, '')).toEqual(values)
  expect(referenceValuesShape(dcapValues, '')).toEqual(dcapValues)
  expect(Object.keys(tdx as object)).toEqual(Object.keys(minted))
  const { good } = JSON.parse(file('test/vectors/evidence/cases.json')).evidence as { good: Record<string, string> }
  const cut = Object.fromEntries(
    Object.entries(good).map(([name, text]) => [name, name === 'kind' ? text : `${text.slice(0, 48)}…`]),
  )
  expect(evidence).toEqual(cut)
})

test('the example of an EAR is the first vector', () => {
  const [example] = examples('ear.md')
  expect(earPayloadShape(example, '')).toEqual(example)
  const token = JSON.parse(file('test/vectors/ear/cases.json'))[0].token as string
  expect(canonicalJson(example)).toEqual(fromBase64Url(token.split('.')[1]!))
})

test('the example of a Nitro document is the good vector with its string cut, and the reference values are some', () => {
  const [evidence, values] = examples('evidence-nitro.md')
  const document = toBase64(new Uint8Array(readFileSync(join(vectors, 'nitro/good/document.cbor'))))
  expect(evidence).toEqual({ kind: 'nitro', document: `${document.slice(0, 48)}…` })
  expect(evidenceShape({ kind: 'nitro', document }, '')).toEqual({ kind: 'nitro', document })
  expect(referenceValuesShape(values, '')).toEqual(values)
})

test.each([['evidence-nitro.md', nitroSteps, 'nitro/']] as const)(
  '%s lists the steps in order, and every code',
  (name, steps, area) => {
    const page = file(`docs/spec/${name}`)
    const listed = [...page.matchAll(/^\d+\. `([^`]+)`/gm)].map((found) => found[1]!)
    expect(listed).toEqual(steps.map((step) => step.id))
    const codes = Object.keys(fixes).filter((code) => code.startsWith(area))
    expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([])
  },
)
