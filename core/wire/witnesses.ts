import type { Cosigner } from '#core/tlog/policy.js'

/**
 * Names of the cosigners that whoever wrote the trust statement or file holds to be independent of broker, log and host:
 * the others say that those three saw their own log, which is nothing new (TRUST 2).
 */
export function independentCosigners(
  cosigners: readonly Cosigner[],
  independentWitnesses: readonly string[],
): readonly string[] {
  return cosigners.map((one) => one.name).filter((name) => independentWitnesses.includes(name))
}
