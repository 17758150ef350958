/**
 * What else is said when somebody comes to say something of a group of facts: enough to be facts, and nothing that would
 * satisfy a rule by itself. The place is Antarctica, the credentials are of nobody.
 */
const statement = { stated: true, basis: 'declared', grade: 0, issuer: 'A'.repeat(43), ageSeconds: 0, country: 'AQ' }
const credential = { proven: true, basis: 'credential', grade: 3, issuers: ['example'], ageSeconds: 0 }

/** By group of facts. A group that is not here is always there. */
export const becomes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  place: statement,
  operator: { ...statement, name: 'Example' },
  purpose: { stated: true, name: 'example' },
  company: {
    ...{ ...credential, name: 'Example', ids: ['LEI:EXAMPLE'], seat: 'AQ', jurisdictions: ['AQ'] },
    ...{ controllers: ['AQ'], controlledWithin: ['AQ'], outsideMaxBp: 0, outsideSumBp: 0, outsideVeto: false },
    ...{ certifications: [], ual: 1, lists: [], clearances: [] },
  },
  site: {
    ...{ ...credential, basis: 'auditor', facility: 'example', area: 'AQ', country: 'AQ', jurisdictions: ['AQ'] },
    ...{ operated: true, contradicted: false, measuredWithin: ['AQ'], radiusKm: 21_000, landmarks: ['example'] },
  },
  staff: { ...credential, persons: 1, predicates: [] },
  licence: { ...credential, purposes: ['example'], quota: 1, leftSeconds: 1 },
}
