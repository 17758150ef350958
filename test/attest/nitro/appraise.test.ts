import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import { examineEvidence } from '#attest/examine.js'
import { nitroSteps } from '#attest/nitro/steps.js'
import type { AttestationResult } from '#attest/result.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { verifyEar } from '#core/wire/ear.js'
import { type AppraisedNode, attestedClaims } from '#policies/release/appraised.js'
import {
  mintNitroEvidence,
  type NitroBreakage,
  nitroModuleId,
  nitroReportData,
  nitroRootDigest,
} from '../../fakes/nitro.js'
import { testNitroValues } from '../../fakes/nitro-vectors.js'
import { testTime as at } from '../../fakes/platform.js'

async function result(broken: NitroBreakage = {}, referenceValues = testNitroValues(), now = at) {
  return appraiseEvidence(
    await mintNitroEvidence(broken),
    { simulatedRoots: [nitroRootDigest] },
    { expectedReportData: nitroReportData, referenceValues, tenantClass: 'development', at: now },
  )
}

describe('a result', () => {
  test('of a good document says NOT HARDWARE and nothing worse, and claims nothing of memory', async () => {
    const found = await result()
    expect(found).toMatchObject({ kind: 'nitro', platform: 'simulated', status: 'warning', failure: null })
    expect(found.checks.filter((one) => one.status !== 'affirming').map((one) => one.id)).toEqual(['platform'])
    expect(found.vector).toMatchObject({ 'runtime-opaque': 0, executables: 3, configuration: 2, hardware: 32 })
    const passed = found.steps.filter((one) => one.id.includes('/') && one.verdict === 'pass')
    expect(passed.map((one) => one.id)).toEqual(nitroSteps.map((one) => one.id))
  })

  test('an empty nonce is none: that the document says nothing either answers nobody', async () => {
    const evidence = await mintNitroEvidence({ members: (members) => void members.set('nonce', new Uint8Array()) })
    const examined = async (expectedNonce: Uint8Array) => {
      const { steps } = await examineEvidence(
        evidence,
        { simulatedRoots: [nitroRootDigest] },
        { expectedReportData: null, expectedNonce, referenceValues: null, tenantClass: 'development', at },
      )
      return steps.find(({ id }) => id === 'report-data')
    }
    expect(await examined(new Uint8Array())).toMatchObject({ verdict: 'fail', found: 'no nonce' })
    expect(await examined(new Uint8Array(1))).toMatchObject({ verdict: 'fail', found: 'no nonce' })
  })

  test('counts the age of a document from its own time', async () => {
    const age = async (now: number) =>
      (await result({}, testNitroValues(), now)).checks.find((one) => one.id === 'document-age')
    expect(await age(at - 60)).toMatchObject({ status: 'affirming', found: expect.stringContaining('made 0 seconds') })
    expect(await age(at + 290)).toMatchObject({ status: 'affirming' })
    expect(await age(at + 291)).toMatchObject({ status: 'contraindicated' })
  })

  test('that failed says why and what can be done', async () => {
    const found = await result({ members: (one) => void one.set('user_data', new Uint8Array(513)) })
    expect(found).toMatchObject({ platform: 'unverified', failure: 'nitro/field-size', claims: null })
    expect(found.checks[0]?.fix).toContain('at most 512 bytes')
  })

  test('of a kind for which the owner has no reference values is refused', async () => {
    const found = await result({}, {})
    expect(found.status).toBe('contraindicated')
    const refusing = found.checks.filter((one) => one.status === 'contraindicated')
    expect(refusing.map((one) => one.id)).toEqual(['reference-values'])
  })
})

test('claims become the facts of policies', async () => {
  const facts = attestedClaims((await result()) as AppraisedNode<AttestationResult>)
  expect(facts).toMatchObject({ kind: 'nitro', product: 'Nitro', debug: false, warnings: ['platform'], svns: {} })
  expect(facts.measurement).toBe('a0'.repeat(48))
})

test("an EAR carries the claims under AWS's names", async () => {
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
  expect(annotated).toMatchObject({ init_data: '', report_data: '07'.repeat(64) })
  expect(annotated.nitro).toMatchObject({ module_id: nitroModuleId, nonce: '' })
  expect(annotated.nitro.pcrs['8']).toBe('a8'.repeat(48))
})
