/** On what a group of facts rests, and what nobody knows by it. */
export interface FactGroup {
  readonly group: string
  /** which evidence, statement or credential says it */
  readonly from: string
  /** basis and grade, in words */
  readonly basis: string
  readonly cannot: string
}

/** Every group of facts that a policy can read. source: docs/spec/facts.md, docs/spec/location.md "Grades" */
export const factGroups: readonly FactGroup[] = [
  {
    group: 'time',
    from: 'the broker’s clock',
    basis: 'the broker’s word; it refuses to decide where its clock is far from those of the log’s witnesses',
    cannot: 'Between two decisions nobody looks: what is true at a renewal may have been otherwise a minute before.',
  },
  {
    group: 'node',
    from: 'the attested keyset of the node',
    basis: 'bound into the TEE’s evidence',
    cannot: 'A keyset names keys, not the people who started the node.',
  },
  {
    group: 'tenant',
    from: 'the owner’s tenant statement',
    basis: 'signed by the owner when the tenant was made, and fixed for ever',
    cannot: 'The class says how strictly evidence is judged, and nothing about any law.',
  },
  {
    group: 'model',
    from: 'the owner’s registration and the sealed manifest',
    basis: 'signed by the owner',
    cannot: 'What the weights were made from, and whether the owner had the right to it, nothing here shows.',
  },
  {
    group: 'evidence',
    from: 'the TEE’s evidence, under the vendor’s roots and the owner’s reference values',
    basis: 'signed by the platform; `hardware` only under a vendor root that is compiled into the verifier',
    cannot:
      'Evidence is as good as the TEE: a chip that somebody broke, or a flaw that its vendor has not told, looks the same. It says nothing about where a machine stands or who runs it.',
  },
  {
    group: 'place',
    from: 'the host statement',
    basis: 'declared, grade L0: the host’s own signed word',
    cannot: 'Nobody has verified the place that a host states: it may stand elsewhere.',
  },
  {
    group: 'operator',
    from: 'the host statement',
    basis: 'declared, grade L0: the host’s own signed word',
    cannot:
      'Nobody has verified who runs the node by the host’s own word, and a seat says nothing about who controls the company.',
  },
  {
    group: 'purpose',
    from: 'the host’s own word, bound into the evidence',
    basis: 'declared: nobody verifies it',
    cannot: 'What the key is really used for is not seen: a host can name one purpose and follow another.',
  },
  {
    group: 'credentials',
    from: 'what the host presented with its request',
    basis: 'counted by the broker; each credential verified under the owner’s directory of issuers',
    cannot: 'A host shows the credentials that it likes to show.',
  },
  {
    group: 'company',
    from: 'the operator credential (operator-control)',
    basis: 'credential, grade L2 from an issuer that the company controls, L3 from another',
    cannot:
      'It is as good as its issuer. Shares and vetoes are shown as far as they are disclosed; control by contracts, by staff or by law is not asked.',
  },
  {
    group: 'site',
    from: 'the facility credential and the placement of this very platform (platform-placement)',
    basis:
      'auditor, grade L3: somebody independent of the operator saw it there; operator, grade L2: by the operator’s word',
    cannot: 'A platform that was moved after it was seen is still said to stand there, until the placement is too old.',
  },
  {
    group: 'staff',
    from: 'staff credentials (staff-eligibility)',
    basis: 'credential, grade L2 from an issuer that the company controls, L3 from another',
    cannot:
      'Only the people who were shown are known. Whether somebody who was not shown has access, no credential can say.',
  },
  {
    group: 'licence',
    from: 'the grant of use (usage-grant)',
    basis: 'credential, grade L2 from an issuer that the company controls, L3 from another',
    cannot:
      'A grant names purposes and a quota; what is done with answers, and what is left of the quota, it does not.',
  },
]

/** `place` of `place.country`. */
export const groupOf = (path: string): string => path.split('.')[0]!

/** The groups that these facts belong to, in the order of the table. */
export function groupsOf(paths: readonly string[]): readonly FactGroup[] {
  const read = new Set(paths.map(groupOf))
  return factGroups.filter(({ group }) => read.has(group))
}
