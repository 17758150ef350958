import { randomBytes } from 'node:crypto'
import type { Io } from '#cli/output.js'
import type { NodeClientOptions } from '#client/node-client.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import type { Trust } from '#core/wire/trust-file.js'

/** A client of one node on this machine's network, clock and randomness. */
export function nodeClientOptions(
  url: string,
  trust: Trust,
  policy: ClientPolicy,
  credential: string | null,
  io: Io,
): NodeClientOptions {
  return {
    url,
    trust,
    policy,
    credential,
    fetch: globalThis.fetch,
    now: io.now,
    randomBytes: (size) => new Uint8Array(randomBytes(size)),
    timeoutMs: 120_000,
  }
}
