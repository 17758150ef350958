import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CollateralName, formatName, parseName } from '#attest/endorsements/names.js'
import { codeOf } from '#test/fakes/code-of.js'

const svn = fc.integer({ min: 0, max: 255 })
const tee = fc.constantFrom('tdx' as const, 'sgx' as const)
const key = fc.constantFrom('vcek' as const, 'vlek' as const)
const product = fc.constantFrom('Milan' as const, 'Genoa' as const, 'Turin' as const)
const hexOf = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((b) => Buffer.from(b).toString('hex'))
const names: fc.Arbitrary<CollateralName> = fc.oneof(
  fc.constant({ kind: 'intel-root-crl' as const }),
  fc.record({
    kind: fc.constant('intel-pck-crl' as const),
    ca: fc.constantFrom('platform' as const, 'processor' as const),
  }),
  fc.record({ kind: fc.constant('intel-tcb-info' as const), tee, fmspc: hexOf(6) }),
  fc.record({ kind: fc.constant('intel-qe-identity' as const), tee }),
  fc.record({ kind: fc.constant('amd-ask' as const), product, key }),
  fc.record({ kind: fc.constant('amd-crl' as const), product, key }),
  fc.record({ kind: fc.constant('nvidia-rim' as const), id: fc.constantFrom('NV_GPU_DRIVER_GH100_550.90.07', 'NV_A') }),
  fc.record({
    kind: fc.constant('nvidia-ocsp' as const),
    issuerName: hexOf(48),
    issuerKey: hexOf(48),
    serial: fc
      .integer({ min: 1, max: 20 })
      .chain((size) => hexOf(size))
      .filter((hex) => hex === '00' || !hex.startsWith('00')),
  }),
  product.chain((one) =>
    fc.record({
      kind: fc.constant('amd-vcek' as const),
      product: fc.constant(one),
      hwId: hexOf(one === 'Turin' ? 8 : 64),
      tcb: fc.record({
        fmc: one === 'Turin' ? svn : fc.constant(null),
        bootLoader: svn,
        tee: svn,
        snp: svn,
        microcode: svn,
      }),
    }),
  ),
)

test('a name is what its text spells, and its text is what it spells', () => {
  fc.assert(fc.property(names, (name) => void expect(parseName(formatName(name))).toEqual(name)))
})

test('any other text is refused, by the one code', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        names.map((name) => `${formatName(name)}/`),
        names.map((name) => ` ${formatName(name)}`),
      ),
      (text) => {
        const code = codeOf(() => parseName(text))
        expect(code === 'collateral/name' || formatName(parseName(text)) === text).toBe(true)
      },
    ),
  )
})

test.each([
  'intel',
  'intel/root-crl/..',
  'intel/pck-crl/other',
  'intel/tdx/tcb-info/90C06F000000',
  'intel/tdx/tcb-info/90c06f0000',
  'amd/genoa/vlek/aa',
  'amd/Genoa/vcek/crl',
  'amd/constructor/vcek/crl',
  `amd/genoa/vcek/${'5a'.repeat(8)}/1.2.3.4`,
  `amd/turin/vcek/${'5a'.repeat(8)}/1.2.3.4`,
  `amd/turin/vcek/${'5a'.repeat(8)}/1.2.3.4.256`,
  `amd/turin/vcek/${'5a'.repeat(8)}/1.2.3.4.05`,
  '../../etc/passwd',
  'nvidia/ocsp',
  `nvidia/ocsp/${'ab'.repeat(48)}`,
  `nvidia/ocsp/${'ab'.repeat(48)}/${'cd'.repeat(48)}`,
  `nvidia/ocsp/${'ab'.repeat(48)}/${'cd'.repeat(48)}/`,
  `nvidia/ocsp/${'ab'.repeat(48)}/${'cd'.repeat(48)}/0041`,
  `nvidia/ocsp/${'ab'.repeat(48)}/${'cd'.repeat(48)}/41AB`,
  `nvidia/ocsp/${'ab'.repeat(48)}/${'cd'.repeat(48)}/${'41'.repeat(21)}`,
  `nvidia/ocsp/${'ab'.repeat(32)}/${'cd'.repeat(48)}/41`,
  `nvidia/ocsp/${'ab'.repeat(48)}/../41`,
])('no document is called %s', (text) => {
  expect(codeOf(() => parseName(text))).toBe('collateral/name')
})
