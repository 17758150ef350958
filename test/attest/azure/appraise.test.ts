import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { azureReportData, mintAzureEvidence } from '../../fakes/azure.js'
import { dcapRootDigest } from '../../fakes/dcap.js'
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
