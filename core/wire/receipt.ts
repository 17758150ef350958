import { fromBase64 } from '#core/bytes/bytes.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { sharesMax } from '#core/crypto/shamir.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  optional,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { brokerStandingShape } from '#core/wire/broker-standing.js'
import { clientPolicyShape } from '#core/wire/client-policy.js'
import { openingShape } from '#core/wire/commitment.js'
import { acceptsShape, idShape, modelIdShape, nameShape, platformShape, timeShape } from '#core/wire/names.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'

/** What a node signs about one answer, inside the TEE, with its receipt key. */
export const receiptShape = object({
  type: literal('claviger/receipt/v1'),
  id: idShape,
  requestId: idShape,
  model: modelIdShape,
  version: integer({ min: 1 }),
  manifestDigest: hex(32),
  keysetDigest: hex(32),
  trustDigest: hex(32),
  policyDigest: hex(32),
  /** what the owner signed that this policy leaves open, as in the lease (TRUST 21). Absent: nothing */
  accepts: optional(acceptsShape),
  /** RFC 6962 leaf hash of the release */
  leafHash: hex(32),
  entryIndex: integer(),
  leaseId: idShape,
  /** broker's time in the last beat that the node had when it answered */
  beatAt: timeShape,
  /** that beat, as the broker signed it: a receipt proves its own time */
  beat: envelopeShape,
  /** the same of the other brokers' grants, where several hold the key. Absent: one broker holds it */
  others: optional(
    list(
      object({
        leafHash: hex(32),
        entryIndex: integer(),
        leaseId: idShape,
        policyDigest: hex(32),
        beat: envelopeShape,
      }),
      { max: sharesMax - 1 },
    ),
  ),
  route: string(),
  status: integer({ min: 100, max: 599 }),
  /** commitments to the request body and to the response body as they were inside the sealed channel */
  request: hex(32),
  response: hex(32),
  /** what the client asked the node to respect, as it came inside the sealed request */
  clientPolicy: clientPolicyShape,
  /** pseudonym of the caller under the lease's salt; null where anybody may call */
  caller: nullable(hex(32)),
  /**
   * What was debited: all 0 for an answer that refused before any work was done. `inputBytes` is the size of the body,
   * `inputUnits` and `outputUnits` the work, in units of `unit`.
   */
  usage: object({
    requests: integer({ max: 1 }),
    inputBytes: integer(),
    inputUnits: integer(),
    outputUnits: integer(),
    unit: nameShape,
  }),
  /** what the broker of the lease proved to the node that it is; `UNATTESTED BROKER` where it proved nothing (I16) */
  broker: brokerStandingShape,
  platform: platformShape,
  notHardware: boolean,
  weakenings: list(string(), { max: 32 }),
})
export type Receipt = Shaped<typeof receiptShape>

/** A receipt with all that verifies it offline: `receipt.json`. */
export const receiptFileShape = object({
  type: literal('claviger/receipt-file/v1'),
  receipt: envelopeShape,
  node: nodeDocumentShape,
  openings: object({ request: openingShape, response: openingShape }),
})
export type ReceiptFile = Shaped<typeof receiptFileShape>

const receiptType = 'application/vnd.claviger.receipt+json'

export async function signReceipt(receipt: Receipt, key: SigningKey): Promise<Envelope> {
  return signEnvelope(receiptType, canonicalJson(receipt), [key])
}

/** The receipt that a node's receipt key signed. @throws dsse/..., crypto/signature, json/..., shape/... */
export async function verifyReceiptSignature(envelope: Envelope, key: Ed25519Jwk): Promise<Receipt> {
  const { payload } = await verifyEnvelope(envelope, receiptType, [key], 'receipt')
  return receiptShape(parseCanonicalJson(payload), 'receipt')
}

/** What a receipt claims, before anything about it was verified. */
export function claimedReceipt(envelope: Envelope): Receipt {
  return receiptShape(parseCanonicalJson(fromBase64(envelope.payload)), 'receipt')
}
