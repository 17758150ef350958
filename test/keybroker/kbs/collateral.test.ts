import { expect, test } from 'vitest'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { kbsVerifier } from '#cli/kbs-verifier.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testRootDigest, testTime } from '#test/fakes/platform.js'
import { mintedReportData } from '#test/fakes/snp.js'
import { amdDocuments } from '#test/fakes/vendors.js'
import { held } from './held.js'

async function verifierWith(items: readonly CollateralItem[]) {
  const { collateral, askers } = await held(items)
  const anchors = async () => ({ simulatedRoots: [testRootDigest] })
  return { verify: kbsVerifier({ anchors, collateral, referenceValues: null, tenantClass: 'development' }), askers }
}

test('evidence without its certificates is completed from what is held, for a stranger, and kept complete', async () => {
  const { items, evidence: whole } = await amdDocuments()
  const { verify, askers } = await verifierWith(items)
  const sent = { tee: 'snp', report: fromBase64(whole.report), certificates: [] }
  const { evidence, result } = await verify(sent as never, { reportData: mintedReportData, hostData: null }, testTime)
  expect(evidence).toEqual(whole)
  expect(result.platform).toBe('simulated')
  expect(askers).toEqual([{ kind: 'stranger' }])
})

test('evidence whose certificates are not held is refused', async () => {
  const { evidence: whole } = await amdDocuments()
  const { verify } = await verifierWith([])
  const sent = { tee: 'snp', report: fromBase64(whole.report), certificates: [] }
  const refused = verify(sent as never, { reportData: mintedReportData, hostData: null }, testTime)
  expect(await codeOfPromise(refused)).toBe('kbs/collateral')
})
