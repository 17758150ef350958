import type { Step } from '#attest/trace.js'

const rmm = 'Arm DEN0137 Realm Management Monitor, revision 1.0'
const draft = 'draft-ffm-rats-cca-token-03'
const cose = 'RFC 9052'
const own = 'docs/spec/evidence-cca.md'

/** Steps of verifyCca, in order. */
export const ccaSteps: readonly Step[] = [
  {
    id: 'cca/structure',
    document: rmm,
    section: 'Attestation token format',
    expected:
      'a collection with tag 399 or 907 of two COSE_Sign1; every claim known, once, in its type and size; the realm key on P-384',
  },
  {
    id: 'cca/platform-key',
    document: own,
    section: 'Evidence',
    expected: 'a platform key that is compiled in, of which there is none yet, or one that the caller named',
  },
  {
    id: 'cca/platform-signature',
    document: cose,
    section: 'Signing and Verification Process',
    expected: 'the platform token, as carried, signed by that key with ES384 or ES256',
  },
  {
    id: 'cca/binding',
    document: rmm,
    section: 'CCA platform challenge claim',
    expected: 'the challenge of the platform token is the digest of the realm key as carried',
  },
  {
    id: 'cca/realm-signature',
    document: cose,
    section: 'Signing and Verification Process',
    expected: 'the realm token, as carried, signed by the realm key with ES384',
  },
]

const claim = (id: string, section: string, expected: string): Step => ({ id, document: rmm, section, expected })
const rem = (i: number) =>
  claim(`rem${i}`, 'Realm Extensible Measurements claim', `REM${i} is one that the owner accepts`)

/** Every comparison of appraiseCca. */
export const ccaChecks: readonly Step[] = [
  {
    id: 'platform',
    document: own,
    section: 'Evidence',
    expected: 'hardware; simulated evidence is a warning for development tenants and refused for others',
  },
  claim('report-data', 'Realm challenge claim', 'the realm challenge is what the caller bound in, all 64 bytes'),
  claim('debug', 'CCA platform lifecycle claim', 'the lifecycle is no state of debugging'),
  claim('lifecycle', 'CCA platform lifecycle claim', 'the lifecycle is secured, 0x3000 to 0x30ff'),
  claim('measurement', 'Realm Initial Measurement claim', 'RIM is one that the owner accepts'),
  ...[0, 1, 2, 3].map(rem),
  claim('personalization-value', 'Realm Personalization Value claim', 'RPV is one that the owner accepts'),
  claim('realm-hash', 'Realm hash algorithm ID claim', 'the hash algorithm of the realm is one that the owner accepts'),
  {
    id: 'platform-software',
    document: draft,
    section: 'Software Components',
    expected:
      'implementation id and all software components are, together, those of one firmware that the owner accepts',
  },
  claim('platform-config', 'CCA platform config claim', 'the config is one that the owner accepts'),
  claim('chip-id', 'CCA platform Instance ID claim', 'the instance id is one that the owner accepts'),
]
