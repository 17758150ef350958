import { beforeAll, describe, expect, test } from 'vitest'
import type { Beside } from '#attest/reader/beside.js'
import { judgeForReader, type ReaderInput } from '#attest/reader/judge.js'
import { readValues } from '#attest/reader/values.js'
import { concat, fromBase64, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import type { Binding } from '#core/wire/binding.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { codeOfPromise } from '../fakes/code-of.js'
import { testReferenceValues, testRootDigest, testTime } from '../fakes/platform.js'
import { mintEvidence } from '../fakes/snp.js'

let evidence: SnpEvidence
let input: ReaderInput
const beside: Beside = { given: async () => [], shipped: async () => [], takeApart: null }
beforeAll(async () => {
  evidence = await mintEvidence()
  input = {
    bytes: utf8(JSON.stringify(evidence)),
    beside,
    hasBeside: false,
    typed: {},
    binding: null,
    values: { values: testReferenceValues(), provenance: null, simulatedRoots: [] },
    trusted: { simulatedRoots: [testRootDigest] },
    now: testTime,
  }
})
const judge = (more: Partial<ReaderInput> = {}) => judgeForReader({ ...input, ...more })
/** The first check that failed, or the status: simulated evidence is `warning` at best. */
const verdict = async (more: Partial<ReaderInput>) => {
  const judged = await judge(more)
  if ('refused' in judged) return judged.refused.code
  return (
    judged.result.failure ?? judged.result.steps.find(({ verdict: one }) => one === 'fail')?.id ?? judged.result.status
  )
}
const typed = (one: ReaderInput['typed']) => codeOfPromise(judge({ typed: one }))

describe('what a reader types beside evidence', () => {
  test('is a time in UTC or in seconds, and nothing that only begins like one', async () => {
    const at = new Date(testTime * 1000).toISOString()
    for (const form of [at, at.replace('.000', ''), String(testTime)])
      expect(await verdict({ typed: { at: form }, now: 1 })).toBe('warning')
    for (const form of ['', 'yesterday', '1e9', '-1', '2026-02-30T00:00:00Z', `${at}Z`, at.replace('Z', '+00:00')])
      expect(await typed({ at: form }), form).toBe('usage/time')
  })

  test('is hex, of 64 bytes for report data and 32 for a root, in either case', async () => {
    const carried = toHex(fromBase64(evidence.report).subarray(0x50, 0x90))
    for (const form of [carried, carried.toUpperCase(), `0x${carried}`])
      expect(await verdict({ typed: { reportData: form } })).toBe('warning')
    const other = `${carried.slice(0, -2)}${carried.endsWith('00') ? '01' : '00'}`
    expect(await verdict({ typed: { reportData: other } })).toBe('report-data')
    for (const reportData of ['', 'zz', carried.slice(2), `${carried}00`, ` ${carried}`])
      expect(await typed({ reportData }), reportData).toBe('usage/hex')
    for (const nonce of ['', 'abc', 'g0']) expect(await typed({ nonce }), nonce).toBe('usage/hex')
    for (const root of ['', 'ab', `${'ab'.repeat(32)}00`])
      expect(await typed({ simulatedRoot: [testRootDigest, root] }), root).toBe('usage/hex')
  })

  test('says once what the evidence has to carry, and never pads a nonce to report data', async () => {
    const [nonce, reportData] = ['ab'.repeat(32), 'cd'.repeat(64)]
    const binding: Binding = {
      purpose: 'claviger.qualify.v1',
      audience: 'client',
      model: `${'A'.repeat(43)}/m`,
      nonce: 'A'.repeat(43),
      keyset_digest: 'ab'.repeat(32),
      devices_digest: 'ab'.repeat(32),
      config_digest: 'ab'.repeat(32),
      trust_digest: 'ab'.repeat(32),
    }
    expect(await typed({ nonce, reportData })).toBe('usage/binding')
    for (const one of [{ nonce }, { reportData }])
      expect(await codeOfPromise(judge({ typed: one, binding }))).toBe('usage/binding')
    expect(await typed({ nonce })).toBe('usage/binding')
  })
})

describe('files', () => {
  test('a raw report without the documents that it lacks is not judged: the way to give them is said', async () => {
    const bytes = fromBase64(evidence.report)
    const failure = await judge({ bytes }).then(
      () => null,
      (error: unknown) => error,
    )
    expect(failure).toMatchObject({
      code: 'usage/collateral',
      detail: { hint: expect.stringContaining('--collateral') },
    })
    // Whoever named a folder, if an empty one, has done what that hint says.
    expect(await codeOfPromise(judge({ bytes, hasBeside: true }))).toBe('evidence/incomplete')
  })

  test('a signed document counts under a trust file alone, and values stand beside what needs them and nothing else', async () => {
    const values = utf8(JSON.stringify(testReferenceValues()))
    const set = utf8(JSON.stringify({ payloadType: 'x', payload: '', signatures: [] }))
    const statement = utf8(JSON.stringify({ payloadType: 'application/vnd.in-toto+json', payload: '', signatures: [] }))
    const corim = concat(fromHex('d284'), new Uint8Array(8))
    const none = async () => []
    const code = (reference: Uint8Array | null, file: Uint8Array | null, publishers: typeof none | null) =>
      codeOfPromise(readValues({ reference, values: file }, publishers, testTime))
    for (const signed of [set, statement, corim]) expect(await code(signed, values, null)).toBe('usage/reference-trust')
    for (const signed of [statement, corim]) expect(await code(signed, null, none)).toBe('usage/reference-values')
    expect(await code(values, values, none)).toBe('usage/reference-values')
    expect(await code(null, values, none)).toBe('usage/reference-values')
    expect(await code(values, null, null)).toBe('ok')
    expect((await readValues({ reference: values, values: null }, null, testTime)).values).toEqual(
      testReferenceValues(),
    )
  })
})
