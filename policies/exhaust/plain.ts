import type { Json } from '#core/encoding/json.js'
import { type Facts, parseFacts } from '#policies/facts.js'

const owner = 'O'.repeat(43)
const digest = (byte: string) => byte.repeat(32)

const bare = {
  type: 'claviger/facts/v1',
  time: 1_790_000_000,
  node: { keysetDigest: digest('a0') },
  tenant: { class: 'production' },
  model: { id: `${owner}/other`, owner, name: 'other', version: 1, manifestDigest: digest('b0') },
  evidence: {
    kind: 'other',
    platform: 'hardware',
    tier: 'affirming',
    warnings: [],
    measurement: digest('c0'),
    debug: false,
    ageSeconds: 0,
    measurements: [digest('c0')],
    devices: [],
    tcb: {},
  },
  place: { stated: false },
  operator: { stated: false },
  purpose: { stated: false },
}
const nothingProven = {
  credentials: { presented: 0, refused: [] },
  company: { proven: false },
  site: { proven: false, contradicted: false },
  staff: { proven: false },
  licence: { proven: false },
}

/**
 * An affirmed node of real hardware, of which nobody says anything.
 *
 * isEstablished  whether the owner signed whom it believes about the rest
 */
export function plainFacts(isEstablished: boolean): Facts {
  return isEstablished ? established : notEstablished
}
const notEstablished = parseFacts(bare as Json)
const established = parseFacts({ ...bare, ...nothingProven } as Json)
