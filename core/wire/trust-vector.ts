/** Trust tiers, best first. source: draft-ietf-rats-ar4si, "Trustworthiness Tiers" */
export const tiers = ['none', 'affirming', 'warning', 'contraindicated'] as const
export type Tier = (typeof tiers)[number]

/** source: draft-ietf-rats-ar4si, "Trustworthiness Claims" */
export const vectorNames = [
  'instance-identity',
  'configuration',
  'executables',
  'file-system',
  'hardware',
  'runtime-opaque',
  'storage-opaque',
  'sourced-data',
] as const
export type VectorName = (typeof vectorNames)[number]
export type TrustVector = { readonly [name in VectorName]: number }

/** The tier of one value of the vector. source: draft-ietf-rats-ar4si, "Trustworthiness Claim values" */
export function tierOf(value: number): Tier {
  const magnitude = Math.abs(value)
  if (magnitude >= 96) return 'contraindicated'
  if (magnitude >= 32) return 'warning'
  return magnitude >= 2 ? 'affirming' : 'none'
}

/** The worst tier of a vector: a status is never better. */
export function worstTier(vector: TrustVector): Tier {
  return tiers[Math.max(...vectorNames.map((name) => tiers.indexOf(tierOf(vector[name]))))]!
}

/** For each claim the worst value of any part: a reader of the whole sees no better than the reader of its worst part. */
export function worstVector(vectors: readonly TrustVector[]): TrustVector {
  const worst = (name: VectorName) => vectors.map((one) => one[name]).reduce((a, b) => (isWorse(b, a) ? b : a))
  return Object.fromEntries(vectorNames.map((name) => [name, worst(name)])) as TrustVector
}

function isWorse(a: number, b: number): boolean {
  const [tierA, tierB] = [tiers.indexOf(tierOf(a)), tiers.indexOf(tierOf(b))]
  return tierA === tierB ? Math.abs(a) > Math.abs(b) : tierA > tierB
}
