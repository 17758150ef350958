import type { UnixSeconds } from '#core/time.js'
import type { Licence } from '#policies/credentials/facts.js'
import { ageOf, gradeOf, type NotCountedCode, type Rests, sorted, type Verified } from '#policies/credentials/rests.js'
import type { PlacedFacts } from '#policies/credentials/site.js'

/** The one grant of this model to the company, here. Two are none: nobody could say whose quota and purposes count. */
export function licenceOf(
  given: readonly Verified<'usage-grant'>[],
  operator: Verified<'operator-control'> | null,
  placed: PlacedFacts,
  { model, at }: { readonly model: string; readonly at: UnixSeconds },
  refused: Set<string>,
): Rests<Licence> | null {
  const refuse = (code: NotCountedCode) => void refused.add(code)
  if (given.length > 0 && operator === null) refuse('established/no-company')
  if (operator === null) return null
  const { ids } = operator.claims
  const own = given.filter(({ claims }) => {
    const isOfCompany = claims.licensees.some((one) => ids.includes(one))
    const isHere = claims.country === undefined || (placed.facts.proven && placed.facts.country === claims.country)
    if (claims.model !== model) refuse('established/other-model')
    else if (!isOfCompany) refuse('established/other-company')
    else if (!isHere) refuse('established/elsewhere')
    return claims.model === model && isOfCompany && isHere
  })
  if (own.length > 1) refuse('established/licences')
  if (own.length !== 1) return null
  const [grant] = own as [Verified<'usage-grant'>]
  const { purposes, quota, exp, iat } = grant.claims
  return {
    facts: {
      proven: true,
      purposes: sorted(purposes),
      quota,
      leftSeconds: exp - at,
      basis: 'credential',
      grade: gradeOf(grant, ids),
      issuers: [grant.issuer.id],
      ageSeconds: ageOf(iat, at),
    },
    used: [grant],
    ends: [],
  }
}
