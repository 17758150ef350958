import { generateHybridKey, generateRecipientKey } from '#core/crypto/hpke.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type Binding, noDevicesDigest } from '#core/wire/binding.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import { testTime } from '#test/fakes/platform.js'

/** The keys of a node, and what its evidence has to carry for a release to it. */
export async function newNode(): Promise<{ readonly keyset: Keyset; readonly binding: Binding }> {
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: (await generateHybridKey()).publicKey,
    request: (await generateRecipientKey()).publicKey,
    receipt: (await generateSigningKey('Ed25519')).key.publicKey as Keyset['receipt'],
    tls: null,
    landmark: null,
    notAfter: testTime + 3600,
  }
  const binding: Binding = {
    purpose: 'claviger.release.v1',
    audience: 'A'.repeat(43),
    model: `${'B'.repeat(43)}/whisper`,
    nonce: `${'C'.repeat(42)}A`,
    keyset_digest: keysetDigest(keyset),
    devices_digest: noDevicesDigest,
    config_digest: '22'.repeat(32),
    trust_digest: '33'.repeat(32),
  }
  return { keyset, binding }
}
