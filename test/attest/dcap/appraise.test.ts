import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { sgxField } from '#attest/dcap/layout.js'
import { issueEar } from '#attest/ear/issue.js'
import type { AttestationResult } from '#attest/result.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import { field } from '#attest/tdx/layout.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { verifyEar } from '#core/wire/ear.js'
import { type AppraisedNode, attestedClaims } from '#policies/release/appraised.js'
import { type DcapBreakage, dcapReportData, dcapRootDigest, dcapSerials, mintDcapEvidence } from '../../fakes/dcap.js'
import { testSgxValues, testTdxValues } from '../../fakes/dcap-vectors.js'
import { testTime as at, testReferenceValues } from '../../fakes/platform.js'

async function result(broken: DcapBreakage = {}, referenceValues = { ...testTdxValues(), ...testSgxValues() }) {
  return appraiseEvidence(
    await mintDcapEvidence(broken),
    { simulatedRoots: [dcapRootDigest] },
    { expectedReportData: dcapReportData, referenceValues, tenantClass: 'development', at },
  )
}

const steps = ['structure', 'pck-chain', 'collateral', 'family', 'qe-report', 'attestation-key', 'qe-identity']

const passed = ({ steps }: AttestationResult) =>
  steps.filter((step) => step.id.includes('/') && step.verdict === 'pass').map((step) => step.id)

describe('a result', () => {
  test('names the steps that were passed, and says NOT HARDWARE', async () => {
    const tdx = await result()
    expect(tdx).toMatchObject({ kind: 'tdx', platform: 'simulated', status: 'warning', failure: null })
    expect(passed(tdx)).toEqual(
      [...steps.slice(0, 4), 'module', ...steps.slice(4), 'signature', 'tcb'].map((one) => `tdx/${one}`),
    )
    expect(tdx.checks.filter((one) => one.status === 'warning').map((one) => one.id)).toEqual(['platform'])
    const sgx = await result({ tee: 'sgx' })
    expect(passed(sgx)).toEqual([...steps, 'signature', 'tcb'].map((one) => `sgx/${one}`))
  })

  test.each(['tdx', 'sgx'] as const)('of %s under a root that takes itself back is a refusal', async (tee) => {
    const found = await result({ tee, rootCrl: { revoked: [dcapSerials.root] } })
    expect(found).toMatchObject({ status: 'contraindicated', failure: 'crl/revoked' })
  })

  test('keeps platform, module and quoting enclave apart', async () => {
    const { claims, status } = await result({
      report: (body) => body.set([3, 1], field.teeTcbSvn[0]),
      qeReport: (report) => report.set([2], sgxField.isvSvn[0]),
    })
    expect(status).toBe('contraindicated')
    const tdx = claims as TdxClaims
    expect(tdx.tcbStatus).toBe('OutOfDate')
    expect(tdx.tcbLevels.platform.status).toBe('UpToDate')
    expect(tdx.tcbLevels.module?.status).toBe('OutOfDate')
    expect(tdx.tcbLevels.qe.status).toBe('OutOfDate')
    expect(tdx.advisories).toEqual(['INTEL-SA-00289', 'INTEL-SA-01099'])
  })

  test('of a status that the owner accepts beyond UpToDate is a warning that policies see', async () => {
    const values = testTdxValues({ tcbStatuses: ['OutOfDate'] })
    const found = await result(
      { report: (body) => body.set([3, 1], field.teeTcbSvn[0]) },
      { ...values, sgx: undefined },
    )
    expect(found.status).toBe('warning')
    expect(found.checks.find((one) => one.id === 'tcb-status')).toMatchObject({ status: 'warning', value: 32 })
  })

  test('of a kind for which the owner has no reference values is refused', async () => {
    const found = await result({}, testReferenceValues() as never)
    expect(found.status).toBe('contraindicated')
    const refusing = found.checks.filter((one) => one.status === 'contraindicated')
    expect(refusing.map((one) => one.id)).toEqual(['reference-values'])
  })

  test('that failed says why and what can be done', async () => {
    const found = await result({ tee: 'sgx', version: 4 })
    expect(found).toMatchObject({ kind: 'sgx', platform: 'unverified', failure: 'sgx/quote-version', claims: null })
    expect(found.checks[0]?.fix).toBe('let the enclave ask for a quote of version 3')
  })
})

test.each(['tdx', 'sgx'] as const)(
  'claims of %s become the facts of policies, without security versions of AMD',
  async (tee) => {
    const facts = attestedClaims((await result({ tee })) as AppraisedNode<AttestationResult>)
    expect(facts).toMatchObject({
      kind: tee,
      product: tee.toUpperCase(),
      debug: false,
      warnings: ['platform'],
      svns: {},
    })
    expect(facts.measurement).toBe('ab'.repeat(tee === 'tdx' ? 48 : 32))
  },
)

test.each(['tdx', 'sgx'] as const)(
  'an EAR of %s carries its claims under the names of deployed policies',
  async (tee) => {
    const { key } = await generateSigningKey('ES256')
    const id = {
      nonce: 'B'.repeat(43),
      id: 'C'.repeat(22),
      keyThumbprint: 'D'.repeat(43),
      keysetDigest: '11'.repeat(32),
    }
    const input = { issuer: 'https://verifier.example', audience: 'A'.repeat(43), build: '0.1.0', ...id }
    const token = await issueEar(await result({ tee }), input, key)
    const ear = await verifyEar(token, [key.publicKey], { audience: input.audience, at })
    expect(ear).toMatchObject({ platform: 'simulated', status: 'warning' })
    const payload = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8'))
    const annotated = payload.submods.cpu0['ear.veraison.annotated-evidence']
    expect(annotated[tee]).toMatchObject({ tcb_status: 'UpToDate', tcb_eval_num: 18 })
    const measured = tee === 'tdx' ? annotated.tdx.quote.body.mr_td : annotated.sgx.body.mr_enclave
    expect(measured).toBe('ab'.repeat(tee === 'tdx' ? 48 : 32))
  },
)
