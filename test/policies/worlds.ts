import { buildFacts, type Facts, type FactsInput } from '#policies/index.js'

const owner = 'o'.repeat(43)
export const modelId = `${owner}/whisper`
export const now = 1_790_000_000

/** A node that states place and operator in Germany, on affirmed hardware, for a production tenant. */
export const germanInput: FactsInput = {
  at: now,
  keysetDigest: 'ab'.repeat(32),
  attested: {
    kind: 'snp',
    platform: 'hardware',
    tier: 'affirming',
    warnings: [],
    measurement: 'cd'.repeat(48),
    measurements: ['cd'.repeat(48)],
    platformId: '12'.repeat(64),
    devices: [],
    tcbStatus: null,
    debug: false,
    product: 'Genoa',
    svns: { bootLoader: 10, tee: 0, snp: 23, microcode: 84 },
    verifiedAt: now - 5,
  },
  declared: {
    place: { country: 'DE' },
    operator: { legalName: 'Rechenzentrum Nord GmbH', country: 'DE' },
    issuedAt: now - 86_400,
    issuer: 'h'.repeat(43),
  },
  model: { id: modelId, version: 1, manifestDigest: 'ef'.repeat(32) },
  tenantClass: 'production',
  purpose: null,
}

/** Facts of the German node with parts of the input replaced. */
export function factsWith(change: Partial<FactsInput> = {}, attested: Partial<FactsInput['attested']> = {}): Facts {
  return buildFacts({ ...germanInput, ...change, attested: { ...germanInput.attested, ...attested } })
}

/** The German node with another declared place. */
export function placed(country: string | null, operatorCountry: string | null = 'DE'): Facts {
  return factsWith({
    declared: {
      ...germanInput.declared!,
      place: country === null ? null : { country },
      operator: operatorCountry === null ? null : { legalName: 'Example', country: operatorCountry },
    },
  })
}
