import type { BytesCode } from '#core/bytes/bytes.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import type { DsseCode } from '#core/dsse.js'
import type { JsonCode } from '#core/encoding/json.js'
import type { PathCode } from '#core/encoding/path.js'
import type { ShapeCode } from '#core/encoding/shape.js'
import type { SealedCode } from '#core/sealed/failures.js'
import type { ApprovalCode, ApproversCode } from '#core/wire/approvals.js'
import type { CounterCode } from '#core/wire/counter.js'
import type { EntryCode } from '#core/wire/entries.js'
import type { OwnerQueryCode } from '#core/wire/owner-query.js'
import type { RevokedCode } from '#core/wire/revoked.js'
import type { StatementCode } from '#core/wire/statements.js'
import type { DatabaseCode } from '#host/database-failures.js'
import { databaseStatuses, inputStatuses } from '#host/http-failures.js'
import type { AccessCode } from '#keybroker/access/failures.js'
import type { ApprovalsCode } from '#keybroker/approvals/failures.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import type { StoreCode } from '#keybroker/store/open.js'
import type { PolicyCode } from '#policies/language/failures.js'
import type { RefusalCode } from '#policies/release/failures.js'

/** Failures of our own API as such. */
export type ApiCode = 'api/version'

/** Everything that a route of the broker can fail with, but the log's codes, whose table stands with the log. */
export type BrokerServiceCode =
  | ApiCode
  | AccessCode
  | BrokerCode
  | RefusalCode
  | StoreCode
  | KekCode
  | StatementCode
  | CounterCode
  | RevokedCode
  | OwnerQueryCode
  | ApprovalCode
  | ApproversCode
  | ApprovalsCode
  | PolicyCode
  | SealedCode
  | PathCode
  | EntryCode
  | DsseCode
  | CryptoCode
  | BytesCode
  | JsonCode
  | ShapeCode
  | DatabaseCode

/**
 * The broker's failures as HTTP statuses. 403 means a decision, but for `access/role`, whose list was decided by its owner; 5xx that asking again may help.
 */
export const brokerStatuses: Readonly<Record<BrokerServiceCode, number>> = {
  ...inputStatuses,
  ...databaseStatuses,
  // Asking again does not help, as it may with the other failures of a database.
  'database/not-durable': 409,
  'api/version': 400,
  'access/wildcard': 422,
  'access/list': 422,
  'access/credential': 401,
  'access/token-form': 401,
  'access/token-algorithm': 401,
  'access/token-time': 401,
  'access/expired': 401,
  'access/role': 403,
  'access/rate': 429,
  'access/issuer': 503,
  'broker/unknown-tenant': 404,
  'broker/unknown-model': 404,
  'broker/unknown-lease': 404,
  'broker/unknown-entry': 404,
  // What is stored is not what was signed: nothing is decided until the operator has looked.
  'broker/record': 503,
  'broker/rollback': 503,
  'broker/key': 503,
  'judge/statement-false': 503,
  'judge/statement-missing': 503,
  'broker/changing': 503,
  'broker/newer-statement': 503,
  'broker/log-proof': 503,
  'broker/clock': 503,
  'broker/witnesses': 422,
  'broker/sources': 422,
  'broker/rate': 429,
  'broker/challenges': 429,
  'broker/statements': 429,
  'broker/tenant-exists': 409,
  'broker/tenant-statement': 422,
  'broker/registration': 422,
  'broker/model-key': 422,
  'broker/wrapping-key': 422,
  'broker/key-exchange': 422,
  'broker/version': 409,
  'broker/admin-token': 401,
  'broker/unattested': 409,
  'broker/simulated': 409,
  'broker/lease-over': 403,
  'broker/lease-revoked': 403,
  'broker/lease-stale': 409,
  'broker/lease-closed': 409,
  'broker/counter-lowered': 422,
  'broker/counter-beyond': 422,
  'counter/signature': 422,
  'counter/broker': 422,
  'counter/lease': 422,
  'counter/keyset': 422,
  'counter/replayed': 422,
  'counter/not-final': 422,
  'judge/broker-not-trusted': 422,
  'judge/purpose': 422,
  'judge/audience': 422,
  'judge/binding-model': 422,
  'judge/nonce': 422,
  'judge/keyset-digest': 422,
  'judge/config-digest': 422,
  'judge/trust-digest': 422,
  'judge/devices-digest': 422,
  'judge/no-machine': 422,
  'judge/report-data': 422,
  'store/nonce-unknown': 422,
  'store/request-reused': 409,
  'store/statement-chain': 409,
  'statement/chain': 409,
  'statement/tenant': 422,
  'statement/model': 422,
  'revoked/value': 422,
  'revoked/model': 422,
  'store/tenant-exists': 409,
  'store/tenant-unknown': 404,
  'store/model-key-exists': 409,
  'store/model-key-unknown': 404,
  'store/session-unknown': 404,
  'store/entry-index': 503,
  'store/entry-unknown': 404,
  'store/lease-unknown': 404,
  'store/policies-changing': 503,
  'query/broker': 401,
  'query/tenant': 401,
  'query/time': 401,
  'query/ask': 422,
  'approval/signer': 401,
  'approval/broker': 422,
  'approval/tenant': 422,
  'approval/action': 422,
  'approval/digest': 422,
  'approval/approvers': 409,
  'approval/state-index': 409,
  'approval/expired': 422,
  'approval/person': 409,
  'approval/group': 409,
  'approval/threshold': 409,
  'approval/lock': 409,
  'approval/used': 409,
  'approvers/repeated': 422,
  'approvers/unprotected': 422,
  'approvers/threshold': 422,
  'approvals/needed': 409,
  'approvals/unknown': 404,
  'approvals/cancelled': 409,
  'approvals/over': 409,
  'approvals/many': 429,
  'approvals/kek': 422,
  'approval/employer': 409,
  'break-glass/approvers': 409,
  'break-glass/month': 409,
  'break-glass/chained': 409,
  'broker/kek': 503,
  'dsse/type': 422,
  'dsse/signer': 401,
  'crypto/signature': 401,
  'crypto/aead-tag': 422,
  'crypto/key': 422,
  'crypto/hpke-open': 422,
  'crypto/shares': 422,
  'policy/syntax': 422,
  'policy/invalid': 422,
  'policy/limit': 422,
  'policy/engine': 503,
  'kek/unwrap': 503,
  'kek/key-id': 503,
  'kek/file': 503,
  'kek/setting': 503,
  'kek/rotation': 503,
  'kek/not-approved': 503,
  'kek/not-released': 503,
  'kek/lease-over': 503,
  'kek/attester': 503,
  'kek/folder': 503,
  'kek/holder': 503,
  'kek/class': 422,
  'kek/pkcs11-module': 503,
  'kek/pkcs11-token': 503,
  'kek/pkcs11-pin': 503,
  'kek/pkcs11-key-absent': 503,
  'kek/pkcs11-key-exists': 503,
  'kek/pkcs11-key': 503,
  'kek/pkcs11-mechanism': 503,
  'kek/pkcs11-session': 503,
  'kek/pkcs11-device': 503,
  'kek/pkcs11-timeout': 503,
  'kek/pkcs11-busy': 503,
  'kek/pkcs11-failed': 503,
  'kek/vault-tls': 503,
  'kek/vault-unreachable': 503,
  'kek/vault-timeout': 503,
  'kek/vault-sealed': 503,
  'kek/vault-standby': 503,
  'kek/vault-busy': 503,
  'kek/vault-unavailable': 503,
  'kek/vault-denied': 503,
  'kek/vault-token': 503,
  'kek/vault-key-absent': 503,
  'kek/vault-key-exists': 503,
  'kek/vault-key': 503,
  'kek/vault-version': 503,
  'kek/vault-answer': 503,
  'kek/vault-failed': 503,
  'file/absent': 503,
  'file/exists': 503,
  'file/folder': 503,
  'file/permissions': 503,
  'file/size': 503,
  'file/kind': 503,
  'entry/kind': 500,
  'entry/size': 500,
  'path/form': 422,
  'sealed/header': 422,
  'sealed/header-tag': 422,
  'sealed/segment-form': 422,
  'sealed/segment-tag': 422,
  'sealed/segment-digest': 422,
  'sealed/manifest': 422,
  'sealed/manifest-digest': 422,
  'sealed/manifest-secret': 422,
  'sealed/statement': 422,
  'sealed/owner': 422,
  'sealed/plaintext-digest': 422,
  'sealed/quorum': 422,
  'sealed/share': 422,
}
