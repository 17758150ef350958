/**
 * What programs outside this package may use, in Node and in browsers: a `fetch` that verifies before it sends, the
 * verifications behind it, and what they are given. Bundles of the log stand apart, as `claviger/bundle`: judging a
 * decision again needs the policy engine, which runs in Node.
 */
export { type CreateFetchOptions, createFetch } from '#client/create-fetch.js'
export {
  fetchNodeDocument,
  NodeClient,
  type NodeClientOptions,
  type PlainRequest,
  type VerifiedAnswer,
} from '#client/node-client.js'
export type { NodeTrust, VerifiedNode } from '#client/node-trust.js'
export { type ClientCode, type Judged, judged, type Step, Steps } from '#client/steps.js'
export { nodeSteps, verifyNode } from '#client/verify-node.js'
export { type ReceiptTrust, receiptSteps, type VerifiedReceipt, verifyReceipt } from '#client/verify-receipt.js'
export { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
export { type Json, parseJson } from '#core/encoding/json.js'
export { Failure, isFailure } from '#core/failure.js'
export { type ClientPolicy, clientPolicyShape } from '#core/wire/client-policy.js'
export {
  type Trust,
  type TrustFile,
  type TrustMemory,
  trustFileShape,
  type VerifiedTrust,
  verifyTrustFile,
} from '#core/wire/trust-file.js'
