import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { azureSnp, azureTdx } from '#attest/azure/steps.js'
import { ccaSteps } from '#attest/cca/steps.js'
import { fixes } from '#attest/fixes.js'
import { gpuSteps } from '#attest/gpu/steps.js'
import { nitroSteps } from '#attest/nitro/steps.js'
import { fromBase64Url, fromHex, fromUtf8, toBase64, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { earPayloadShape } from '#core/wire/ear.js'
import { anyEvidenceShape, evidenceShape } from '#core/wire/evidence.js'
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

test('the example of Azure evidence is the vector with its strings cut, and the reference values are some', () => {
  const [evidence, values] = examples('evidence-azure.md')
  expect(referenceValuesShape(values, '')).toEqual(values)
  const folder = join(vectors, 'azure/two-pcrs-quoted')
  const { files } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { files: Record<string, string> }
  const bytes = (role: string) => new Uint8Array(readFileSync(join(folder, files[role]!)))
  const [vek] = parsePem(fromUtf8(bytes('vcek')), 'CERTIFICATE', 1)
  const [ask, ark] = parsePem(fromUtf8(bytes('certChain')), 'CERTIFICATE', 2)
  const cut = (value: Uint8Array) => `${toBase64(value).slice(0, 48)}…`
  const pcrs = parseJson(bytes('pcrs')) as { readonly [index: string]: string }
  expect(evidence).toEqual({
    kind: 'azure-snp',
    hclReport: cut(bytes('hclReport')),
    tpmQuote: cut(bytes('tpmQuoteMessage')),
    tpmSignature: cut(bytes('tpmQuoteSignature')),
    pcrs: Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [index, toBase64(fromHex(value))])),
    vek: cut(vek!),
    ask: cut(ask!),
    ark: cut(ark!),
    crl: cut(bytes('crl')),
  })
})

test('the example of composite evidence is the vector with its strings cut', () => {
  const [evidence] = examples('evidence-composite.md')
  const folder = join(vectors, 'composite/machine-and-device')
  const json = (name: string) => parseJson(new Uint8Array(readFileSync(join(folder, name))))
  const cut = (value: Json): Json => {
    if (typeof value === 'string') return value.length > 48 ? `${value.slice(0, 48)}…` : value
    if (Array.isArray(value)) return value.map(cut)
    return Object.fromEntries(Object.entries(value as object).map(([name, member]) => [name, cut(member as Json)]))
  }
  const whole = { kind: 'composite', cpu: json('cpu.json'), devices: json('devices.json') }
  expect(evidence).toEqual(cut(whole))
  expect(evidenceShape(whole, '')).toEqual(whole)
})

test('evidence-azure.md lists the steps of a vTPM in order, and every code', () => {
  const page = file('docs/spec/evidence-azure.md')
  const list = page.slice(page.indexOf('## Steps'), page.indexOf('## Reference'))
  const listed = [...list.matchAll(/^(?:\d+\.| {2}) `(azure\/[^`]+)`/gm)].map((found) => found[1]!)
  const ids = [...azureSnp.steps, ...azureTdx.steps].map((step) => step.id).filter((id) => id.startsWith('azure/'))
  expect(new Set(listed)).toEqual(new Set(ids))
  const codes = Object.keys(fixes).filter((code) => code.startsWith('azure/'))
  expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([])
})

test('the example of a CCA token is the good vector with its strings cut, and the reference values are some', () => {
  const [evidence, values] = examples('evidence-cca.md')
  const token = toBase64(new Uint8Array(readFileSync(join(vectors, 'cca/good/token.cbor'))))
  const [key] = parsePem(readFileSync(join(vectors, 'cca/good/cpak-pub.pem'), 'utf8'), 'PUBLIC KEY', 1)
  const whole = { kind: 'cca', token, platformKey: toBase64(key!) }
  expect(evidenceShape(whole, '')).toEqual(whole)
  const cut = (text: string) => `${text.slice(0, 48)}…`
  expect(evidence).toEqual({ ...whole, token: cut(token), platformKey: cut(whole.platformKey) })
  expect(referenceValuesShape(values, '')).toEqual(values)
})

/** The evidence that the files of a minted case of devices hold. */
function gpuEvidence(name: string): Json {
  const folder = join(vectors, 'gpu', name)
  const { files } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { files: Record<string, string> }
  const bytes = (role: string) => new Uint8Array(readFileSync(join(folder, files[role]!)))
  return {
    kind: 'gpu',
    devices: [
      {
        report: toBase64(bytes('report')),
        chain: parsePem(fromUtf8(bytes('certChain')), 'CERTIFICATE', 5).map(toBase64),
      },
    ],
    rims: [
      { id: 'NV_GPU_DRIVER_GH100_580.10.01', rim: toBase64(bytes('driverRim')) },
      { id: 'NV_GPU_VBIOS_G520_0200_885_9600A50001', rim: toBase64(bytes('vbiosRim')) },
    ],
    ocsp: Object.keys(files)
      .filter((role) => role.startsWith('ocsp'))
      .map((role) => toBase64(bytes(role))),
  }
}

test('the example of devices is the vector with its strings cut, and the reference values are some', () => {
  const [evidence, values] = examples('evidence-gpu.md')
  const whole = gpuEvidence('all-answers-good')
  expect(anyEvidenceShape(whole, '')).toEqual(whole)
  const cut = (value: Json): Json => {
    if (typeof value === 'string') return value.length > 60 ? `${value.slice(0, 24)}…` : value
    if (Array.isArray(value)) return value.map(cut)
    return Object.fromEntries(Object.entries(value as object).map(([name, one]) => [name, cut(one)]))
  }
  expect(evidence).toEqual(cut(whole))
  expect(referenceValuesShape(values, '')).toEqual(values)
})

test.each([
  ['evidence-gpu.md', gpuSteps, 'gpu/'],
  ['evidence-gpu.md', gpuSteps, 'ocsp/'],
  ['evidence-nitro.md', nitroSteps, 'nitro/'],
  ['evidence-cca.md', ccaSteps, 'cca/'],
] as const)('%s lists the steps in order, and every code', (name, steps, area) => {
  const page = file(`docs/spec/${name}`)
  const listed = [...page.matchAll(/^\d+\. `([^`]+)`/gm)].map((found) => found[1]!)
  expect(listed).toEqual(steps.map((step) => step.id))
  const codes = Object.keys(fixes).filter((code) => code.startsWith(area))
  expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([])
})
