import type { Anchors } from '#attest/anchors.js'
import { appraiseAzureSnp, appraiseAzureTdx } from '#attest/azure/appraise.js'
import {
  type AzureSnpClaims,
  type AzureTdxClaims,
  azureSnpClaims,
  azureSnpMachine,
  azureTdxClaims,
  azureTdxMachine,
} from '#attest/azure/claims.js'
import { verifyAzureSnp, verifyAzureTdx } from '#attest/azure/verify.js'
import { type Caches, noCaches, type Signatures } from '#attest/caches.js'
import { appraiseCca } from '#attest/cca/appraise.js'
import { type CcaClaims, ccaClaims, ccaMachine } from '#attest/cca/claims.js'
import { verifyCca } from '#attest/cca/verify.js'
import { appraiseGpu } from '#attest/gpu/appraise.js'
import { type GpuClaims, gpuClaims, gpuDevices } from '#attest/gpu/claims.js'
import { verifyGpu } from '#attest/gpu/verify.js'
import { appraiseNitro } from '#attest/nitro/appraise.js'
import { type NitroClaims, nitroClaims, nitroMachine } from '#attest/nitro/claims.js'
import { verifyNitro } from '#attest/nitro/verify.js'
import type { AnyClaims, ClaimsOf } from '#attest/result.js'
import { appraiseSgx } from '#attest/sgx/appraise.js'
import { type SgxClaims, sgxClaims, sgxMachine } from '#attest/sgx/claims.js'
import { verifySgx } from '#attest/sgx/verify.js'
import { appraiseSnp, type SnpAppraisal } from '#attest/snp/appraise.js'
import { type SnpClaims, snpClaims, snpMachine } from '#attest/snp/claims.js'
import { verifySnp } from '#attest/snp/verify.js'
import { noDevices, type Subject } from '#attest/subject.js'
import { appraiseTdx } from '#attest/tdx/appraise.js'
import { type TdxClaims, tdxClaims, tdxMachine } from '#attest/tdx/claims.js'
import { verifyTdx } from '#attest/tdx/verify.js'
import { type Texts, write, written } from '#attest/texts.js'
import { noTrace, type Trace } from '#attest/trace.js'
import { sha256Hex } from '#core/crypto/hash.js'
import { canonicalMembers, canonicalText } from '#core/encoding/json.js'
import type { UnixSeconds } from '#core/time.js'
import type { Check } from '#core/wire/ear.js'
import type { MachineEvidence, PartEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'

declare const verified: unique symbol

/** Evidence that verified to a vendor root or to a simulated one. Only verifyEvidence makes it. */
export interface VerifiedEvidence<E extends PartEvidence = MachineEvidence> {
  readonly [verified]: true
  readonly kind: E['kind']
  readonly platform: 'hardware' | 'simulated'
  readonly claims: ClaimsOf<E>
  /** SHA-256 of the canonical JSON of the evidence, and of its collateral alone, hex */
  readonly evidenceDigest: string
  readonly collateralDigest: string
  /** what this verification verified now, and did not remember */
  readonly signatures: Signatures
}

/** What an appraisal of any kind is given; reference values are narrowed to the kind's own. */
export type Appraisal = Omit<SnpAppraisal, 'values'> & {
  readonly values: ReferenceValues | null
  /** of a vTPM, where the protocol is not ours */
  readonly expectedExtraData?: Uint8Array | undefined
  /** the time of the appraisal, for evidence that says when it was made */
  readonly at: UnixSeconds
}

/** What the verifier of a kind is; `C` are its claims, `R` its reference values. */
interface KindOf<E extends PartEvidence, C extends AnyClaims, R> {
  verify(
    evidence: E,
    anchors: Anchors,
    at: UnixSeconds,
    trace: Trace,
    caches: Caches,
  ): Promise<{ readonly platform: 'hardware' | 'simulated'; readonly claims: C }>
  /** the part of the evidence that a vendor signed apart from this machine */
  collateral(evidence: E): Texts
  subject(claims: C): Subject
  /** `values` null: the appraisal policy leaves them out */
  appraise(claims: C, input: Omit<Appraisal, 'values'> & { readonly values: R | null }): readonly Check[]
}

/** One kind with the types of its own kept inside: evidence says which kind it is, and claims come from that kind. */
interface Kind {
  verify(
    evidence: PartEvidence,
    anchors: Anchors,
    at: UnixSeconds,
    trace: Trace,
    caches: Caches,
  ): ReturnType<KindOf<PartEvidence, AnyClaims, never>['verify']>
  collateral(evidence: PartEvidence): Texts
  subject(claims: AnyClaims): Subject
  appraise(claims: AnyClaims, input: Appraisal): readonly Check[]
}

function kind<K extends PartEvidence['kind'], C extends AnyClaims>(
  name: K,
  one: KindOf<Extract<PartEvidence, { readonly kind: K }>, C, NonNullable<ReferenceValues[K]>>,
): Kind {
  type E = Extract<PartEvidence, { readonly kind: K }>
  return {
    verify: (evidence, anchors, at, trace, caches) => one.verify(evidence as E, anchors, at, trace, caches),
    collateral: (evidence) => one.collateral(evidence as E),
    subject: (claims) => one.subject(claims as C),
    appraise(claims, input) {
      const values = (input.values?.[name] ?? null) as NonNullable<ReferenceValues[K]> | null
      return one.appraise(claims as C, { ...input, values })
    },
  }
}

/** The closed table of kinds. Adding one is a folder, an entry here and a folder of vectors. */
const kinds: Readonly<Record<PartEvidence['kind'], Kind>> = {
  snp: kind<'snp', SnpClaims>('snp', {
    async verify(evidence, anchors, at, trace, caches) {
      const snp = await verifySnp(evidence, anchors, at, trace, caches)
      return { platform: snp.platform, claims: snpClaims(snp) }
    },
    collateral: ({ ask, ark, crl }) => ({ ask, ark, crl }),
    subject: (claims) => ({ machine: snpMachine(claims), ...noDevices }),
    appraise: appraiseSnp,
  }),
  tdx: kind<'tdx', TdxClaims>('tdx', {
    async verify(evidence, anchors, at, trace, caches) {
      const tdx = await verifyTdx(evidence, anchors, at, trace, caches)
      return { platform: tdx.platform, claims: tdxClaims(tdx) }
    },
    collateral: ({ collateral }) => collateral,
    subject: (claims) => ({ machine: tdxMachine(claims), ...noDevices }),
    appraise: appraiseTdx,
  }),
  sgx: kind<'sgx', SgxClaims>('sgx', {
    async verify(evidence, anchors, at, trace, caches) {
      const sgx = await verifySgx(evidence, anchors, at, trace, caches)
      return { platform: sgx.platform, claims: sgxClaims(sgx) }
    },
    collateral: ({ collateral }) => collateral,
    subject: (claims) => ({ machine: sgxMachine(claims), ...noDevices }),
    appraise: appraiseSgx,
  }),
  gpu: kind<'gpu', GpuClaims>('gpu', {
    async verify(evidence, anchors, at, trace, caches) {
      const gpu = await verifyGpu(evidence, anchors, at, trace, caches)
      return { platform: gpu.platform, claims: gpuClaims(gpu) }
    },
    collateral: ({ rims, ocsp }) => ({ rims, ocsp }),
    subject: (claims) => ({ machine: null, ...gpuDevices(claims) }),
    appraise: appraiseGpu,
  }),
  nitro: kind<'nitro', NitroClaims>('nitro', {
    async verify(evidence, anchors, at, trace, caches) {
      const nitro = await verifyNitro(evidence, anchors, at, trace, caches)
      return { platform: nitro.platform, claims: nitroClaims(nitro) }
    },
    // The certificates are part of the document: nothing comes apart from it.
    collateral: () => null,
    subject: (claims) => ({ machine: nitroMachine(claims), ...noDevices }),
    appraise: appraiseNitro,
  }),
  'azure-snp': kind<'azure-snp', AzureSnpClaims>('azure-snp', {
    async verify(evidence, anchors, at, trace, caches) {
      const azure = await verifyAzureSnp(evidence, anchors, at, trace, caches)
      return { platform: azure.hardware.platform, claims: azureSnpClaims(azure) }
    },
    collateral: ({ ask, ark, crl }) => ({ ask, ark, crl }),
    subject: (claims) => ({ machine: azureSnpMachine(claims), ...noDevices }),
    appraise: appraiseAzureSnp,
  }),
  'azure-tdx': kind<'azure-tdx', AzureTdxClaims>('azure-tdx', {
    async verify(evidence, anchors, at, trace, caches) {
      const azure = await verifyAzureTdx(evidence, anchors, at, trace, caches)
      return { platform: azure.hardware.platform, claims: azureTdxClaims(azure) }
    },
    collateral: ({ collateral }) => collateral,
    subject: (claims) => ({ machine: azureTdxMachine(claims), ...noDevices }),
    appraise: appraiseAzureTdx,
  }),
  cca: kind<'cca', CcaClaims>('cca', {
    // A token has no date, and neither has the key of its platform: no time decides.
    async verify(evidence, anchors, _at, trace, caches) {
      const cca = await verifyCca(evidence, anchors, trace, caches)
      return { platform: cca.platform, claims: ccaClaims(cca) }
    },
    collateral: ({ platformKey }) => ({ platformKey }),
    subject: (claims) => ({ machine: ccaMachine(claims), ...noDevices }),
    appraise: appraiseCca,
  }),
}

/**
 * Verifies evidence of one machine, or of its devices, at a time. What it says is judged by the appraisal.
 *
 * caches  what earlier calls established about vendors' collateral; empty ones when left out. Never evidence: what the
 *         machine itself signed is verified on every call, and the result is the same with and without.
 * trusts  the vendor roots compiled in, and `anchors.simulatedRoots` for simulated evidence
 * throws  the codes of the kind (snp/...; dcap/... with tdx/... or sgx/...; nitro/...; cca/...; azure/... with those of the
 *         hardware; gpu/...), and x509/..., chain/..., crl/...
 */
export async function verifyEvidence<E extends PartEvidence>(
  evidence: E,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace = noTrace,
  caches: Caches = noCaches(),
): Promise<VerifiedEvidence<E>> {
  const own = caches.counting()
  const { platform, claims } = await kinds[evidence.kind].verify(evidence, anchors, at, trace, own)
  const { signatures } = own
  return {
    kind: evidence.kind,
    platform,
    claims,
    signatures,
    ...evidenceDigests(evidence, own),
  } as VerifiedEvidence<E>
}

/**
 * The digests by which results name what they were made from.
 *
 * caches  of a caller who has verified this evidence just now: the text of its collateral is remembered there
 */
export function evidenceDigests(
  evidence: PartEvidence,
  caches: Caches = noCaches(),
): Pick<VerifiedEvidence, 'evidenceDigest' | 'collateralDigest'> {
  const collateral = kinds[evidence.kind].collateral(evidence)
  const { canonical, members, digest } = written(caches, collateral) ?? write(caches, collateral)
  const isDecoded = (text: string) => caches.hasDecoded(text)
  // Collateral is a member of the evidence, or made of some of its members: those are not spelled again.
  const parts: Readonly<Record<string, unknown>> = { ...(collateral as object | null) }
  const textOf = (name: string, part: unknown): string => {
    if (part === collateral) return canonical
    return Object.hasOwn(members, name) && part === parts[name] ? members[name]! : canonicalText(part, isDecoded)
  }
  const texts = Object.entries(evidence).map(([name, part]) => [name, textOf(name, part)] as const)
  return { evidenceDigest: sha256Hex(canonicalMembers(Object.fromEntries(texts))), collateralDigest: digest }
}

/** What machine or which devices verified evidence is about. */
export function subjectOf(evidence: VerifiedEvidence<PartEvidence>): Subject {
  return kinds[evidence.kind].subject(evidence.claims)
}

/**
 * The comparisons of the kind, those that need reference values only where there are some for it: that there are none is
 * for the caller to refuse.
 */
export function appraiseKind(evidence: VerifiedEvidence<PartEvidence>, input: Appraisal): readonly Check[] {
  return kinds[evidence.kind].appraise(evidence.claims, input)
}
