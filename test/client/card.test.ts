import { describe, expect, test } from 'vitest'
import { answerCard, type Card, teeText } from '#client/card.js'
import { judged } from '#client/steps.js'
import { receiptSteps, verifyReceipt } from '#client/verify-receipt.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { HostDeclaration } from '#core/wire/release.js'
import type { Trust } from '#core/wire/trust-file.js'
import { asJson, hostDeclaration, mintNode, mintReceipt, newBroker, trustIn } from './fixtures.js'

/** Of evidence that was verified only its kind and the number of its devices are named. */
const of = (value: unknown, platform: 'hardware' | 'simulated') => teeText(value as Evidence, platform)
const nodeWith = (kind: string, devices: number) => ({
  kind: 'composite',
  cpu: { kind },
  devices: [{ kind: 'gpu', devices: Array.from({ length: devices }, () => ({})) }],
})

test('the card names the hardware that the evidence is of, and nobody else’s', () => {
  expect(of({ kind: 'snp' }, 'hardware')).toBe('AMD SEV-SNP')
  expect(of({ kind: 'tdx' }, 'hardware')).toBe('Intel TDX')
  expect(of({ kind: 'nitro' }, 'hardware')).toBe('AWS Nitro Enclaves')
  expect(of({ kind: 'azure-tdx' }, 'hardware')).toBe('Intel TDX behind the vTPM of an Azure confidential VM')
  expect(of(nodeWith('tdx', 8), 'hardware')).toBe('Intel TDX with 8 NVIDIA devices')
})

test('what is simulated says so, whatever it simulates', () => {
  expect(of({ kind: 'snp' }, 'simulated')).toBe('SIMULATED SEV-SNP (NOT HARDWARE)')
  for (const kind of ['tdx', 'sgx', 'nitro', 'azure-snp', 'azure-tdx', 'cca']) {
    expect(of({ kind }, 'simulated')).toMatch(/^SIMULATED .+ \(NOT HARDWARE\)$/)
  }
  expect(of(nodeWith('snp', 1), 'simulated')).toBe('SIMULATED SEV-SNP with 1 NVIDIA device (NOT HARDWARE)')
})

describe('the card of an answer', () => {
  /** As it is shown of a node whose host said this. */
  async function cardOf(host: HostDeclaration | null, changes: Partial<Trust> = {}, accepts?: 'any-genuine-chip') {
    const broker = await newBroker()
    broker.tampering.lease = (lease) => ({ ...lease, policy: { ...lease.policy, accepts } })
    const trust = trustIn(broker, changes)
    const file = await mintReceipt(await mintNode(broker, { host }))
    const input = { trust, policy: null, dangerousAllowSimulated: true, bodies: null }
    const verdict = await judged(receiptSteps, (steps) => verifyReceipt(asJson(file), input, steps))
    if (!verdict.ok) throw verdict.failure
    return answerCard(verdict.value, trust)
  }
  const sourceOf = ({ facts }: Card, label: string) => facts.find((fact) => fact.label === label)?.source

  test('says in one sentence what was verified, and who said the rest', async () => {
    const card = await cardOf(await hostDeclaration('DE'), { independentWitnesses: [] })
    expect(card.notHardware).toBe(true)
    expect(card.sentence).toMatch(
      /^Answered by model \S+ v1 \(manifest sha256 [0-9a-f]{16}…\) on node rack-7, place DE and operator Example GmbH as declared by the host, inside SIMULATED SEV-SNP \(NOT HARDWARE\), policy \S+ v1, released as log entry #\d+ by broker \S+ \(UNATTESTED BROKER\), 0 independent witnesses \(1 of the same operator\)\.$/,
    )
    expect(['model', 'place', 'TEE', 'log entry'].map((label) => sourceOf(card, label))).toEqual([
      'owner-signed',
      'declared',
      'simulated',
      'log-signed',
    ])
    const witnessed = await cardOf(await hostDeclaration('DE'))
    expect(witnessed.sentence).toMatch(/, 1 independent witness\.$/)
    expect(sourceOf(witnessed, 'log entry')).toBe('witness-attested')
  })

  test('says what the owner signed that the policy leaves open', async () => {
    const card = await cardOf(null, {}, 'any-genuine-chip')
    expect(card.sentence).toContain(' v1, accepts: any-genuine-chip, released as log entry ')
    expect(card.facts.find(({ label }) => label === 'policy')?.value).toMatch(/, accepts: any-genuine-chip$/)
    expect((await cardOf(null)).sentence).not.toContain('accepts')
  })

  test('where the host says nothing of place or of itself, that stands there', async () => {
    const silent = await cardOf(null)
    expect(silent.sentence).toContain(', place: not stated and operator: not stated, inside ')
    expect(['node', 'place', 'operator'].map((label) => sourceOf(silent, label))).toEqual(Array(3).fill('not stated'))
    const placeless = await cardOf(await hostDeclaration(null))
    expect(placeless.sentence).toContain(
      ', place: not stated and operator Example GmbH as declared by the host, inside ',
    )
    expect([sourceOf(placeless, 'place'), sourceOf(placeless, 'operator')]).toEqual(['not stated', 'declared'])
  })
})
