import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { ccaSteps } from '#attest/cca/steps.js'
import { issueEar } from '#attest/ear/issue.js'
import type { AttestationResult } from '#attest/result.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { verifyEar } from '#core/wire/ear.js'
import { type AppraisedNode, attestedClaims } from '#policies/release/appraised.js'
import { type CcaBreakage, ccaKeyDigests, ccaReportData, mintCcaEvidence } from '../../fakes/cca.js'
import { testCcaValues } from '../../fakes/cca-vectors.js'
import { testTime as at } from '../../fakes/platform.js'

async function result(broken: CcaBreakage = {}, tenantClass: 'development' | 'production' = 'development') {
  return appraiseEvidence(
    await mintCcaEvidence(broken),
    { simulatedRoots: ccaKeyDigests },
    { expectedReportData: ccaReportData, referenceValues: testCcaValues(), tenantClass, at },
  )
}

describe('a result', () => {
  test('of a good token says NOT HARDWARE and nothing worse, and claims nothing of memory', async () => {
    const found = await result()
    expect(found).toMatchObject({ kind: 'cca', platform: 'simulated', status: 'warning', failure: null })
    expect(found.checks.filter((one) => one.status !== 'affirming').map((one) => one.id)).toEqual(['platform'])
    expect(found.vector).toMatchObject({ 'runtime-opaque': 0, executables: 3, configuration: 2, hardware: 32 })
    const passed = found.steps.filter((one) => one.id.includes('/') && one.verdict === 'pass')
    expect(passed.map((one) => one.id)).toEqual(ccaSteps.map((one) => one.id))
  })

  test('is contraindicated for a production tenant, however good the token', async () => {
    expect(await result({}, 'production')).toMatchObject({ status: 'contraindicated' })
  })

  test('that failed says why and what can be done', async () => {
    const found = await result({ platform: (map) => void map.set(10, new Uint8Array(32)) })
    expect(found).toMatchObject({ platform: 'unverified', failure: 'cca/binding', claims: null })
    expect(found.checks[0]?.fix).toContain('do not belong together')
  })
})

test('claims become the facts of policies', async () => {
  const facts = attestedClaims((await result()) as AppraisedNode<AttestationResult>)
  expect(facts).toMatchObject({ kind: 'cca', product: 'CCA', debug: false, warnings: ['platform'], svns: {} })
  expect(facts.measurement).toBe('ab'.repeat(32))
})

test("an EAR carries the claims under Arm's names", async () => {
  const { key } = await generateSigningKey('ES256')
  const id = {
    nonce: 'B'.repeat(43),
    id: 'C'.repeat(22),
    keyThumbprint: 'D'.repeat(43),
    keysetDigest: '11'.repeat(32),
  }
  const input = { issuer: 'https://verifier.example', audience: 'A'.repeat(43), build: '0.1.0', ...id }
  const token = await issueEar(await result(), input, key)
  const ear = await verifyEar(token, [key.publicKey], { audience: input.audience, at })
  expect(ear).toMatchObject({ platform: 'simulated', status: 'warning' })
  const payload = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8'))
  const annotated = payload.submods.cpu0['ear.veraison.annotated-evidence']
  expect(annotated).toMatchObject({ init_data: '0f'.repeat(64), report_data: '07'.repeat(64) })
  expect(annotated.cca.realm.initial_measurement).toBe('ab'.repeat(32))
  expect(annotated.cca.platform.sw_components.map((one: { component_type: string }) => one.component_type)).toEqual([
    'BL2',
    'RMM',
  ])
})
