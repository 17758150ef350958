import { hybridSuite, type RecipientJwk, thumbprint } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { devicesDigestOf, documentDigest } from '#core/wire/binding.js'
import { type CounterCode, verifyCounter } from '#core/wire/counter.js'
import { keysetDigest, verifyKeysetRoles } from '#core/wire/keyset.js'
import type { Declared } from '#core/wire/lease.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { brokersOf } from '#core/wire/runtime-config.js'
import { verifyHostStatement } from '#core/wire/statements.js'
import { codeReason, type Reason } from '#policies/explain.js'
import type { DenialCode, RefusalCode } from '#policies/release/failures.js'
import type { VerifiedStatements } from '#policies/release/statements.js'

/** What a request is for. */
export type ReleasePurpose = 'claviger.release.v1' | 'claviger.renew.v1' | 'claviger.qualify.v1'

/** A refusal in code, as the owner's log shows it and as a host reads it. */
export function denial(
  code: DenialCode,
  explain: string,
  remedy: string,
  expected?: unknown,
  actual?: unknown,
): Reason {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  const unmet =
    expected === undefined
      ? []
      : [
          {
            expected: text(expected),
            actual: actual === undefined ? 'not stated' : text(actual),
            facts: [],
            head: false,
          },
        ]
  return codeReason(code, explain, remedy, unmet)
}

/**
 * The request's own parts are the ones that its binding names, and the binding is for this challenge: from here on the
 * evidence, which binds the binding, speaks for all of them (I14, I20).
 *
 * throws  judge/purpose, judge/audience, judge/binding-model, judge/nonce, judge/keyset-digest, judge/config-digest,
 *         judge/trust-digest, judge/devices-digest
 */
export function verifyBinding(
  request: ReleaseRequest,
  expected: {
    readonly purpose: ReleasePurpose
    readonly broker: string
    readonly model: string
    readonly nonce: string
    readonly trustDigest: string
  },
): void {
  const { binding } = request
  const same = (code: RefusalCode, what: string, actual: string, wanted: string) => {
    if (actual !== wanted) throw new Failure<RefusalCode>(code, `binding has ${what} ${actual}, expected ${wanted}`)
  }
  same('judge/purpose', 'purpose', binding.purpose, expected.purpose)
  same('judge/audience', 'audience', binding.audience, expected.broker)
  same('judge/binding-model', 'model', binding.model, expected.model)
  same('judge/nonce', 'nonce', binding.nonce, expected.nonce)
  same('judge/keyset-digest', 'keyset digest', binding.keyset_digest, keysetDigest(request.keyset))
  same('judge/config-digest', 'config digest', binding.config_digest, documentDigest(request.config))
  same('judge/trust-digest', 'trust digest', binding.trust_digest, expected.trustDigest)
  same('judge/devices-digest', 'devices digest', binding.devices_digest, devicesDigestOf(request.evidence))
}

/** What is wrong with the node's keys: one key in two roles, or keys whose time is over. */
export function keysetRefusals(request: ReleaseRequest, at: UnixSeconds): readonly Reason[] {
  const reasons: Reason[] = []
  try {
    verifyKeysetRoles(request.keyset)
  } catch (error) {
    if (!isFailure(error)) throw error
    reasons.push(denial('judge/keyset-role', 'One key of the node stands in two roles.', 'start the node again'))
  }
  const { notAfter } = request.keyset
  if (notAfter <= at)
    reasons.push(
      denial('judge/keyset-expired', 'The keys of the node have expired.', 'start the node again', `> ${at}`, notAfter),
    )
  return reasons
}

/**
 * What is wrong with the settings that the host chose.
 *
 * Invariant: a setting that weakens a node is refused to every production tenant, whatever its policy says.
 */
export function configRefusals(
  request: ReleaseRequest,
  broker: string,
  tenantClass: 'production' | 'development',
): readonly Reason[] {
  const { config, binding } = request
  const reasons: Reason[] = []
  const refuse = (...reason: Parameters<typeof denial>) => void reasons.push(denial(...reason))
  if (config.model !== binding.model)
    refuse(
      'judge/config-model',
      'The node is set up for another model.',
      'start it for this one',
      binding.model,
      config.model,
    )
  if (!brokersOf(config).includes(broker))
    refuse('judge/config-broker', 'The node obeys another broker.', 'start it with this broker', broker, config.broker)
  if (tenantClass === 'development') return reasons
  const weak = 'This setting weakens the node and is refused to every production tenant.'
  if (config.dangerousAllowInspection)
    refuse('judge/config-inspection', weak, 'start the node without --dangerous-allow-inspection', false, true)
  if (config.dangerousAllowPlain)
    refuse('judge/config-plain', weak, 'start the node without --dangerous-allow-plain', false, true)
  if (config.dangerousAllowSimulated)
    refuse('judge/config-simulated', weak, 'start the node without --dangerous-allow-simulated', false, true)
  if (config.engineConfinement !== 'confined') {
    const why = 'The process that holds the model is not confined: a production lease is refused.'
    refuse(
      'judge/config-unconfined',
      why,
      'run the node where it can confine its engine',
      'confined',
      config.engineConfinement,
    )
  }
  if (config.leaks.length > 0) {
    const why = 'Memory can leave this machine: a production lease is refused.'
    refuse('judge/config-leaks', why, 'run the node where no memory reaches a disk', [], config.leaks)
  }
  return reasons
}

/** What is wrong with the model that is asked for: not the registered one, too old, or not for this route. */
export function modelRefusals(
  request: ReleaseRequest,
  statements: VerifiedStatements,
  at: UnixSeconds,
): readonly Reason[] {
  const { manifestDigest, version, versionFloor, delivery } = statements.registration.value
  const reasons: Reason[] = []
  const refuse = (...reason: Parameters<typeof denial>) => void reasons.push(denial(...reason))
  const fetchAgain = 'fetch the sealed model that the owner registered'
  if (request.modelVersion !== version)
    refuse('judge/version', 'Another version of the model is registered.', fetchAgain, version, request.modelVersion)
  if (request.modelVersion < versionFloor) {
    const why = 'Versions below the floor of the owner are never released again.'
    refuse('judge/version-floor', why, fetchAgain, `>= ${versionFloor}`, request.modelVersion)
  }
  if (request.manifestDigest !== manifestDigest)
    refuse(
      'judge/manifest',
      'The manifest is not the registered one.',
      fetchAgain,
      manifestDigest,
      request.manifestDigest,
    )
  if (!delivery.includes('v1'))
    refuse('judge/delivery', 'The owner does not deliver this key on this route.', 'ask the owner', 'v1', delivery)
  reasons.push(...keyExchangeRefusals(statements, request.keyset.release))
  return [...reasons, ...licenceRefusals(statements, at)]
}

/** Whether the key may leave under the key that it would be wrapped to. release: null on a route that has no hybrid */
export function keyExchangeRefusals(
  { registration }: VerifiedStatements,
  release: RecipientJwk | null,
): readonly Reason[] {
  if (registration.value.keyExchange === undefined || release?.kty === 'AKP') return []
  const why = 'The owner lets the key leave under a hybrid key exchange alone.'
  const mend = release === null ? 'ask for it on /v1' : 'run a runtime whose release key is of X-Wing'
  return [denial('judge/key-exchange', why, mend, hybridSuite, release === null ? 'JWE' : 'X25519')]
}

/** Whether the owner's licence for the version is over. */
export function licenceRefusals({ registration }: VerifiedStatements, at: UnixSeconds): readonly Reason[] {
  const ends = registration.value.allowance?.expiresAt ?? null
  if (ends === null || at < ends) return []
  return [denial('judge/licence-ended', 'The licence for this version of the model has ended.', 'ask the owner')]
}

/**
 * The node's own count of what it used, when it renews: what its TEE signed for this challenge and no other, or a reason.
 * A first release has used nothing.
 */
export async function readCounter(
  request: ReleaseRequest,
): Promise<{ readonly inferences: number; readonly reasons: readonly Reason[] }> {
  const { lease, counter, keyset, binding } = request
  const refused = (code: DenialCode, why: string) => ({
    inferences: 0,
    reasons: [denial(code, why, 'renew with the count that this node signs for this challenge')],
  })
  if (lease === null) {
    if (counter === undefined) return { inferences: 0, reasons: [] }
    return refused('counter/lease', 'A first release has nothing to count.')
  }
  if (counter === undefined) return refused('judge/counter-missing', 'A renewal says how much was used.')
  try {
    const expected = { broker: binding.audience, lease, nonce: binding.nonce }
    const { inferences } = await verifyCounter(counter, keyset, expected)
    return { inferences, reasons: [] }
  } catch (error) {
    if (!isFailure(error)) throw error
    return refused(error.code as CounterCode, `The count is refused: ${error.message}.`)
  }
}

/**
 * What the host says of itself, when its statement is the one that the node's settings name: basis `declared`, grade L0,
 * nothing more (I13).
 */
export async function readHost(
  request: ReleaseRequest,
): Promise<{ readonly declared: Declared | null; readonly reasons: readonly Reason[] }> {
  const { host, config } = request
  const refused = (code: DenialCode, why: string) => ({
    declared: null,
    reasons: [denial(code, why, 'start the node with the statement that it sends')],
  })
  if (host === null || config.hostStatement === null) {
    if (host === null && config.hostStatement === null) return { declared: null, reasons: [] }
    return refused('judge/host-missing', 'The node was started with a host statement that is not sent, or the reverse.')
  }
  try {
    const { value, digest } = await verifyHostStatement(host.statement, host.key)
    if (digest !== config.hostStatement)
      return refused('judge/host-statement', 'The host statement is not the one that the node was started with.')
    const { place, operator, host: name, issuedAt } = value
    const issuer = thumbprint(host.key)
    const basis = { basis: 'declared', grade: 'L0', issuer, issuedAt, statementDigest: digest } as const
    return { declared: { place, operator, host: name, ...basis }, reasons: [] }
  } catch (error) {
    if (!isFailure(error)) throw error
    return refused('judge/host-statement', `The host statement does not verify: ${error.message}.`)
  }
}
