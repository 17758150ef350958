import { type Io, paint } from '#cli/output.js'
import type { OwnerClient } from '#cli/owner-client.js'
import { proveToOwner } from '#cli/proven-broker.js'
import { classOf, type RegisterArguments, type RegisterCode } from '#cli/register-statements.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { type RecipientJwk, thumbprint } from '#core/crypto/jwk.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import type { BrokerDocument } from '#core/wire/broker-document.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { Head } from '#core/wire/owner-query.js'
import { statementShapes } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'

/** A broker that a model key, or a share of one, may be sealed to. */
export interface BrokerForKey {
  /** where it proved itself: the document that its evidence binds, with the wrapping key in it */
  readonly document: BrokerDocument
  readonly standing: BrokerStanding
}

/**
 * The key of the broker's document that a model key is sealed to: of X-Wing where it has one, and of no other where the owner
 * asks for a hybrid. The document is signed; one from before the broker had such a key is refused like one that has none.
 *
 * throws  register/key-exchange
 */
export function wrappingKeyOf(
  { wrapping, wrappingHybrid }: BrokerDocument,
  floor: 'hybrid' | undefined,
): { readonly key: RecipientJwk; readonly wrappedTo: string | undefined } {
  if (wrappingHybrid !== undefined) return { key: wrappingHybrid, wrappedTo: thumbprint(wrappingHybrid) }
  if (floor === undefined) return { key: wrapping, wrappedTo: undefined }
  throw new Failure<RegisterCode>('register/key-exchange', 'the broker offers X25519 alone, and you ask for a hybrid', {
    detail: {
      hint: 'its operator makes such a key with ./claviger keybroker hybrid-key; or say --key-exchange any, and whoever records your key now may read it one day',
    },
  })
}

/** Whether what the owner said last demands evidence of this broker. It is compared with, and decides nothing by itself. */
function wasDemanded(heads: readonly Head[], broker: string): boolean {
  const head = heads.find((one) => one.kind === 'trust')
  if (head === undefined) return false
  const { attestedBrokers } = statementShapes.trust(parseCanonicalJson(fromBase64(head.statement.payload)), 'trust')
  return attestedBrokers?.some((one) => one.broker === broker) === true
}

/**
 * The broker is what the owner's trust file demands of it. One of which nothing is demanded gets a production key only by an
 * explicit word, and so does one of which the owner's last trust statement demands more than the trust file now: nobody is
 * served by an unattested broker in the place of an attested one without having said so (TRUST 7).
 *
 * pinned  its document, whose key the trust file names
 * heads   what the broker says that the owner said last; null where it does not know the owner
 * throws  register/unattested-broker, broker-proof/..., and what OwnerClient throws
 */
export async function verifyForKey(
  args: Pick<RegisterArguments, 'class' | 'dangerousAllowUnattestedBroker'>,
  client: OwnerClient,
  pinned: BrokerDocument,
  trust: Trust,
  heads: readonly Head[] | null,
  io: Io,
): Promise<BrokerForKey> {
  const tenantClass = classOf(heads ?? []) ?? args.class
  const proven = await proveToOwner(client, pinned, trust, tenantClass, io.now())
  if (proven !== null) return { document: proven, standing: proven.standing }
  const lowered = wasDemanded(heads ?? [], thumbprint(pinned.key))
  if ((lowered || tenantClass === 'production') && args.dangerousAllowUnattestedBroker !== true) {
    const message = lowered
      ? 'your last trust statement demands evidence of this broker, and your trust file demands none'
      : 'UNATTESTED BROKER: BROKER OPERATOR CAN READ KEYS, and you are a production tenant'
    throw new Failure<RegisterCode>('register/unattested-broker', message, {
      detail: {
        hint: 'say what you accept of it: ./claviger init … --broker-values FILE; or split the key: --brokers URL,URL,…; or add --dangerous-allow-unattested-broker',
      },
    })
  }
  return { document: pinned, standing: 'UNATTESTED BROKER' }
}

/** What the owner is told of who could read the key. */
export function standingWords(io: Io, standing: BrokerStanding, { kek }: BrokerDocument): string {
  const colour = standing === 'ATTESTED BROKER' ? 'green' : standing === 'UNATTESTED BROKER' ? 'yellow' : 'magenta'
  const readable = standing === 'UNATTESTED BROKER' || kek === 'KEK HELD BY OPERATOR'
  return `${paint(io, colour, standing)}, ${kek}${readable ? ': BROKER OPERATOR CAN READ KEYS that you register' : ''}`
}
