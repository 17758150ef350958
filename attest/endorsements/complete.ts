import { field as hclField } from '#attest/azure/layout.js'
import { type Caches, noCaches } from '#attest/caches.js'
import { Chooser, type Lookup, type Used } from '#attest/endorsements/choose.js'
import { type AmdMembers, completeAmd } from '#attest/endorsements/complete-amd.js'
import { completeGpu, learnOfDevices } from '#attest/endorsements/complete-gpu.js'
import { completeIntel } from '#attest/endorsements/complete-intel.js'
import { reportSize } from '#attest/snp/layout.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { base64, type Shape } from '#core/encoding/shape.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import {
  type AnyEvidence,
  anyEvidenceShape,
  type DcapCollateral,
  dcapCollateralShape,
  type Evidence,
} from '#core/wire/evidence.js'

/** Evidence that the verifier takes, and what of it did not come along. */
export interface Completed {
  readonly evidence: AnyEvidence
  readonly used: readonly Used[]
}

interface CompleteContext {
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
  /** of a caller who completes often */
  readonly caches?: Caches
}

const text = (max: number): Shape<string> => base64(undefined, Math.ceil(max / 3) * 4)
type Members = { readonly [name: string]: Json }

/**
 * An evidence envelope made whole. In it the members of collateral may be null (`vek`, `ask`, `ark`, `crl` of SNP,
 * `collateral` of a quote), and RIMs and OCSP answers may be missing: they are filled from what is held. What came along is kept unless it is
 * older than what is held, or does not verify.
 *
 * trusts  nothing: the evidence is verified afterwards, as if all of it had come along
 * throws  collateral/undetermined, collateral/absent; shape/... for what is no envelope; those of reading the evidence
 */
export async function completeEvidence(document: Json, lookup: Lookup, context: CompleteContext): Promise<Completed> {
  const { simulatedRoots, at } = context
  const caches = (context.caches ?? noCaches()).forOneRun()
  const chooser = new Chooser(lookup, { simulatedRoots, at, links: caches.links })
  const complete = await completeMembers(document, chooser, { simulatedRoots, at, caches })
  return { evidence: anyEvidenceShape(complete, 'evidence'), used: chooser.used }
}

/**
 * Has the answers on devices looked up that stand in evidence beside a machine, and stay as they were sent: what is revoked
 * becomes known, and refuses the next.
 * @throws what the lookup throws
 */
export async function learnOf(evidence: Evidence, lookup: Lookup, context: CompleteContext): Promise<void> {
  if (evidence.kind !== 'composite') return
  const { simulatedRoots, at } = context
  const caches = (context.caches ?? noCaches()).forOneRun()
  const chooser = new Chooser(lookup, { simulatedRoots, at, links: caches.links })
  await learnOfDevices(evidence.devices, chooser, { simulatedRoots, at, caches })
}

async function completeMembers(document: Json, chooser: Chooser, context: Required<CompleteContext>): Promise<Json> {
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
      await learnOfDevices(members.devices, chooser, context)
      return { ...members, cpu: await completeMembers(members.cpu ?? null, chooser, context) }
    case 'gpu':
      return { ...members, ...(await completeGpu(members, chooser, context)) }
    default:
      return members
  }
}

function amdMembers(members: Members): AmdMembers {
  const one = (name: string, max: number) =>
    (members[name] ?? null) === null ? null : text(max)(members[name], `evidence.${name}`)
  return { vek: one('vek', 8 * KiB), ask: one('ask', 8 * KiB), ark: one('ark', 8 * KiB), crl: one('crl', 64 * KiB) }
}
