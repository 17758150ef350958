import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { everyStepPassed, examineEvidence } from '#attest/examine.js'
import { azureReportData, mintAzureEvidence } from '../../fakes/azure.js'
import { dcapRootDigest } from '../../fakes/dcap.js'
import { fakeMachines } from '../../fakes/machines.js'
import { testRootDigest, testTime } from '../../fakes/platform.js'

describe('what a vTPM has to carry by a protocol that is not ours', () => {
  test.each(['snp', 'tdx'] as const)('is never nothing: an empty quote of %s does not answer it', async (hardware) => {
    const answered = async (extraData: Uint8Array, expectedExtraData: Uint8Array) => {
      const { checks } = await appraiseEvidence(
        await mintAzureEvidence({ hardware, extraData }),
        { simulatedRoots: [testRootDigest, dcapRootDigest] },
        {
          expectedReportData: azureReportData,
          expectedExtraData,
          referenceValues: {},
          tenantClass: 'development',
          at: testTime,
        },
      )
      return checks.find(({ id }) => id === 'report-data')?.status
    }
    const [nothing, nonce] = [new Uint8Array(), new Uint8Array(32).fill(9)]
    expect(await answered(nothing, nothing)).toBe('contraindicated')
    expect(await answered(nonce, nothing)).toBe('contraindicated')
    expect(await answered(nonce, nonce)).toBe('affirming')
  })
})

describe('evidence with all that its kind can bring', () => {
  test.each(['azure-snp', 'azure-tdx'] as const)(
    'of %s passes every step: none waits for what has no place',
    async (kind) => {
      const { attest, simulatedRoots, values } = fakeMachines[kind]
      const result = await examineEvidence(
        await attest(azureReportData),
        { simulatedRoots },
        {
          expectedReportData: azureReportData,
          expectedNonce: null,
          referenceValues: values,
          tenantClass: 'development',
          at: testTime,
        },
      )
      expect(result.steps.filter(({ verdict }) => verdict !== 'pass')).toEqual([])
      expect(result.steps.some(({ id }) => id === 'tdx/event-log')).toBe(false)
      expect([everyStepPassed(result), result.kind]).toEqual([true, kind])
    },
  )
})

test('a bare nonce that was compared is not left out: `skipped` says what the trace says', async () => {
  const { simulatedRoots, values } = fakeMachines['azure-snp']
  const nonce = new Uint8Array(32).fill(9)
  const evidence = await mintAzureEvidence({ extraData: nonce })
  const examined = (expectedNonce: Uint8Array | null) => {
    const asked = { expectedReportData: null, expectedNonce, referenceValues: values, at: testTime }
    return examineEvidence(evidence, { simulatedRoots }, { ...asked, tenantClass: 'development' })
  }
  const [none, good, other] = [await examined(null), await examined(nonce), await examined(new Uint8Array(32))]
  expect([none, good, other].map(({ skipped }) => skipped)).toEqual([['report-data'], [], []])
  expect([none, good, other].map(everyStepPassed)).toEqual([false, true, false])
  const verdicts = [none, good, other].map(({ steps }) => steps.find(({ id }) => id === 'report-data')?.verdict)
  expect(verdicts).toEqual(['skip', 'pass', 'fail'])
})
