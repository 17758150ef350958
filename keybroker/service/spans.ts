import { inSpan } from '#host/spans.js'
import type { Broker } from '#keybroker/broker.js'
import type { KekRing } from '#keybroker/kek/ring.js'

/** The same ports, each call within a span: verifier, log and key-encryption key. The database has its own (host/database.ts). */
export function traced<B extends Pick<Broker, 'log' | 'appraise'> & { readonly kek: KekRing }>(ports: B): B {
  const { log, appraise, kek } = ports
  const provider = { 'claviger.kek.provider': kek.provider }
  return {
    ...ports,
    appraise: (evidence, anchors, input) =>
      inSpan('attest', { 'claviger.evidence.kind': evidence.kind }, () => appraise(evidence, anchors, input)),
    log: {
      append: (leaf) => inSpan('log append', {}, () => log.append(leaf)),
      proof: (index) => inSpan('log proof', {}, () => log.proof(index)),
    },
    kek: {
      ...kek,
      wrapDek: (dek, aad) => inSpan('kek wrap', provider, () => kek.wrapDek(dek, aad), 'client'),
      unwrapDek: (wrapped, aad, keyId) =>
        inSpan('kek unwrap', provider, () => kek.unwrapDek(wrapped, aad, keyId), 'client'),
    },
  }
}
