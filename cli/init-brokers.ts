import { type ConnectionArguments, fetchFor } from '#cli/connection-options.js'
import { type Io, paint } from '#cli/output.js'
import { OwnerClient } from '#cli/owner-client.js'
import { proveToOwner } from '#cli/proven-broker.js'
import { brokersBefore } from '#cli/trust-line.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerDemand } from '#core/wire/broker-standing.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { Trust, TrustFile } from '#core/wire/trust-file.js'

/**
 * What is demanded of each broker: what was named now, else what the trust file that stands there demands of the same key. A
 * demand ends only when somebody says `none`.
 *
 * values  one for each broker: null for nothing; undefined where nothing was named
 * trusts  that the reader's own key signed `standing`
 */
export async function demandsOf(
  args: {
    readonly dangerousAllowOperatorKek?: boolean | undefined
    readonly brokerKek?: readonly string[] | undefined
  },
  standing: TrustFile | null,
  documents: readonly BrokerDocument[],
  values: readonly ({ readonly values: ReferenceValues } | null)[] | undefined,
): Promise<readonly (BrokerDemand | undefined)[]> {
  const allowOperatorKek = args.dangerousAllowOperatorKek === true
  const keks = args.brokerKek?.length === 0 ? undefined : args.brokerKek
  if (values !== undefined)
    return values.map((one) => (one === null ? undefined : { values: one.values, allowOperatorKek, keks }))
  const before = await brokersBefore(standing)
  return documents.map(({ key }) => before.find((one) => thumbprint(one.key) === thumbprint(key))?.demand)
}

/**
 * Every broker of which something is demanded proves it now, and each of them is told to the reader.
 *
 * throws  broker-proof/..., broker/key, and what OwnerClient throws
 */
export async function proveAll(
  args: ConnectionArguments & { readonly broker: string },
  trust: Trust,
  documents: readonly BrokerDocument[],
  io: Io,
): Promise<void> {
  const urls = args.broker.split(',').map((text) => text.replace(/^[a-z0-9][a-z0-9._-]{0,99}=/, ''))
  // Simulated roots are for development alone, and no vendor's root is among them.
  const tenantClass = trust.simulatedRoots.length > 0 ? 'development' : 'production'
  for (const [at, document] of documents.entries()) {
    const client = new OwnerClient(urls[at]!, await fetchFor(args))
    const proven = await proveToOwner(client, document, trust, tenantClass, io.now())
    const { alias } = trust.brokers[at]!
    if (proven !== null) io.stderr(`${alias}: ${proven.standing}, ${proven.kek}, as its evidence shows\n`)
    else if (document.standing !== 'UNATTESTED BROKER')
      io.stderr(
        `${paint(io, 'yellow', `${alias}: UNATTESTED BROKER`)} until you say what you accept of it: --broker-values FILE\n`,
      )
  }
}
