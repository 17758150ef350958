import { field as hclField } from '#attest/azure/layout.js'
import { Chooser, type Lookup, type Used } from '#attest/endorsements/choose.js'
import { type AmdMembers, completeAmd } from '#attest/endorsements/complete-amd.js'
import { completeIntel } from '#attest/endorsements/complete-intel.js'
import { verifyDeviceChain } from '#attest/gpu/chain.js'
import { parseReport } from '#attest/gpu/parse.js'
import { rimIds } from '#attest/gpu/rim/golden.js'
import { reportSize } from '#attest/snp/layout.js'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { base64, list, object, type Shape } from '#core/encoding/shape.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type AnyEvidence, anyEvidenceShape, type DcapCollateral, dcapCollateralShape } from '#core/wire/evidence.js'
import type { VerifiedLinks } from '#core/x509/chain.js'

/** Evidence that the verifier takes, and what of it did not come along. */
export interface Completed {
  readonly evidence: AnyEvidence
  readonly used: readonly Used[]
}

interface CompleteContext {
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
  readonly links?: VerifiedLinks
}

const text = (max: number): Shape<string> => base64(undefined, Math.ceil(max / 3) * 4)
type Members = { readonly [name: string]: Json }

/**
 * An evidence envelope made whole. In it the members of collateral may be null (`vek`, `ask`, `ark`, `crl` of SNP,
 * `collateral` of a quote) and RIMs may be missing: they are filled from what is held. What came along is kept unless it is
 * older than what is held, or does not verify.
 *
 * trusts  nothing: the evidence is verified afterwards, as if all of it had come along
 * throws  collateral/undetermined, collateral/absent; shape/... for what is no envelope; those of reading the evidence
 */
export async function completeEvidence(document: Json, lookup: Lookup, context: CompleteContext): Promise<Completed> {
  const { simulatedRoots, at, links } = context
  const chooser = new Chooser(lookup, { simulatedRoots, at, ...(links ? { links } : {}) })
  const complete = await completeMembers(document, chooser, context)
  return { evidence: anyEvidenceShape(complete, 'evidence'), used: chooser.used }
}

async function completeMembers(document: Json, chooser: Chooser, context: CompleteContext): Promise<Json> {
  if (document === null || typeof document !== 'object' || Array.isArray(document)) return document
  const members = document as Members
  switch (members.kind) {
    case 'snp': {
      const report = text(reportSize)(members.report, 'evidence.report')
      return { ...members, ...(await completeAmd(fromBase64(report), amdMembers(members), chooser)) }
    }
    case 'azure-snp': {
      const hcl = fromBase64(text(4 * KiB)(members.hclReport, 'evidence.hclReport'))
      const [start, size] = hclField.hardwareReport
      const report = hcl.slice(start, start + size)
      return { ...members, ...(await completeAmd(report, amdMembers(members), chooser)) }
    }
    case 'tdx':
    case 'sgx':
    case 'azure-tdx': {
      const quote = fromBase64(text(16 * KiB)(members.quote, 'evidence.quote'))
      const sent: DcapCollateral | null =
        (members.collateral ?? null) === null ? null : dcapCollateralShape(members.collateral, 'evidence.collateral')
      const collateral = await completeIntel(quote, sent, chooser)
      return { ...members, collateral: { ...collateral } }
    }
    case 'composite':
      // Not the devices: the machine's report data bind the digest of them as they were sent, RIMs included.
      return { ...members, cpu: await completeMembers(members.cpu ?? null, chooser, context) }
    case 'gpu':
      return completeGpu(members, chooser, context)
    default:
      return members
  }
}

function amdMembers(members: Members): AmdMembers {
  const one = (name: string, max: number) =>
    (members[name] ?? null) === null ? null : text(max)(members[name], `evidence.${name}`)
  return { vek: one('vek', 8 * KiB), ask: one('ask', 8 * KiB), ark: one('ark', 8 * KiB), crl: one('crl', 64 * KiB) }
}

const devicesShape = list(
  (value, path) => {
    const { report, chain } = object({
      report: text(8 * KiB),
      chain: list(text(8 * KiB), { min: 1, max: 8 }),
    })(value, path)
    return { report, chain }
  },
  { min: 1, max: 12 },
)

/** RIMs are looked up for devices whose certificates verify: their ids are made of what the device says of itself. */
async function completeGpu(members: Members, chooser: Chooser, context: CompleteContext): Promise<Json> {
  const sent = (Array.isArray(members.rims) ? members.rims : []) as readonly Members[]
  const ids = new Set<string>()
  for (const { report, chain } of devicesShape(members.devices, 'evidence.devices')) {
    const parsed = parseReport(fromBase64(report))
    const identity = await verifyDeviceChain(chain, parsed.kind, context, context.at, new Map())
    for (const id of Object.values(rimIds(parsed, identity))) if (id !== null) ids.add(id)
  }
  const rims: Members[] = [...sent]
  for (const id of ids) {
    if (sent.some((one) => one.id === id)) continue
    const found = await chooser.choose({ kind: 'nvidia-rim', id }, null, null)
    if (found) rims.push({ id, rim: toBase64(found.body) })
  }
  return { ...members, rims }
}
