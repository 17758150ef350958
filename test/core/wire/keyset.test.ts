import { expect, test } from 'vitest'
import { fromBase64Url } from '#core/bytes/bytes.js'
import { generateHybridKey } from '#core/crypto/hpke.js'
import { curvePoint, x25519ToJwk } from '#core/crypto/jwk.js'
import { type Keyset, keysetDigest, keysetShape, releaseKeyThumbprint, verifyKeysetRoles } from '#core/wire/keyset.js'
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

const curve = (of: Keyset, role: 'release' | 'request' | 'receipt' | 'landmark') =>
  role === 'release' ? curvePoint(of.release) : of[role]!.x

test('no key stands in two roles, whichever two they are', () => {
  expect(codeOf(() => verifyKeysetRoles(keyset))).toBe('ok')
  expect(codeOf(() => verifyKeysetRoles({ ...keyset, landmark: null }))).toBe('ok')
  const roles = ['release', 'request', 'receipt', 'landmark'] as const
  for (const [i, one] of roles.entries()) {
    for (const other of roles.slice(i + 1)) {
      const same = { ...keyset, [other]: { ...keyset[other]!, x: curve(keyset, one) } }
      expect([one, other, codeOf(() => verifyKeysetRoles(same))]).toEqual([one, other, 'keyset/role'])
    }
  }
})

test('a release key is of either suite; the keyset fixes which, and the digest with it', async () => {
  const hybrid: Keyset = { ...keyset, release: (await generateHybridKey()).publicKey }
  expect(keysetShape(hybrid, 'keyset')).toEqual(hybrid)
  // Taking the curve half alone is another keyset, which no evidence of this node binds.
  const stripped: Keyset = { ...hybrid, release: { kty: 'OKP', crv: 'X25519', x: curvePoint(hybrid.release) } }
  expect(keysetDigest(stripped)).not.toBe(keysetDigest(hybrid))
  expect(releaseKeyThumbprint(stripped)).not.toBe(releaseKeyThumbprint(hybrid))
})

test('the curve half of a release key stands in no other role', async () => {
  const { publicKey: release } = await generateHybridKey()
  const half = x25519ToJwk(fromBase64Url(release.pub, 1216).subarray(1184))
  expect(codeOf(() => verifyKeysetRoles({ ...keyset, release }))).toBe('ok')
  expect(codeOf(() => verifyKeysetRoles({ ...keyset, release, request: half }))).toBe('keyset/role')
  expect(codeOf(() => verifyKeysetRoles({ ...keyset, release, receipt: { ...keyset.receipt, x: half.x } }))).toBe(
    'keyset/role',
  )
})

test('keys for requests and receipts are of their one kind', async () => {
  const { publicKey } = await generateHybridKey()
  expect(codeOf(() => keysetShape({ ...keyset, request: publicKey }, 'keyset'))).toMatch(/^shape\//)
  expect(codeOf(() => keysetShape({ ...keyset, receipt: publicKey }, 'keyset'))).toMatch(/^shape\//)
})
