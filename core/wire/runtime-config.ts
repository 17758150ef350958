import { thumbprintShape } from '#core/crypto/jwk.js'
import { sharesMax } from '#core/crypto/shamir.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shaped,
} from '#core/encoding/shape.js'
import { modelIdShape, nameShape } from '#core/wire/names.js'

/** How memory of a node could leave it, beside being read: to a disk, or to whoever asks for it. */
const leakShape = oneOf('swap', 'core-dump', 'diagnostic-report', 'heap-snapshot', 'inspector')
export type Leak = Shaped<typeof leakShape>

/**
 * Everything that the host chose for a node and that could weaken it (I14). Its digest is in the evidence, so a host
 * that changes a setting changes the evidence, and owner and client see it.
 */
export const runtimeConfigShape = object({
  type: literal('claviger/runtime-config/v1'),
  model: modelIdShape,
  /** thumbprint of the broker key whose leases and beats the node obeys */
  broker: thumbprintShape,
  /** of a key that is split: the other brokers that hold shares of it, whose leases and beats the node obeys as well */
  otherBrokers: optional(list(thumbprintShape, { min: 1, max: sharesMax - 1 })),
  /** digest of the host's signed statement on place and operator, when it made one */
  hostStatement: nullable(hex(32)),
  /** what the host says that the key is for: its word, and nobody's proof. Absent: it says nothing */
  purpose: optional(nameShape),
  /** the memory of the engine may be read from outside: for tests of hygiene only */
  dangerousAllowInspection: boolean,
  /** unsealed requests are answered */
  dangerousAllowPlain: boolean,
  /** the node accepts simulated evidence of itself */
  dangerousAllowSimulated: boolean,
  engineConfinement: oneOf('confined', 'unconfined'),
  /** what the node found on its machine when it started (I1) */
  leaks: list(leakShape, { max: 8 }),
  requestSizeMax: integer(),
})
export type RuntimeConfig = Shaped<typeof runtimeConfigShape>

/** The settings of a configuration that weaken it, by name, for node document, receipt and card. */
export function weakenings(config: RuntimeConfig): readonly string[] {
  return [
    ...(config.dangerousAllowInspection ? ['engine memory can be inspected'] : []),
    ...(config.dangerousAllowPlain ? ['unsealed requests are answered'] : []),
    ...(config.dangerousAllowSimulated ? ['simulated evidence is accepted'] : []),
    ...(config.engineConfinement === 'unconfined' ? ['engine: unconfined'] : []),
    ...config.leaks.map((leak) => `memory can leave the node: ${leak}`),
  ]
}

/** Thumbprints of the brokers that a node obeys: one, or all that hold shares of its key. */
export function brokersOf({ broker, otherBrokers }: RuntimeConfig): readonly string[] {
  return [broker, ...(otherBrokers ?? [])]
}
