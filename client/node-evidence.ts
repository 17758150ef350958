import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import type { NodeTrust } from '#client/node-trust.js'
import { refuse } from '#client/steps.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { devicesDigestOf, documentDigest, reportDataOf } from '#core/wire/binding.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { BoundEvidence, NodeDocument } from '#core/wire/node-document.js'
import { brokersOf } from '#core/wire/runtime-config.js'
import type { Signed, Statement } from '#core/wire/statements.js'

/** What the evidence binds is this document's model, keyset, settings, trust statement and devices. @throws client/... */
export function verifyBinding(
  { binding: bound, evidence }: BoundEvidence,
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  input: NodeTrust,
): void {
  if (bound.model !== input.policy.model) throw refuse('client/model', 'evidence names another model')
  if (bound.keyset_digest !== keysetDigest(document.keyset))
    throw refuse('client/keyset-splice', 'evidence names another keyset')
  if (bound.config_digest !== documentDigest(document.config))
    throw refuse('client/config-splice', 'evidence names other settings')
  if (bound.trust_digest !== statement.digest)
    throw refuse('client/trust-splice', 'evidence names another trust statement')
  if (bound.devices_digest !== devicesDigestOf(evidence))
    throw refuse('client/devices', 'evidence names other devices than those whose evidence came along')
}

/** The broker of the release must be one that the owner and the reader both believe. */
export function verifyAudience(document: NodeDocument, statement: Signed<Statement<'trust'>>, input: NodeTrust): void {
  const { binding } = document.release
  if (binding.purpose === 'claviger.node.v1') throw refuse('client/purpose', 'evidence was not made for a release')
  const audience = binding.audience
  if (!brokersOf(document.config).includes(audience))
    throw refuse('client/audience', 'evidence was made for another broker than the node obeys')
  if (!statement.value.brokers.some((key) => thumbprint(key) === audience)) {
    throw refuse('client/audience', 'evidence was made for a broker that the owner does not name')
  }
  if (!input.trust.brokers.some(({ key }) => thumbprint(key) === audience)) {
    throw refuse('client/broker-unknown', `no broker in the trust file has key ${audience}`)
  }
}

/** Judges evidence by the reader's own runtimes: an owner's approval is information, not the reader's verdict. */
export async function appraiseByReader(
  bound: BoundEvidence,
  input: NodeTrust,
  tenantClass: Statement<'trust'>['class'],
): Promise<{
  readonly result: AttestationResult
  readonly title: string
  readonly platform: 'hardware' | 'simulated'
}> {
  const expectedReportData = reportDataOf(bound.binding)
  let last: AttestationResult | undefined
  for (const runtime of input.trust.runtimes) {
    const result = await appraiseEvidence(
      bound.evidence,
      { simulatedRoots: input.trust.simulatedRoots, collateralFloors: input.trust.collateralFloors },
      // Simulated evidence of a development tenant is judged like any other, and then refused by `node/policy` unless the
      // caller allows it. For an owner who signed that the class is production nobody can allow it (I6).
      {
        expectedReportData,
        binding: bound.binding,
        referenceValues: runtime.values,
        tenantClass,
        at: input.at,
      },
    )
    const { platform } = result
    if (platform !== 'unverified' && (result.status === 'affirming' || result.status === 'warning')) {
      return { result, title: runtime.title, platform }
    }
    last = result
  }
  const failed = last?.checks.find((check) => check.status === 'contraindicated' || check.status === 'none')
  throw refuse(
    failed?.id.includes('measurement') ? 'client/measurement' : 'client/evidence',
    failed
      ? `evidence is refused at ${failed.id}: expected ${failed.expected}, found ${failed.found}`
      : 'no runtime in the trust file',
    { hint: 'the trust file lists the runtimes that you accept; add one only if you know who built it and from what' },
  )
}

/**
 * Where a nonce was sent: evidence that answers it, for the same keyset, of a machine that is no less than the one of the
 * release.
 *
 * throws  client/fresh-missing, client/purpose, client/nonce, client/platform, and what the two above throw
 */
export async function verifyFresh(
  document: NodeDocument,
  statement: Signed<Statement<'trust'>>,
  platform: 'hardware' | 'simulated',
  input: NodeTrust,
): Promise<void> {
  if (input.nonce === null) return
  const { fresh } = document
  if (fresh === null) throw refuse('client/fresh-missing', 'node sent no evidence for the nonce')
  if (fresh.binding.purpose !== 'claviger.node.v1' || fresh.binding.audience !== 'client') {
    throw refuse('client/purpose', 'fresh evidence was made for another purpose')
  }
  if (fresh.binding.nonce !== input.nonce) throw refuse('client/nonce', 'fresh evidence answers another nonce')
  verifyBinding(fresh, document, statement, input)
  const appraised = await appraiseByReader(fresh, input, statement.value.class)
  // Otherwise whoever may simulate in this trust file could answer in the place of the hardware.
  if (appraised.platform !== platform)
    throw refuse('client/platform', `fresh evidence is ${appraised.platform}, that of the release is ${platform}`)
}
