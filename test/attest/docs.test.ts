import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromBase64Url, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { earPayloadShape } from '#core/wire/ear.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { mintDcapEvidence } from '../fakes/dcap.js'

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
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
