import fc from 'fast-check'
import { importJWK, jwtVerify } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import type { AttestationResult } from '#attest/result.js'
import { fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey, sign } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { verifyEar } from '#core/wire/ear.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { tierOf } from '#core/wire/trust-vector.js'
import { testTime as at, testReferenceValues, testRootDigest } from '../fakes/platform.js'
import { mintEvidence, mintedReportData } from '../fakes/snp.js'

/** Claims to be bent at will. */
// biome-ignore lint/suspicious/noExplicitAny: a test bends members of any type
type Loose = any

const audience = 'A'.repeat(43)
const input = {
  issuer: 'https://verifier.example',
  audience,
  nonce: 'B'.repeat(43),
  id: 'C'.repeat(22),
  keyThumbprint: 'D'.repeat(43),
  keysetDigest: '11'.repeat(32),
  build: '0.1.0',
}
let result: AttestationResult
let ed: SigningKey
let es: SigningKey
let token: string
beforeAll(async () => {
  ed = (await generateSigningKey('Ed25519')).key
  es = (await generateSigningKey('ES256')).key
  result = await appraiseEvidence(
    await mintEvidence(),
    { simulatedRoots: [testRootDigest] },
    { expectedReportData: mintedReportData, referenceValues: testReferenceValues(), tenantClass: 'development', at },
  )
  token = await issueEar(result, input, ed)
})

/** The same token with other claims, or another header, signed again. */
async function resigned(change: (payload: Loose) => void, header: object = {}, key: SigningKey = ed): Promise<string> {
  const payload = JSON.parse(new TextDecoder().decode(fromBase64Url(token.split('.')[1]!)))
  change(payload)
  const head = { typ: 'JWT', alg: key.algorithm === 'ES256' ? 'ES256' : 'EdDSA', kid: key.id, ...header }
  const signed = `${toBase64Url(canonicalJson(head))}.${toBase64Url(utf8(JSON.stringify(payload)))}`
  return `${signed}.${toBase64Url(await sign(key, utf8(signed)))}`
}
const verify = (text: string, when = at) => verifyEar(text, [ed.publicKey, es.publicKey], { audience, at: when })

describe('an EAR', () => {
  test('carries the result, both keys of its digest and NOT HARDWARE', async () => {
    const ear = await verify(token)
    expect(ear).toMatchObject({
      signer: ed.id,
      status: 'warning',
      platform: 'simulated',
      tenantClass: 'development',
      keyThumbprint: input.keyThumbprint,
      keysetDigest: input.keysetDigest,
      nonce: input.nonce,
      issuedAt: at,
      expiresAt: at + 300,
      vector: result.vector,
      checks: result.checks,
      digests: result.digests,
    })
    expect(new TextDecoder().decode(fromBase64Url(token.split('.')[1]!))).toContain('NOT HARDWARE')
  })

  test.each(['Ed25519', 'ES256'] as const)(
    'signed with %s is a JWT that an independent library verifies',
    async (name) => {
      const key = name === 'ES256' ? es : ed
      const issued = await issueEar(result, input, key)
      expect((await verify(issued)).signer).toBe(key.id)
      const { payload, protectedHeader } = await jwtVerify(
        issued,
        await importJWK({ ...key.publicKey }, name === 'ES256' ? 'ES256' : 'EdDSA'),
        {
          audience,
          issuer: input.issuer,
          currentDate: new Date(at * 1000),
        },
      )
      expect(protectedHeader).toEqual({ typ: 'JWT', alg: name === 'ES256' ? 'ES256' : 'EdDSA', kid: key.id })
      const cpu = (payload.submods as Loose).cpu0
      expect(cpu['ear.status']).toBe('warning')
      expect(cpu.ear_status).toBe('warning')
      expect(cpu['ear.veraison.annotated-evidence'].snp.measurement).toBe(result.claims?.measurement)
      expect(payload.cnf).toEqual({ jkt: input.keyThumbprint })
    },
  )

  test('of failed verification is contraindicated and carries no claims', async () => {
    const failed = await appraiseEvidence(
      await mintEvidence(),
      { simulatedRoots: [] },
      { expectedReportData: mintedReportData, referenceValues: testReferenceValues(), tenantClass: 'production', at },
    )
    const ear = await verify(await issueEar(failed, input, ed))
    expect(ear).toMatchObject({ status: 'contraindicated', claims: null, platform: 'simulated' })
    expect(ear.checks.map((check) => check.id)).toEqual(['snp/unknown-root'])
  })

  test('is never issued for a result that left a step out', async () => {
    await expect(issueEar({ ...result, skipped: ['crl'] }, input, ed)).rejects.toThrow(/assertion failed/)
    const examined = { ...result, policy: 'claviger.examine.1' }
    await expect(issueEar(examined, input, ed)).rejects.toThrow(/assertion failed/)
  })

  test('names a step that evidence brought nothing for, where its owner lets it: no claim, and no pass', async () => {
    const referenceValues = testReferenceValues({ crl: 'when-given' })
    const asked = { expectedReportData: mintedReportData, referenceValues, tenantClass: 'development' as const, at }
    const judged = async (evidence: SnpEvidence) =>
      appraiseEvidence(evidence, { simulatedRoots: [testRootDigest] }, asked)
    const evidence = await mintEvidence()
    const without = await judged({ ...evidence, crl: null })
    const ear = await verify(await issueEar(without, input, ed))
    expect(ear.status).toBe('warning')
    const lines = ear.checks.filter((check) => check.status === 'none')
    expect(lines).toMatchObject([
      {
        id: 'snp/crl',
        value: 0,
        found: expect.stringMatching(/^skipped: .*came without a CRL/),
        fix: expect.stringMatching(/./),
      },
    ])
    expect(ear.vector).toEqual(without.vector)
    const whole = await verify(await issueEar(await judged(evidence), input, ed))
    expect(whole.checks.some(({ id }) => id === 'snp/crl')).toBe(false)
  })

  test.each([
    ['a nonce that is no base64url', { nonce: 'not a nonce' }],
    ['a thumbprint of another length', { keyThumbprint: 'D' }],
    ['a keyset digest of another length', { keysetDigest: '11' }],
  ])('is never issued with %s', async (_, change) => {
    await expect(issueEar(result, { ...input, ...change }, ed)).rejects.toMatchObject({
      code: expect.stringMatching(/^shape\//),
    })
  })
})

describe('verifyEar refuses', () => {
  test.each([
    ['ear/form', 'two parts', () => token.slice(0, token.lastIndexOf('.'))],
    ['ear/form', 'four parts', () => `${token}.x`],
    ['ear/form', 'a signature of another length', () => token.slice(0, -4)],
    ['ear/form', 'text that is no token', () => 'x.y.z'],
    ['ear/form', 'a token beyond 256 KiB', () => 'a'.repeat(300 * 1024)],
    ['ear/signature', 'changed claims', () => token.replace('.ey', '.eyA')],
  ])('with %s: %s', async (code, _, make) => {
    await expect(verify(make())).rejects.toMatchObject({ code })
  })

  test.each([
    ['ear/key', 'a key that is not the verifier’s', {}, { kid: 'Z'.repeat(43) }],
    ['ear/form', 'a key in the header', {}, { jwk: { kty: 'OKP' } }],
    ['ear/form', 'algorithm none', {}, { alg: 'none' }],
    ['ear/algorithm', 'the algorithm of another key', {}, { alg: 'ES256' }],
    ['ear/audience', 'another audience', { aud: 'E'.repeat(43) }, {}],
    ['ear/claims', 'an audience list', { aud: [audience] }, {}],
    ['ear/claims', 'an unknown claim', { admin: true }, {}],
    ['ear/claims', 'no nonce', { eat_nonce: undefined }, {}],
    ['ear/claims', 'no key of a node', { cnf: undefined }, {}],
    ['ear/claims', 'a key of a node in two forms', { cnf: { jkt: 'A'.repeat(43), jwk: {} } }, {}],
    ['ear/claims', 'no hardware claim', { claviger_hardware: undefined }, {}],
    ['ear/claims', 'another word for hardware', { claviger_hardware: 'HARDWARE' }, {}],
    ['ear/claims', 'another profile', { eat_profile: 'tag:example.org,2026:x' }, {}],
    ['ear/lifetime', 'a longer life', { exp: at + 301 }, {}],
    ['ear/lifetime', 'no life', { exp: at }, {}],
    ['ear/names-differ', 'two verifier ids', { ear_verifier_id: { developer: 'x', build: 'y' } }, {}],
  ])('with %s: %s', async (code, _, claims, header) => {
    await expect(verify(await resigned((payload) => Object.assign(payload, claims), header))).rejects.toMatchObject({
      code,
    })
  })

  test.each([
    ['ear/names-differ', 'two statuses', (cpu: Loose) => Object.assign(cpu, { ear_status: 'affirming' })],
    ['ear/names-differ', 'two vectors', (cpu: Loose) => (cpu.ear_trustworthiness_vector.hardware = 2)],
    ['ear/names-differ', 'two policies', (cpu: Loose) => (cpu.ear_appraisal_policy_ids = ['other'])],
    ['ear/names-differ', 'two annotations', (cpu: Loose) => (cpu.ear_veraison_annotated_evidence = {})],
    [
      'ear/status',
      'a status better than its vector',
      (cpu: Loose) => Object.assign(cpu, { 'ear.status': 'affirming', ear_status: 'affirming' }),
    ],
  ])('with %s: %s', async (code, _, change) => {
    await expect(verify(await resigned((payload) => change(payload.submods.cpu0)))).rejects.toMatchObject({ code })
  })

  test('a result that is too old or too new, by more than a minute', async () => {
    await verify(token, at - 60)
    await verify(token, at + 360)
    await expect(verify(token, at - 61)).rejects.toMatchObject({ code: 'ear/not-yet-valid' })
    await expect(verify(token, at + 361)).rejects.toMatchObject({ code: 'ear/expired' })
  })

  test('a token signed by a key that is not the named one', async () => {
    const other = (await generateSigningKey('Ed25519')).key
    await expect(verify(await resigned(() => undefined, { kid: ed.id }, other))).rejects.toMatchObject({
      code: 'ear/signature',
    })
    await expect(verifyEar(token, [other.publicKey], { audience, at })).rejects.toMatchObject({ code: 'ear/key' })
    await expect(verifyEar(token, [], { audience, at })).rejects.toMatchObject({ code: 'ear/key' })
    expect(thumbprint(other.publicKey)).toBe(other.id)
  })

  test('any other text, by a Failure', async () => {
    const part = fc.oneof(
      fc.string(),
      fc.uint8Array().map(toBase64Url),
      fc.json().map((text) => toBase64Url(utf8(text))),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 4 }), async (parts) => {
        const outcome = await verify(parts.join('.')).catch((error) => error)
        expect(isFailure(outcome)).toBe(true)
      }),
    )
  })

  test('any flipped character', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...'AZaz09-_.'), async (i, character) => {
        if (token[i] === character) return
        const outcome = await verify(token.slice(0, i) + character + token.slice(i + 1)).catch((error) => error)
        expect(isFailure(outcome)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})

test('tiers of AR4SI values', () => {
  expect([0, 1, -1, 2, 31, 32, 95, 96, 127, -96].map(tierOf)).toEqual([
    'none',
    'none',
    'none',
    'affirming',
    'affirming',
    'warning',
    'warning',
    'contraindicated',
    'contraindicated',
    'contraindicated',
  ])
})

test('the payload is canonical JSON', () => {
  const payload = fromBase64Url(token.split('.')[1]!)
  expect(canonicalJson(parseJson(payload))).toEqual(payload)
})
