import type { UnixSeconds } from '#core/time.js'
import type { Staff } from '#policies/credentials/facts.js'
import { ageOf, gradeOf, type NotCountedCode, type Rests, sorted, type Verified } from '#policies/credentials/rests.js'

/** What was proven of every person who was shown: of those who were not, nothing is known. */
export function staffOf(
  given: readonly Verified<'staff-eligibility'>[],
  operator: Verified<'operator-control'> | null,
  at: UnixSeconds,
  refused: Set<string>,
): Rests<Staff> | null {
  if (given.length === 0) return null
  if (operator === null) {
    refused.add('established/no-company' satisfies NotCountedCode)
    return null
  }
  const { ids } = operator.claims
  const own = given.filter(({ claims }) => ids.includes(claims.employer))
  if (own.length < given.length) refused.add('established/other-company' satisfies NotCountedCode)
  if (own.length === 0) return null
  const persons = sorted(own.map(({ claims }) => claims.person))
  const of = (person: string) => own.flatMap(({ claims }) => (claims.person === person ? claims.predicates : []))
  return {
    facts: {
      proven: true,
      persons: persons.length,
      predicates: sorted(of(persons[0]!)).filter((one) => persons.every((person) => of(person).includes(one))),
      basis: 'credential',
      grade: own.every((one) => gradeOf(one, ids) === 3) ? 3 : 2,
      issuers: sorted(own.map(({ issuer }) => issuer.id)),
      ageSeconds: ageOf(Math.min(...own.map(({ claims }) => claims.iat)), at),
    },
    used: own,
    ends: [],
  }
}
