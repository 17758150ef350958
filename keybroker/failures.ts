/**
 * Failures of the broker, beside those of what it uses. A denial is none of them: it is an answer.
 */
export type BrokerCode =
  | 'broker/unknown-tenant'
  | 'broker/unknown-model'
  /** a stored record contradicts what the owner signed, or one is missing: somebody changed the database (I18) */
  | 'broker/record'
  /** a newer build keeps a kind of statement for this owner that this build does not know, and so cannot heed */
  | 'broker/newer-statement'
  /** the database is behind the log: an older one was restored, or rows were taken away (TRUST 8) */
  | 'broker/rollback'
  /** the stored key does not unwrap for what the owner signed */
  | 'broker/key'
  /** the stored key is wrapped under a key-encryption key that the owner does not name */
  | 'broker/kek'
  /** it runs outside a TEE, and evidence of it is demanded (I16) */
  | 'broker/unattested'
  /** its evidence is simulated, and a production tenant demands evidence of it (I6) */
  | 'broker/simulated'
  /** the owner's statements kept changing while the request was decided */
  | 'broker/changing'
  /** more decisions for this tenant, or this machine, than are taken in a minute */
  | 'broker/rate'
  /** the log answered with a proof that the owner's trust statement does not accept */
  | 'broker/log-proof'
  /** a production tenant needs a witness that is independent by its owner's word, and there is none */
  | 'broker/witnesses'
  /** the registry or the directory that the owner names does not verify, is over, or older than the one before */
  | 'broker/sources'
  /** this broker's clock is more than a minute from what the witnesses say */
  | 'broker/clock'
  /** too many challenges wait for an answer */
  | 'broker/challenges'
  /** a tenant of this id exists with another statement */
  | 'broker/tenant-exists'
  /** a tenant's statement is made once, and through its own route */
  | 'broker/tenant-statement'
  /** what was sent belongs to different tenants, models or versions */
  | 'broker/registration'
  /** the model key that came in is not one of 32 bytes, or not that of the manifest */
  | 'broker/model-key'
  /** the model key was sealed to a key that is not this broker's */
  | 'broker/wrapping-key'
  /** the model key came under less than its owner lets it leave under */
  | 'broker/key-exchange'
  /** a key is registered for this version, or none is and none was sent */
  | 'broker/version'
  | 'broker/admin-token'
  /** the owner keeps more chains of statements than one tenant may */
  | 'broker/statements'
  | 'broker/unknown-lease'
  /** the lease expired, was given up, or was ended by a revocation */
  | 'broker/lease-over'
  | 'broker/lease-revoked'
  /** the owner changed who may call since the lease was granted or last renewed: a renewal brings the list of now */
  | 'broker/lease-stale'
  /** no word on what the lease used can come any more: it counts as used */
  | 'broker/lease-closed'
  /** a last word that says less than one before it, or more than the lease was granted */
  | 'broker/counter-lowered'
  | 'broker/counter-beyond'
  | 'broker/unknown-entry'
  /** the same request id came with other contents */
  | 'store/request-reused'
