import { expect, test } from 'vitest'
import { type Keyset, verifyKeysetRoles } from '#core/wire/keyset.js'
import { codeOf } from '#test/fakes/code-of.js'

const x = (letter: string) => letter.repeat(42).concat('A')
const keyset: Keyset = {
  type: 'claviger/keyset/v1',
  suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
  release: { kty: 'OKP', crv: 'X25519', x: x('B') },
  request: { kty: 'OKP', crv: 'X25519', x: x('C') },
  receipt: { kty: 'OKP', crv: 'Ed25519', x: x('D') },
  tls: null,
  landmark: { kty: 'OKP', crv: 'Ed25519', x: x('E') },
  notAfter: 1_800_000_000,
}

test('no key stands in two roles, whichever two they are', () => {
  expect(codeOf(() => verifyKeysetRoles(keyset))).toBe('ok')
  expect(codeOf(() => verifyKeysetRoles({ ...keyset, landmark: null }))).toBe('ok')
  const roles = ['release', 'request', 'receipt', 'landmark'] as const
  for (const [i, one] of roles.entries()) {
    for (const other of roles.slice(i + 1)) {
      const same = { ...keyset, [other]: { ...keyset[other]!, x: keyset[one]!.x } }
      expect([one, other, codeOf(() => verifyKeysetRoles(same))]).toEqual([one, other, 'keyset/role'])
    }
  }
})
