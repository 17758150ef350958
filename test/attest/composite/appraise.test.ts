import { describe, expect, test } from 'vitest'
import { appraise, appraiseEvidence } from '#attest/appraise.js'
import { type EarInput, issueEar } from '#attest/ear/issue.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { AttestationResult } from '#attest/result.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import { verifyEar } from '#core/wire/ear.js'
import { type CompositeEvidence, type Evidence, evidenceShape } from '#core/wire/evidence.js'
import { type GpuReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'
import { codeOf } from '../../fakes/code-of.js'
import { challenge, mintComposite } from '../../fakes/composite.js'
import { board, gpuRootDigest } from '../../fakes/gpu.js'
import { testGpuValues } from '../../fakes/gpu-vectors.js'
import { testReferenceValues, testRootDigest, testTime } from '../../fakes/platform.js'

const anchors = { simulatedRoots: [testRootDigest, gpuRootDigest] }
const devices = (HOPPER: number, LS10?: number): GpuReferenceValues['devices'] => ({
  HOPPER,
  BLACKWELL: undefined,
  LS10,
})
const inputOf = (binding: Binding, gpu: Partial<GpuReferenceValues> = { devices: devices(1) }) => ({
  expectedReportData: reportDataOf(binding),
  binding,
  referenceValues: referenceValuesShape(
    parseJson(canonicalJson({ ...testReferenceValues(), ...testGpuValues(gpu) })),
    '',
  ),
  tenantClass: 'development' as const,
  at: testTime,
})
const node = await mintComposite('snp', [{}])
const judge = (evidence: Evidence = node.evidence, binding = node.binding) =>
  appraiseEvidence(evidence, anchors, inputOf(binding))
const refusing = (result: AttestationResult) =>
  result.checks.filter((one) => one.status === 'contraindicated').map((one) => one.id)

describe('a machine with its devices', () => {
  test('is as good as its worst part, and simulated when one part is', async () => {
    const result = await judge()
    expect(result).toMatchObject({ kind: 'composite', platform: 'simulated', status: 'warning', failure: null })
    expect(result.parts.map((part) => part.kind)).toEqual(['snp', 'gpu'])
    expect(result.claims).toEqual(result.parts[0]!.claims)
    expect(refusing(result)).toEqual([])
  })

  test('has every comparison under a name of its own, and a trace of both parts', async () => {
    const { checks, steps } = await judge()
    const ids = checks.map((one) => one.id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(
      expect.arrayContaining(['report-data', 'devices-digest', 'devices/report-data', 'devices/devices']),
    )
    const names = steps.map((one) => one.id)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toEqual(
      expect.arrayContaining(['snp/signature', 'devices-digest', 'gpu/signature', 'devices/devices']),
    )
    expect(steps.filter((one) => one.verdict === 'fail')).toEqual([])
  })

  test('says nothing of the machine when a device does not verify', async () => {
    const result = await appraiseEvidence(node.evidence, { simulatedRoots: [testRootDigest] }, inputOf(node.binding))
    expect(result).toMatchObject({ platform: 'unverified', status: 'contraindicated', failure: 'gpu/unknown-root' })
    expect(result.claims).toBeNull()
  })

  test('is never satisfied by a verdict on its machine alone', async () => {
    const verified = await verifyEvidence(node.evidence.cpu, anchors, testTime)
    const result = appraise(verified, inputOf(node.binding), [])
    expect(refusing(result)).toEqual(['devices', 'devices-digest'])
  })

  test('is a bug to judge with a binding that the report data are not made of', async () => {
    const input = { ...inputOf(node.binding), expectedReportData: new Uint8Array(64) }
    await expect(appraiseEvidence(node.evidence, anchors, input)).rejects.toThrow(
      'report data are those of the binding',
    )
  })
})

describe('parts of two nodes do not go together', async () => {
  const other = await mintComposite('snp', [{ number: 1 }], { keyset_digest: '99'.repeat(32) })
  const splice = (cpu: CompositeEvidence, gpu: CompositeEvidence): CompositeEvidence => ({
    kind: 'composite',
    cpu: cpu.cpu,
    devices: gpu.devices,
  })

  test('each by itself does', async () => {
    expect(refusing(await judge())).toEqual([])
    expect(refusing(await judge(other.evidence, other.binding))).toEqual([])
  })

  test.each([
    ['devices', splice(node.evidence, other.evidence), node.binding, ['devices-digest', 'devices/report-data']],
    ['devices and binding', splice(node.evidence, other.evidence), other.binding, ['report-data']],
    ['machine', splice(other.evidence, node.evidence), node.binding, ['report-data']],
    [
      'machine and binding',
      splice(other.evidence, node.evidence),
      other.binding,
      ['devices-digest', 'devices/report-data'],
    ],
    ['binding', node.evidence, other.binding, ['report-data', 'devices-digest', 'devices/report-data']],
  ])('%s of another', async (_, evidence, binding, ids) => {
    expect(refusing(await judge(evidence, binding))).toEqual(ids)
  })
})

describe('its EAR', async () => {
  const { key } = await generateSigningKey('Ed25519')
  const input: EarInput = {
    issuer: 'https://verifier.example',
    audience: challenge().audience,
    nonce: challenge().nonce,
    id: 'C'.repeat(22),
    keyThumbprint: 'D'.repeat(43),
    keysetDigest: challenge().keyset_digest,
    build: '0.1.0',
  }
  const issue = async (result: AttestationResult) => {
    const token = await issueEar(result, input, key)
    return { token, ear: await verifyEar(token, [key.publicKey], { audience: input.audience, at: testTime }) }
  }
  const payloadOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())

  test('has a part for each device, and a status that is the worst of all', async () => {
    const two = await mintComposite('snp', [{}, {}])
    const result = await judge(two.evidence, two.binding)
    const { token, ear } = await issue(result)
    expect(Object.keys(payloadOf(token).submods).sort()).toEqual(['cpu0', 'gpu0', 'gpu1'])
    expect(payloadOf(token).submods.cpu0['ear.status']).toBe('warning')
    expect(ear.status).toBe('contraindicated')
    expect(ear.vector.hardware).toBe(96)
    expect(ear.devices.gpu0?.status).toBe('contraindicated')
    expect(ear.checks.find((one) => one.id === 'gpu1/devices')).toMatchObject({
      found: '2 HOPPER',
      expected: '1 HOPPER',
    })
    const ids = Object.values(ear.devices).map(
      (one) => (one.claims as never as { devices: { deviceId: string }[] }).devices,
    )
    expect(new Set(ids.map(([device]) => device!.deviceId)).size).toBe(2)
  })

  test('of a board of eight GPUs and four switches fits into what is read', async () => {
    const hgx = await mintComposite('snp', board())
    const result = await appraiseEvidence(hgx.evidence, anchors, inputOf(hgx.binding, { devices: devices(8, 4) }))
    expect(refusing(result)).toEqual([])
    const { token, ear } = await issue(result)
    expect(token.length).toBeLessThan(192 * 1024)
    expect(ear.status).toBe('warning')
    expect(Object.keys(ear.devices)).toHaveLength(12)
  })

  test('names the machine and one part for devices that did not verify', async () => {
    const result = await appraiseEvidence(node.evidence, { simulatedRoots: [testRootDigest] }, inputOf(node.binding))
    const { ear } = await issue(result)
    expect(ear).toMatchObject({ status: 'contraindicated', devices: { gpu0: { claims: null } } })
  })
})

describe('the envelope', () => {
  const json = (value: unknown) => parseJson(canonicalJson(value))

  test('can be read again, byte for byte', () => {
    expect(evidenceShape(json(node.evidence), '')).toEqual(node.evidence)
  })

  test.each([
    ['without devices', { ...node.evidence, devices: [] }],
    ['with devices twice', { ...node.evidence, devices: [...node.evidence.devices, ...node.evidence.devices] }],
    ['with devices in place of its machine', { ...node.evidence, cpu: node.evidence.devices[0] }],
    ['with itself in place of its machine', { ...node.evidence, cpu: node.evidence }],
    ['with a machine in place of devices', { ...node.evidence, devices: [node.evidence.cpu] }],
    ['of devices alone', node.evidence.devices[0]],
    ['with a member more', { ...node.evidence, binding: node.binding }],
  ])('%s is refused', (_, value) => {
    expect(codeOf(() => evidenceShape(json(value), ''))).toMatch(/^shape\//)
  })
})
