import { fromBase64 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { hpkeOpen, type RecipientKey } from '#core/crypto/hpke.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { dekSize } from '#core/sealed/keys.js'
import { manifestDigest, type VerifiedManifest } from '#core/sealed/manifest.js'
import { openDigests } from '#core/sealed/secret.js'
import { verifyManifest } from '#core/sealed/signature.js'
import type { RegisterRequest } from '#core/wire/broker-document.js'
import { registerInfo, registerShareInfo } from '#core/wire/release.js'
import { ownerKeysDigest, type Signed, type Statement, statementShapes } from '#core/wire/statements.js'
import { withBoundKeys } from '#keybroker/bound-keys.js'
import type { Broker } from '#keybroker/broker.js'
import { type AcceptedChanges, applyChanges, type Change, insist, published, verifyChange } from '#keybroker/changes.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { modelKeyAad, type StoredShare, shareContextOf } from '#keybroker/model-key.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import { openRecord, verifyQuorumHere } from '#keybroker/shares.js'
import { readTenant } from '#keybroker/standing.js'
import type { StoredModelKey } from '#keybroker/stored.js'

function contradiction(message: string): Failure<BrokerCode> {
  return new Failure<BrokerCode>('broker/registration', message)
}

/**
 * One version of a model is registered: its key is stored under the key-encryption key, its owner's statements take
 * effect together, and everyone can see that something changed.
 *
 * Sending the same again changes nothing.
 * throws  broker/unknown-tenant, broker/registration, broker/model-key, broker/wrapping-key, broker/key-exchange, broker/version, broker/record, sealed/...,
 *         judge/statement-false, judge/broker-not-trusted, policy/..., statement/chain, crypto/hpke-open, log/..., database/...
 */
export async function registerModel(broker: Broker, request: RegisterRequest): Promise<AcceptedChanges> {
  const claimed = statementShapes.registration(
    parseCanonicalJson(fromBase64(request.registration.payload)),
    'registration',
  )
  const { stored, made } = await broker.store.read((reader) => readTenant(reader, claimed.tenant)) // 1 who registers
  const trust = await verifyChange(broker, 'trust', request.trust, made) // 2 what the owner signed
  const registration = await verifyChange(broker, 'registration', request.registration, made)
  const policy = await verifyChange(broker, 'policy', request.policy, made)
  const referenceValues = await verifyChange(broker, 'reference-values', request.referenceValues, made)
  const { model, version, manifestDigest: digest } = registration.signed.value
  if (policy.signed.value.model !== model || referenceValues.signed.value.model !== model)
    throw contradiction('registration, policy and reference values are about different models')
  const manifest = await readManifest(request, registration.signed, made) // 3 the sealed model
  verifyQuorumHere(manifest, registration.signed.value, broker.signer.id)
  const sealed = request.wrapped === null ? null : fromBase64(request.wrapped)
  const recipient = recipientOf(broker, request, registration.signed.value)
  const key = sealed && (await openKey(broker, recipient, sealed, digest, manifest)) // 4
  try {
    const wrapFor = (trustDigest: string) => {
      const share = shareContextOf(manifest.quorum, broker.signer.id)
      const of = { tenant: stored.id, tenantClass: made.value.class, model, version, manifestDigest: digest, share }
      return modelKeyAad({ ...of, ownerKeysDigest: ownerKeysDigest(made.value.keys), trustDigest })
    }
    const changes: readonly Change[] = [trust, registration, policy, referenceValues]
    const { digest: trustDigest } = trust.signed
    const wrapped = key && (await broker.kek.wrapDek(key.dek, wrapFor(trustDigest))) // 5 before anybody waits for it
    const row = { tenant: stored.id, model, version, manifestDigest: digest, trustDigest }
    await withBoundKeys(broker, made, trustDigest, (bound) =>
      insist(broker, async (tx) => {
        await tx.claimTenant(stored.id)
        await applyChanges(tx, broker, stored, made, changes, bound) // 6 statements
        await storeKey(tx, broker, row, key && wrapped && { wrapped, share: key.share }) // 7 key
      }),
    )
    return await published(broker, stored.id, changes) // 8 in the log
  } finally {
    if (key !== null) wipe(key.dek)
  }
}

/** The manifest that the owner signed, and that the registration names. */
async function readManifest(
  request: RegisterRequest,
  registration: Signed<Statement<'registration'>>,
  made: Signed<Statement<'tenant'>>,
): Promise<VerifiedManifest> {
  const bytes = fromBase64(request.manifest)
  const { model, version, manifestDigest: digest } = registration.value
  if (manifestDigest(bytes) !== digest) throw contradiction('the registration names another manifest')
  const manifest = await verifyManifest(bytes, fromBase64(request.manifestSignature), made.value.keys[0]!)
  if (manifest.model.id !== model || manifest.model.version !== version)
    throw contradiction(`the manifest is of ${manifest.model.id} version ${manifest.model.version}`)
  return manifest
}

/**
 * The key that the model key was sealed to. One that its owner lets leave under a hybrid alone has to come under one: who
 * recorded it on its way here would have it when X25519 breaks.
 */
function recipientOf(
  broker: Broker,
  { wrapped, wrappedTo }: RegisterRequest,
  { keyExchange }: Statement<'registration'>,
): RecipientKey {
  const own: readonly RecipientKey[] = [broker.wrapping, broker.wrappingHybrid]
  const recipient =
    wrappedTo === undefined ? broker.wrapping : own.find(({ publicKey }) => thumbprint(publicKey) === wrappedTo)
  if (recipient === undefined)
    throw new Failure<BrokerCode>('broker/wrapping-key', 'the model key is sealed to a key that is not of this broker')
  if (wrapped !== null && keyExchange === 'hybrid' && recipient.publicKey.kty !== 'AKP')
    throw new Failure<BrokerCode>(
      'broker/key-exchange',
      'the model key came under X25519, and its owner asks for a hybrid',
    )
  return recipient
}

/** What is to be stored of a model key: all of it, or the share of this broker. */
interface OpenedKey {
  /** 32 bytes, for the caller to wipe */
  readonly dek: Uint8Array
  readonly share: StoredShare | null
}

/**
 * The model key. A whole one opens the manifest's encrypted part, so it is this model's and no other's; a share is the one
 * that the owner committed to for this broker.
 */
async function openKey(
  broker: Broker,
  recipient: RecipientKey,
  sealed: Uint8Array,
  digest: string,
  manifest: VerifiedManifest,
): Promise<OpenedKey> {
  const { quorum } = manifest
  const info = quorum === undefined ? registerInfo(digest) : registerShareInfo(digest)
  const opened = await hpkeOpen(recipient, info, new Uint8Array(0), sealed)
  try {
    if (quorum !== undefined) return openRecord(manifest, quorum, broker.signer.id, opened)
    if (opened.length !== dekSize) throw new Failure<BrokerCode>('broker/model-key', `a model key has ${dekSize} bytes`)
    await openDigests(opened, manifest)
    return { dek: opened, share: null }
  } catch (error) {
    wipe(opened)
    throw error
  }
}

async function storeKey(
  tx: StoreTransaction,
  broker: Broker,
  of: Omit<StoredModelKey, 'keyId' | 'wrapped' | 'share'>,
  sent: Pick<StoredModelKey, 'wrapped' | 'share'> | null,
): Promise<void> {
  const known = await tx.loadModelKey(of.tenant, of.model, of.version)
  if (known !== null && known.manifestDigest !== of.manifestDigest)
    throw new Failure<BrokerCode>('broker/version', `version ${of.version} is registered with another manifest`)
  if (sent !== null) await tx.storeModelKey({ ...of, ...sent, keyId: broker.kek.keyId }, broker.clock())
  else if (known === null)
    throw new Failure<BrokerCode>('broker/version', `no key of version ${of.version} is here, and none was sent`)
}
