import type { FactWord } from '#policies/language/fact-word.js'

/* Facts that rest on credentials. All of them are absent where the owner never signed whom it believes (docs/spec/sources.md). */

const bring = 'present a credential that says so: `claviger run --present`'
const disclose = 'present the operator credential with this claim shown: `claviger run --show`'
const grant = 'ask who grants the use of the model for another grant'
const time = 'let landmarks that the owner believes time the node: `claviger run --landmark`'
const other = 'run on a node of another company'
const absent = { mayBeAbsent: true } as const

function documentary(group: 'company' | 'site' | 'staff' | 'licence'): readonly FactWord[] {
  const independent = 'present one of an issuer that the company does not control'
  return [
    {
      path: `${group}.grade`,
      type: 'Long',
      ...absent,
      about: `2: by whom the company controls itself; 3: by others${group === 'site' ? '; 4: and round trips prove the country' : ''}`,
      mend: independent,
    },
    {
      path: `${group}.issuers`,
      type: 'Set<String>',
      ...absent,
      about: 'who says so, by the directory of issuers',
      mend: bring,
    },
    {
      path: `${group}.ageSeconds`,
      type: 'Long',
      ...absent,
      about: 'since the oldest of it was signed or seen',
      mend: 'have it signed again',
    },
  ]
}

/** docs/spec/facts.md prints this table. */
export const credentialWords: readonly FactWord[] = [
  { path: 'credentials.presented', type: 'Long', about: 'how many credentials the host presented', mend: bring },
  {
    path: 'credentials.refused',
    type: 'Set<String>',
    about: 'codes of why some of them, or what the owner believes, do not count',
    mend: 'present credentials that hold, with status lists of today',
  },
  { path: 'company.proven', type: 'Bool', about: 'whether a credential shows who runs the node', mend: bring },
  { path: 'company.name', type: 'String', ...absent, about: 'legal name', mend: other },
  { path: 'company.ids', type: 'Set<String>', ...absent, about: 'as `LEI:...`', mend: other },
  {
    path: 'company.seat',
    type: 'String',
    domain: 'country',
    ...absent,
    about: 'country of the legal seat',
    mend: other,
  },
  {
    path: 'company.jurisdictions',
    type: 'Set<String>',
    ...absent,
    about: 'all that the seat belongs to, itself included',
    mend: other,
  },
  {
    path: 'company.controllers',
    type: 'Set<String>',
    ...absent,
    about: 'countries of all controllers that are named',
    mend: disclose,
  },
  {
    path: 'company.controlledWithin',
    type: 'Set<String>',
    ...absent,
    about: 'countries and groups in which every controller is; none where a share is undisclosed',
    mend: disclose,
  },
  {
    path: 'company.outsideMaxBp',
    type: 'Long',
    ...absent,
    about: 'largest single share outside, hundredths of a percent',
    mend: disclose,
  },
  {
    path: 'company.outsideSumBp',
    type: 'Long',
    ...absent,
    about: 'all shares outside together, undisclosed ones included',
    mend: disclose,
  },
  { path: 'company.outsideVeto', type: 'Bool', ...absent, about: 'whether anybody outside can veto', mend: disclose },
  {
    path: 'company.certifications',
    type: 'Set<String>',
    ...absent,
    about: '`scheme:level` of those that hold',
    mend: disclose,
  },
  { path: 'company.ual', type: 'Long', ...absent, about: 'Union assurance level, 1 to 4', mend: disclose },
  {
    path: 'company.lists',
    type: 'Set<String>',
    ...absent,
    about: 'lists of the registry on which the company stands',
    mend: other,
  },
  {
    path: 'company.clearances',
    type: 'Set<String>',
    ...absent,
    about: '`country:label` of what may be given to the company where the node is',
    mend: bring,
  },
  { path: 'company.basis', type: 'String', domain: ['credential'], ...absent, about: 'what it rests on', mend: bring },
  ...documentary('company'),
  { path: 'site.proven', type: 'Bool', about: 'whether somebody saw this platform in a facility', mend: bring },
  { path: 'site.contradicted', type: 'Bool', about: 'always false: a contradiction never reaches a policy', mend: '' },
  { path: 'site.facility', type: 'String', ...absent, about: 'name of the facility', mend: bring },
  {
    path: 'site.area',
    type: 'String',
    ...absent,
    about: 'country, or a part of one that answers for itself, as `ES-CE`',
    mend: bring,
  },
  { path: 'site.country', type: 'String', domain: 'country', ...absent, about: 'ISO 3166-1 alpha-2', mend: bring },
  {
    path: 'site.jurisdictions',
    type: 'Set<String>',
    ...absent,
    about: 'all that the area belongs to, itself included',
    mend: bring,
  },
  {
    path: 'site.operated',
    type: 'Bool',
    ...absent,
    about: 'whether somebody says that the company runs what stands there',
    mend: bring,
  },
  {
    path: 'site.measuredWithin',
    type: 'Set<String>',
    ...absent,
    about: 'countries and groups in which round trips of landmarks prove the node to be; absent where they prove none',
    mend: time,
  },
  {
    path: 'site.radiusKm',
    type: 'Long',
    ...absent,
    about: 'how far it was at most from one of these landmarks when it was timed',
    mend: time,
  },
  {
    path: 'site.landmarks',
    type: 'Set<String>',
    ...absent,
    about: 'names of the landmarks that this rests on',
    mend: time,
  },
  { path: 'site.basis', type: 'String', domain: ['auditor', 'operator'], ...absent, about: 'who saw it', mend: bring },
  ...documentary('site'),
  {
    path: 'staff.proven',
    type: 'Bool',
    about: 'whether anything is shown of people who work on the node',
    mend: bring,
  },
  { path: 'staff.persons', type: 'Long', ...absent, about: 'how many people were shown', mend: bring },
  {
    path: 'staff.predicates',
    type: 'Set<String>',
    ...absent,
    about: 'what was proven of each of them, as `union-citizen`',
    mend: bring,
  },
  { path: 'staff.basis', type: 'String', domain: ['credential'], ...absent, about: 'what it rests on', mend: bring },
  ...documentary('staff'),
  {
    path: 'licence.proven',
    type: 'Bool',
    about: 'whether a grant shows that the company may use this model here',
    mend: bring,
  },
  { path: 'licence.purposes', type: 'Set<String>', ...absent, about: 'what for, as `research`', mend: grant },
  {
    path: 'licence.quota',
    type: 'Long',
    ...absent,
    about: 'inferences granted in all; absent: any number. Not what is left of them',
    mend: grant,
  },
  { path: 'licence.leftSeconds', type: 'Long', ...absent, about: 'until the grant is over', mend: grant },
  { path: 'licence.basis', type: 'String', domain: ['credential'], ...absent, about: 'what it rests on', mend: grant },
  ...documentary('licence'),
]
