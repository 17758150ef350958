import { expect, test } from 'vitest'
import { teeText } from '#client/card.js'
import type { Evidence } from '#core/wire/evidence.js'

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
