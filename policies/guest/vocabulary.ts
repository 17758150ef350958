/**
 * What belongs in policies/guest: an operator's policies for guests of the KBS route: which of them its attestation
 * affirms, and which resource of the operator's own goes to whom. What does not: model keys, which their owners' policies
 * and signed statements alone decide about.
 */
import type { FactWord } from '#policies/language/fact-word.js'
import { vocabularyOf } from '#policies/language/vocabulary.js'

const absent = { mayBeAbsent: true } as const
const mend = ''

/** Kinds of TEE as the protocol names them. */
const tees = [
  'snp',
  'tdx',
  'sgx',
  'az-snp-vtpm',
  'az-tdx-vtpm',
  'cca',
  'csv',
  'hygondcu',
  'nvidia',
  'se',
  'tpm',
  'sample',
] as const

const svn = (name: string): FactWord => ({
  path: `evidence.tcb.${name}`,
  type: 'Long',
  ...absent,
  about: 'reported SVN of SNP',
  mend,
})

const evidenceWords: readonly FactWord[] = [
  { path: 'time', type: 'Long', about: "broker's clock, Unix seconds", mend },
  { path: 'evidence.tee', type: 'String', domain: tees, about: "kind of TEE, in the protocol's words", mend },
  {
    path: 'evidence.platform',
    type: 'String',
    domain: ['hardware', 'simulated', 'vouched'],
    about: '`hardware` only under a vendor root that is compiled in; `vouched` is the word of another verifier',
    mend,
  },
  {
    path: 'evidence.measurement',
    type: 'String',
    ...absent,
    about: 'what was launched, hex: launch digest, MRTD, MRENCLAVE',
    mend,
  },
  { path: 'evidence.platformId', type: 'String', ...absent, about: 'names one machine, hex: chip id, PPID', mend },
  {
    path: 'evidence.initData',
    type: 'String',
    ...absent,
    about: 'HOST_DATA, MRCONFIGID, CONFIGID or PCR 8, hex, where the guest sent init-data that it was compared with',
    mend,
  },
  { path: 'evidence.tcbStatus', type: 'String', ...absent, about: "Intel's word, as `UpToDate`", mend },
  ...['bootLoader', 'tee', 'snp', 'microcode'].map(svn),
]

const resourceWords: readonly FactWord[] = [
  ...evidenceWords,
  {
    path: 'evidence.tier',
    type: 'String',
    domain: ['none', 'affirming', 'warning', 'contraindicated'],
    about: 'trust tier of the token, the worst of its parts',
    mend,
  },
  { path: 'path.text', type: 'String', about: '`repository/type/tag`', mend },
  { path: 'path.repository', type: 'String', about: 'first segment', mend },
  { path: 'path.type', type: 'String', about: 'second segment', mend },
  { path: 'path.tag', type: 'String', about: 'third segment', mend },
  { path: 'token.verifier', type: 'String', about: '`own`, or the thumbprint of the verifier that signed', mend },
  { path: 'token.ageSeconds', type: 'Long', about: 'since it was issued', mend },
]

/** Words of a policy that says to whom a resource goes. The principal is the verifier whose token the guest brings. */
export const resourceVocabulary = vocabularyOf({
  name: 'guest-resource',
  words: resourceWords,
  actions: ['get'],
  principal: 'Verifier',
  resource: 'Resource',
})

/** Words of a policy that says which genuine guests are affirmed. */
export const attestationVocabulary = vocabularyOf({
  name: 'guest-attestation',
  words: evidenceWords,
  actions: ['affirm'],
  principal: 'Guest',
  resource: 'Tee',
})
