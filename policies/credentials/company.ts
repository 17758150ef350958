import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Statement } from '#core/wire/statements.js'
import { certificationsOf, controlOf } from '#policies/credentials/control.js'
import type { Company } from '#policies/credentials/facts.js'
import { ageOf, gradeOf, type NotCountedCode, type Rests, sorted, type Verified } from '#policies/credentials/rests.js'
import type { PlacedFacts } from '#policies/credentials/site.js'
import type { VerifiedSources } from '#policies/credentials/sources.js'
import { jurisdictionsOf, listsWith } from '#policies/registry/resolve.js'

/** Who runs the node, what it belongs to and who controls it; null where the registry cannot say what its country is. */
export function companyOf(
  operator: Verified<'operator-control'>,
  clearances: readonly Verified<'export-clearance'>[],
  placed: PlacedFacts,
  shown: readonly string[],
  { sources, at }: { readonly sources: Statement<'sources'>; readonly at: UnixSeconds },
  { registry }: VerifiedSources,
  refused: Set<string>,
): Rests<Company> | null {
  const { legalName, ids, seat, ual, iat, controllers } = operator.claims
  const law = registry.document
  const cleared = clearances.filter(({ claims }) => {
    const isOfCompany = claims.operators.some((one) => ids.includes(one))
    const { facts } = placed
    const isHere = facts.proven && claims.destinations.some((one) => facts.jurisdictions.includes(one))
    if (!isOfCompany) refused.add('established/other-company' satisfies NotCountedCode)
    else if (!isHere) refused.add('established/elsewhere' satisfies NotCountedCode)
    return isOfCompany && isHere
  })
  try {
    const belongs = jurisdictionsOf(law, { code: seat, exclave: false, at, shown })
    const control = controlOf(operator, sources.inside, law, at)
    const certifications = certificationsOf(operator, at)
    const within = controllers && control ? withinAll(control.countries, control.sumUndisclosedBp, law, at) : null
    const held = operator.claims.certifications?.filter((one) => at < one.exp) ?? []
    return {
      facts: {
        proven: true,
        name: legalName,
        ids: sorted(ids),
        seat,
        jurisdictions: belongs.codes,
        controllers: control?.countries,
        controlledWithin: within?.codes,
        outsideMaxBp: control?.maxOutsideBp,
        outsideSumBp: control?.sumOutsideBp,
        outsideVeto: control?.outsideVeto,
        certifications: certifications ?? undefined,
        ual,
        lists: listsWith(law, ids),
        clearances: sorted(cleared.map(({ claims }) => `${claims.by}:${claims.label}`)),
        basis: 'credential',
        grade: gradeOf(operator, ids),
        issuers: sorted([operator, ...cleared].map(({ issuer }) => issuer.id)),
        ageSeconds: ageOf(iat, at),
      },
      used: [operator, ...cleared],
      ends: [...held.map(({ exp }) => exp), ...[belongs.until, within?.until ?? null].filter((one) => one !== null)],
    }
  } catch (error) {
    // A country that the registry does not know, or shares that cannot be: nothing of the company is known.
    if (!isFailure(error)) throw error
    refused.add(error.code)
    return null
  }
}

/** Countries and groups in which every one of these countries is; none where a share is undisclosed: it may be anybody's. */
function withinAll(
  countries: readonly string[],
  undisclosedBp: number,
  law: VerifiedSources['registry']['document'],
  at: UnixSeconds,
): { readonly codes: readonly string[]; readonly until: UnixSeconds | null } {
  if (undisclosedBp > 0 || countries.length === 0) return { codes: [], until: null }
  const each = countries.map((code) => jurisdictionsOf(law, { code, exclave: false, at, shown: [] }))
  const ends = each.flatMap(({ until }) => until ?? [])
  return {
    codes: each[0]!.codes.filter((code) => each.every(({ codes }) => codes.includes(code))),
    until: ends.length === 0 ? null : Math.min(...ends),
  }
}
