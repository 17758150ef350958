import { expect, test } from 'vitest'
import { Collection } from '#attest/collateral/collect.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { completeEvidence } from '#attest/endorsements/complete.js'
import { kbsVerifier } from '#cli/kbs-verifier.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testRootDigest, testTime } from '#test/fakes/platform.js'
import { mintedReportData } from '#test/fakes/snp.js'
import { amdDocuments } from '#test/fakes/vendors.js'

/** A verifier of the KBS route beside documents that are held; `askers` are those who had something completed. */
async function verifierWith(held: Awaited<ReturnType<typeof amdDocuments>>['items']) {
  const simulatedRoots = [testRootDigest]
  const collection = await Collection.open(held, { simulatedRoots, at: testTime, fetchItem: null })
  const askers: unknown[] = []
  const collateral: Pick<CollateralSupply, 'complete'> = {
    async complete(document, context, asker) {
      askers.push(asker)
      const lookup = async (...[name, root]: Parameters<Collection['find']>) => collection.find(name, root)
      return { ...(await completeEvidence(document, lookup, context)), unavailable: [] }
    },
  }
  const anchors = async () => ({ simulatedRoots })
  const verify = kbsVerifier({ anchors, collateral, referenceValues: null, tenantClass: 'development' })
  return { verify, askers }
}

test('evidence without its certificates is completed from what is held, for a stranger, and kept complete', async () => {
  const { items, evidence: whole } = await amdDocuments()
  const { verify, askers } = await verifierWith(items)
  const sent = { report: fromBase64(whole.report), certificates: [] }
  const { evidence, result } = await verify(sent as never, { reportData: mintedReportData, hostData: null }, testTime)
  expect(evidence).toEqual(whole)
  expect(result.platform).toBe('simulated')
  expect(askers).toEqual([{ kind: 'stranger' }])
})

test('evidence whose certificates are not held is refused', async () => {
  const { evidence: whole } = await amdDocuments()
  const { verify } = await verifierWith([])
  const sent = { report: fromBase64(whole.report), certificates: [] }
  const refused = verify(sent as never, { reportData: mintedReportData, hostData: null }, testTime)
  expect(await codeOfPromise(refused)).toBe('kbs/evidence')
})
