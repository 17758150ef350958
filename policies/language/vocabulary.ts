/**
 * What belongs in policies/language: the words that a policy may use, reading its text, and evaluating it. Nothing here
 * decides: what an evaluation means stands in policies/decide.ts.
 */
import { establishedGroups } from '#policies/credentials/facts.js'
import type { Domain, FactWord } from '#policies/language/fact-word.js'
import { credentialWords } from '#policies/language/words-of-credentials.js'
import { isCountry } from '#policies/registry/countries.js'

/** The version of schema and rules of reading; a decision names it, so that it is replayed under the same. */
export const policyLanguage = 'claviger/policy/v1'

/** What a release or a renewal is to Cedar. */
export type Action = 'release' | 'renew'
export const actions = ['release', 'renew'] as const satisfies readonly Action[]

const purpose = 'name a purpose that the owner allows: `claviger run --purpose`'
const declare = 'sign a host statement that says so and give it to `claviger run`'
const approve = 'run the runtime build that the owner approves, or ask the owner to approve this one'
const update = 'update the firmware of the platform and attest again'
const absent = { mayBeAbsent: true } as const

function declaredWords(group: 'place' | 'operator'): readonly FactWord[] {
  return [
    { path: `${group}.basis`, type: 'String', domain: ['declared'], ...absent, about: 'who says so', mend: declare },
    { path: `${group}.grade`, type: 'Long', ...absent, about: '0 to 5 for L0 to L5', mend: 'bring stronger evidence' },
    { path: `${group}.issuer`, type: 'String', ...absent, about: 'thumbprint of the key that signed', mend: declare },
    { path: `${group}.ageSeconds`, type: 'Long', ...absent, about: 'since it was signed', mend: 'sign a fresh one' },
  ]
}

/** Every fact that a policy can ask for. docs/spec/facts.md prints this table. */
export const factWords: readonly FactWord[] = [
  { path: 'time', type: 'Long', about: "broker's clock, Unix seconds", mend: 'ask again within the window' },
  { path: 'node.keysetDigest', type: 'String', about: 'SHA-256 of the attested keyset, hex', mend: approve },
  {
    path: 'tenant.class',
    type: 'String',
    domain: ['production', 'development'],
    about: 'fixed when created',
    mend: '',
  },
  { path: 'model.id', type: 'String', about: '`owner thumbprint/name`', mend: 'ask for another model' },
  { path: 'model.owner', type: 'String', about: "thumbprint of the owner's first key", mend: 'ask for another model' },
  { path: 'model.name', type: 'String', about: 'the name part of the id', mend: 'ask for another model' },
  { path: 'model.version', type: 'Long', about: 'version number', mend: 'ask for another version of the model' },
  {
    path: 'model.manifestDigest',
    type: 'String',
    about: 'SHA-256 of the manifest, hex',
    mend: 'fetch the model again',
  },
  { path: 'evidence.kind', type: 'String', about: 'kind of evidence, as `snp`', mend: 'run on another kind of TEE' },
  {
    path: 'evidence.platform',
    type: 'String',
    domain: ['hardware', 'simulated'],
    about: '`hardware` only under a vendor root that is compiled in',
    mend: 'run on real TEE hardware',
  },
  {
    path: 'evidence.tier',
    type: 'String',
    domain: ['affirming', 'warning'],
    about: 'trust tier of the attestation result; `none` and `contraindicated` never reach a policy',
    mend: 'mend what the attestation result warns of, and attest again',
  },
  { path: 'evidence.warnings', type: 'Set<String>', about: 'codes of what the appraisal warned of', mend: update },
  {
    path: 'evidence.measurement',
    type: 'String',
    hiddenFromHost: true,
    about: 'what was launched, hex: launch digest, MRTD, MRENCLAVE, PCR0, RIM; on Azure the paravisor',
    mend: approve,
  },
  {
    path: 'evidence.measurements',
    type: 'Set<String>',
    hiddenFromHost: true,
    about: 'that and every other value that names software: RTMRs, PCRs, REMs',
    mend: approve,
  },
  {
    path: 'evidence.platformId',
    type: 'String',
    ...absent,
    hiddenFromHost: true,
    about: 'names one machine, hex: chip id, PPID, instance id',
    mend: 'run on a machine that the owner approves, where the host does not hide which one it is',
  },
  {
    path: 'evidence.devices',
    type: 'Set<String>',
    hiddenFromHost: true,
    about: 'ids of devices that answered beside the machine, hex',
    mend: 'run with devices that the owner approves',
  },
  { path: 'evidence.debug', type: 'Bool', about: 'always false: debug evidence never reaches a policy', mend: '' },
  { path: 'evidence.product', type: 'String', ...absent, about: 'as `Milan`', mend: 'run on another processor' },
  { path: 'evidence.ageSeconds', type: 'Long', about: 'since the evidence was verified', mend: 'attest again' },
  { path: 'evidence.tcbStatus', type: 'String', ...absent, about: "the vendor's word, as `UpToDate`", mend: update },
  { path: 'evidence.tcb.bootLoader', type: 'Long', ...absent, about: 'reported SVN', mend: update },
  { path: 'evidence.tcb.tee', type: 'Long', ...absent, about: 'reported SVN', mend: update },
  { path: 'evidence.tcb.snp', type: 'Long', ...absent, about: 'reported SVN', mend: update },
  { path: 'evidence.tcb.microcode', type: 'Long', ...absent, about: 'reported SVN', mend: update },
  { path: 'evidence.tcb.fmc', type: 'Long', ...absent, about: 'reported SVN', mend: update },
  { path: 'place.stated', type: 'Bool', about: 'whether anybody says where the node is', mend: declare },
  { path: 'place.country', type: 'String', domain: 'country', ...absent, about: 'ISO 3166-1 alpha-2', mend: declare },
  ...declaredWords('place'),
  { path: 'operator.stated', type: 'Bool', about: 'whether anybody says who runs the node', mend: declare },
  { path: 'operator.name', type: 'String', ...absent, about: 'legal name', mend: declare },
  {
    path: 'operator.country',
    type: 'String',
    domain: 'country',
    ...absent,
    about: 'country of the legal seat',
    mend: declare,
  },
  ...declaredWords('operator'),
  { path: 'purpose.stated', type: 'Bool', about: 'whether the host says what the key is for', mend: purpose },
  { path: 'purpose.name', type: 'String', ...absent, about: 'its word, bound into the evidence', mend: purpose },
  ...credentialWords,
]

/** The fact of this path in owners' policies, if there is one. */
export function factWord(path: string): FactWord | undefined {
  return releaseVocabulary.word(path)
}

/** Whether a fact of this domain can have the value. */
export function inDomain(domain: Domain, value: string): boolean {
  return domain === 'country' ? isCountry(value) : domain.includes(value)
}

function recordType(words: readonly FactWord[], depth: number, optionals: readonly string[] | null): string {
  const groups = new Map<string, FactWord[]>()
  for (const word of words) {
    const name = word.path.split('.')[depth]!
    groups.set(name, [...(groups.get(name) ?? []), word])
  }
  const indent = '  '.repeat(depth + 2)
  const lines = [...groups].map(([name, inside]) => {
    const only = inside[0]!
    const leaf = inside.length === 1 && only.path.split('.').length === depth + 1
    const isOptional = leaf ? only.mayBeAbsent === true : depth === 0 && optionals?.includes(name) === true
    const mark = optionals !== null && isOptional ? '?' : ''
    return `${indent}${name}${mark}: ${leaf ? only.type : recordType(inside, depth + 1, optionals)}`
  })
  return `{\n${lines.join(',\n')}\n${'  '.repeat(depth + 1)}}`
}

/** The words that policies of one kind may use, and what a request is to Cedar. */
export interface Vocabulary {
  /** tells it from the others; names its schemas inside the engine */
  readonly name: string
  /**
   * The schema that policies are validated against. Every fact is required here, so a policy reads it without a guard.
   *
   * Invariant: no entity type has parents, so `in` between entities is equality, and Cedar's silent `false` for an absent
   * ancestor cannot occur.
   */
  readonly policySchema: string
  /**
   * The schema that requests are validated against: a fact that may be absent is optional here. Reading it is then an
   * error of evaluation, and an error denies: absence is never success.
   */
  readonly requestSchema: string
  readonly principal: string
  readonly resource: string
  /** The fact of this path, if there is one. */
  word(path: string): FactWord | undefined
}

/** A vocabulary of these words. `principal` and `resource` are names of entity types. */
export function vocabularyOf(of: {
  readonly name: string
  readonly words: readonly FactWord[]
  readonly actions: readonly string[]
  readonly principal: string
  readonly resource: string
  /** groups of words that are absent as wholes where nobody could state them */
  readonly optionalGroups?: readonly string[]
}): Vocabulary {
  const { name, words, principal, resource, optionalGroups = [] } = of
  const wordAt = new Map(words.map((word) => [word.path, word]))
  const schema = (optionals: readonly string[] | null) => `namespace Claviger {
  entity ${principal};
  entity ${resource};
  type Facts = ${recordType(words, 0, optionals)};
  action ${of.actions.join(', ')} appliesTo { principal: [${principal}], resource: [${resource}], context: Facts };
}
`
  return {
    name,
    policySchema: schema(null),
    requestSchema: schema(optionalGroups),
    principal: `Claviger::${principal}`,
    resource: `Claviger::${resource}`,
    word: (path) => wordAt.get(path),
  }
}

/** The words of owners' policies for releases and renewals. */
export const releaseVocabulary = vocabularyOf({
  name: 'release',
  words: factWords,
  actions,
  principal: 'Node',
  resource: 'Model',
  optionalGroups: establishedGroups,
})

export const { policySchema, requestSchema } = releaseVocabulary
