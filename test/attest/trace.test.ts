import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { fixes } from '#attest/fixes.js'
import { verifyEvidence } from '#attest/kinds.js'
import { catalogue } from '#attest/steps.js'
import type { TracedStep } from '#attest/trace.js'
import { recorder, tracedVerification } from '#attest/traced.js'
import { isFailure } from '#core/failure.js'
import type { MachineEvidence } from '#core/wire/evidence.js'
import { dcapReportData, dcapRootDigest, mintDcapEvidence } from '../fakes/dcap.js'
import { sgxCases, tdxCases } from '../fakes/dcap-cases.js'
import { testSgxValues, testTdxValues } from '../fakes/dcap-vectors.js'
import { testReferenceValues, testRootDigest, testTime } from '../fakes/platform.js'
import { mintEvidence, mintedReportData } from '../fakes/snp.js'
import { anchorsOf, snpCases, unverifiedSnpCases } from '../fakes/snp-cases.js'

const anchors = { simulatedRoots: [testRootDigest, dcapRootDigest] }
const input = {
  expectedReportData: mintedReportData,
  referenceValues: testReferenceValues(),
  tenantClass: 'development',
  at: testTime,
} as const
const of = (steps: readonly TracedStep[], id: string) => steps.find((step) => step.id === id)!

describe('the trace of a result', () => {
  test('has every step of the verification with what was found, then every comparison that was made', async () => {
    const result = await appraiseEvidence(await mintEvidence(), anchors, input)
    const { steps } = catalogue.snp
    expect(result.steps.slice(0, steps.length).map((step) => step.id)).toEqual(steps.map((step) => step.id))
    expect(result.steps.slice(steps.length).map((step) => step.id)).toEqual(result.checks.map((check) => check.id))
    for (const step of result.steps) {
      expect(step.verdict, step.id).toBe('pass')
      expect(step.found, step.id).not.toBe('')
      expect(step.code).toBe(null)
      expect(step.hint === '', step.id).toBe(!step.warning)
    }
    expect(result.steps.filter((step) => step.warning).map((step) => step.id)).toEqual(['platform'])
    expect(of(result.steps, 'snp/structure').found).toBe('version 5, 1184 bytes, signed by a VCEK')
  })

  test('says what was found of a quote', async () => {
    const referenceValues = { ...testTdxValues(), ...testSgxValues() }
    const dcap = { ...input, expectedReportData: dcapReportData, referenceValues }
    const tdx = await appraiseEvidence(await mintDcapEvidence(), anchors, dcap)
    expect(of(tdx.steps, 'tdx/tcb').found).toMatch(/^UpToDate \(platform UpToDate, /)
    expect(of(tdx.steps, 'tdx/event-log')).toMatchObject({ verdict: 'skip', hint: '' })
    expect(of(tdx.steps, 'tdx/event-log').found).toContain('without an event log')
    const sgx = await appraiseEvidence(await mintDcapEvidence({ tee: 'sgx' }), anchors, dcap)
    expect(of(sgx.steps, 'sgx/qe-identity').found).toMatch(/^QE, MRSIGNER [0-9a-f]{64}, ISVPRODID \d+, ISVSVN \d+$/)
  })

  test('names a revocation list that did not come along as a skip, and what fails after it is not taken for it', async () => {
    const evidence = { ...(await mintEvidence()), crl: null }
    expect(of((await appraiseEvidence(evidence, anchors, input)).steps, 'snp/crl')).toMatchObject({ verdict: 'skip' })
    const broken = await mintEvidence({ crl: null, afterSigning: (report) => report.fill(0, 0x90, 0xa0) })
    const { steps } = await appraiseEvidence(broken, anchors, input)
    expect(steps.find((step) => step.verdict === 'fail')?.id).toBe('snp/signature')
    expect(of(steps, 'snp/crl').found).toBe(catalogue.snp.steps.find(({ id }) => id === 'snp/crl')!.without)
  })

  test('of a failed verification: passed steps, the failed one with code and hint, then nothing but skips', async () => {
    for (const one of unverifiedSnpCases()) {
      const { steps } = await appraiseEvidence(await mintEvidence(one.broken), anchorsOf(one), input)
      const at = steps.findIndex((step) => step.verdict === 'fail')
      expect(steps[at], one.name).toMatchObject({ code: one.code, hint: fixes[one.code as keyof typeof fixes] })
      expect(steps[at]!.id.startsWith('snp/'), one.name).toBe(true)
      for (const step of steps.slice(0, at)) expect(['pass', 'skip'], one.name).toContain(step.verdict)
      const rest = steps.slice(at + 1)
      expect(new Set(rest.map((step) => `${step.verdict} ${step.found}`)), one.name).toEqual(
        new Set([`skip not reached: ${steps[at]!.id} failed`]),
      )
      expect(rest.map((step) => step.id)).toEqual(expect.arrayContaining(catalogue.snp.checks.map(({ id }) => id)))
    }
  })

  test.each([
    ['tdx', tdxCases],
    ['sgx', sgxCases],
  ])('of a failed %s quote: one failed step, by the code of the case', async (kind, cases) => {
    const failing = cases.filter(({ crypto, unknownRoot, floorAt }) => crypto === 'fail' && !unknownRoot && !floorAt)
    expect(failing.length).toBeGreaterThan(3)
    for (const one of failing) {
      const minted = await mintDcapEvidence({ tee: kind as 'tdx' | 'sgx', ...one.broken })
      const evidence = { eventLog: null, ...minted, kind } as MachineEvidence
      const { trace, told } = recorder()
      const withFloors = { ...anchors, collateralFloors: one.floors ?? [] }
      const failure = await verifyEvidence(evidence, withFloors, testTime, trace).catch((error: unknown) => error)
      if (!isFailure(failure)) throw new Error(`${one.name} verifies`)
      const failed = tracedVerification(evidence.kind, told, failure).filter((step) => step.verdict === 'fail')
      expect(failed, one.name).toMatchObject([{ code: one.code }])
      expect(failed[0]!.hint, one.name).toBe(fixes[one.code as keyof typeof fixes])
    }
  })

  test('of a refusal has the comparison that refuses, with the owner’s values', async () => {
    for (const one of snpCases.filter(({ crypto, code }) => crypto === 'pass' && code !== null)) {
      const referenceValues = one.values === null ? {} : { snp: { ...testReferenceValues().snp!, ...one.values } }
      const { steps, checks } = await appraiseEvidence(await mintEvidence(one.broken), anchorsOf(one), {
        ...input,
        expectedReportData: one.reportData ?? mintedReportData,
        referenceValues,
        tenantClass: one.tenantClass ?? 'development',
      })
      expect(of(steps, one.code!), one.name).toMatchObject({ verdict: 'fail', code: null })
      const check = checks.find(({ id }) => id === one.code)!
      expect(of(steps, one.code!)).toMatchObject({ expected: check.expected, found: check.found, hint: check.fix })
    }
  })

  test('a step of which nothing is told is a skip, and an id that no catalogue has is a bug', () => {
    const told = [{ id: 'snp/structure', found: 'x', verdict: 'pass' as const }]
    const steps = tracedVerification('snp', told, null)
    expect(steps.map((step) => step.verdict)).toEqual(['pass', ...Array(7).fill('skip')])
    expect(() => tracedVerification('snp', [{ id: 'snp/none', found: '', verdict: 'pass' }], null)).toThrow(/assertion/)
  })
})
