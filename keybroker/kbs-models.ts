import { fromHex, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import type { KbsBundle } from '#core/wire/bundle.js'
import { commit } from '#core/wire/commitment.js'
import { encodeEntry, type KbsEntry, loggedReasonsMax } from '#core/wire/entries.js'
import type { Evidence } from '#core/wire/evidence.js'
import { verifyKek } from '#keybroker/approvals/kek.js'
import type { Broker, IssuableResult } from '#keybroker/broker.js'
import { type EntryWriter, newOpening, pendingEntry } from '#keybroker/entries.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { EvidenceStore, KbsPorts, ModelKeyRoute } from '#keybroker/kbs/ports.js'
import type { ModelKeyPath } from '#keybroker/kbs/resource.js'
import type { KbsToken, PresentedToken } from '#keybroker/kbs/token.js'
import { verifyLogged } from '#keybroker/logged.js'
import { modelKeyAad } from '#keybroker/model-key.js'
import { publish, publishPending } from '#keybroker/outbox.js'
import { verifyFitFor } from '#keybroker/proof.js'
import { countRefusal } from '#keybroker/refusals.js'
import { verifyUnwraps } from '#keybroker/release.js'
import {
  holdStanding,
  isSameStanding,
  keyContextOf,
  readStanding,
  type Standing,
  verifyTenantRow,
} from '#keybroker/standing.js'
import type { NewEntry, StoredModelKey } from '#keybroker/stored.js'
import { recordOf } from '#policies/record.js'
import { judgeKbs, type KbsVerdict } from '#policies/release/kbs.js'
import { type OwnerStatements, verifyOwnerStatements } from '#policies/release/statements.js'

const roundsMax = 5

type Decided = KbsVerdict<IssuableResult> & { readonly stage: 'decided' }

interface EntryParts {
  readonly at: UnixSeconds
  /** thumbprint of the broker that decides */
  readonly broker: string
  readonly path: string
  readonly token: PresentedToken
  readonly allow: boolean
  readonly reasons: readonly string[]
  readonly decision: Json
  /** for a model key: whose, and what it was decided by */
  readonly owned: {
    readonly id: string
    readonly opening: string
    readonly stateIndex: number
    readonly version: number
    readonly manifestDigest: string
    readonly policyDigest: string
    readonly statements: OwnerStatements
    readonly evidence: Evidence
  } | null
}

/** A guest's token as entry and bundle have it: our own claims, or those of another verifier with who signed them. */
function recordedToken(token: PresentedToken, broker: string): KbsBundle['token'] {
  if (token.kind === 'own') return token.claims
  const { verifier, claims } = token
  return { type: 'claviger/passport/v1', broker, verifier, claims }
}

/** The entry of a decision on the KBS route, and its bundle. Path, token and decision stand in the leaf as commitments (I10). */
function writeKbsEntry(parts: EntryParts, writer: EntryWriter): NewEntry {
  const { random } = writer
  const { at, path, token, owned } = parts
  const tokenRecord = recordedToken(token, parts.broker)
  // Another verifier's word on hardware is not ours (I6).
  const isHardware = token.kind === 'own' && token.claims.claviger_hardware === 'hardware'
  const openings = {
    tenant: owned?.opening ?? null,
    resource: newOpening(random),
    token: newOpening(random),
    decision: newOpening(random),
  }
  const entry: KbsEntry = {
    kind: 'kbs',
    type: 'claviger/entry/v1',
    at,
    tenant: owned && commit('tenant', owned.id, owned.opening),
    state_index: owned?.stateIndex ?? null,
    version: owned?.version ?? null,
    manifest_digest: owned?.manifestDigest ?? null,
    policy_digest: owned?.policyDigest ?? null,
    resource: commit('resource', path, openings.resource),
    token: commit('token', tokenRecord, openings.token),
    decision: commit('decision', parts.decision, openings.decision),
    platform: isHardware ? 'hardware' : 'simulated',
    broker: writer.standing,
    client: 'unleased, unproven client',
    allow: parts.allow,
    reasons: parts.reasons.slice(0, loggedReasonsMax),
  }
  const leaf = encodeEntry(entry)
  const bundle: Omit<KbsBundle, 'proof'> = {
    type: 'claviger/kbs-bundle/v1',
    at,
    resource: path,
    token: tokenRecord,
    evidence: owned?.evidence ?? null,
    statements: owned?.statements ?? null,
    decision: parts.decision,
    openings,
    leaf: toBase64(leaf),
  }
  return pendingEntry(owned?.id ?? null, 'kbs', false, leaf, bundle, at, writer)
}

/** The decision about a resource of the operator stands in the log on return, cosigned (I3). @throws log/..., database/... */
export function recordResources(broker: Broker): KbsPorts['record'] {
  return async (path, token, decision, at) => {
    const reasons = decision.allow ? [] : decision.reasons
    const { policy = null } = decision
    const record = { type: 'claviger/kbs-decision/v1', allow: decision.allow, policy, reasons }
    const parts = {
      at,
      broker: broker.signer.id,
      path: path.text,
      token,
      allow: decision.allow,
      reasons,
      decision: record,
      owned: null,
    }
    const entry = writeKbsEntry(parts, broker)
    await broker.store.transaction((tx) => tx.appendEntry(entry))
    await publish(broker, entry)
  }
}

/** Model keys on the KBS route. */
export function kbsModels(broker: Broker, kept: EvidenceStore): ModelKeyRoute {
  return {
    async loadDelivery({ model, version }) {
      try {
        const standing = await readNow(broker, model)
        const { registration } = await verifyOwnerStatements(standing.statements, model, broker.signer.id, broker.kept)
        return registration.value.version === version ? registration.value.delivery : null
      } catch (error) {
        const nothing = ['broker/unknown-model', 'judge/statement-missing']
        if (isFailure(error) && nothing.includes(error.code)) return null
        throw error
      }
    },
    release: (key, token, at) => release(broker, kept, key, token, at),
  }
}

function readNow(broker: Broker, model: string, version: number | null = null): Promise<Standing> {
  const since = broker.heads.now()
  return broker.store.read((reader) => readStanding(reader, broker, model, version, since))
}

/**
 * The model key, when the owner's statements allow it now; null when they do not.
 *
 * Invariant: the evidence is appraised again under the owner's reference values of now (I5), and the entry is in the log
 * under a cosigned checkpoint before the key is opened (I3).
 * throws  kbs/token when the evidence behind the token is no longer kept; broker/..., judge/..., log/..., database/...
 */
async function release(
  broker: Broker,
  kept: EvidenceStore,
  key: ModelKeyPath,
  token: KbsToken,
  at: UnixSeconds,
): Promise<Uint8Array | null> {
  const evidence = await kept.load(token.claims.jti, at)
  if (evidence === null) throw new Failure<KbsCode>('kbs/token', 'the evidence behind this token is gone: attest again')
  const about = token.claims.submods.cpu0['ear.veraison.annotated-evidence']
  for (let round = 1; round <= roundsMax; round++) {
    const standing = await readNow(broker, key.model, key.version)
    const { statements } = standing
    const reportData = fromHex(about.report_data, 64)
    const keyDigest = documentDigest(token.teeKey)
    const input = { ...key, statements, broker: broker.signer.id, evidence, reportData, keyDigest, at }
    const verdict = await judgeKbs<IssuableResult>(input, broker)
    if (verdict.stage === 'refused') {
      await countRefusal(broker, verdict.code)
      return null
    }
    verifyTenantRow(standing.tenant, verdict.statements.tenant)
    verifyFitFor(broker, verdict.statements.trust.value)
    if (verdict.allow) await verifyUnwraps(broker, verdict, standing.key)
    const recorded = await recordModel(broker, { key, token, evidence, verdict, standing, at })
    if (recorded === 'pending') await publishPending(broker, standing.tenant.id)
    if (recorded === 'pending' || recorded === 'changed') continue
    const { proof } = await publish(broker, recorded.entry)
    if (!verdict.allow) return null
    // As on our own route: a log that the owner does not name is no log, whatever the client can check (I3).
    await verifyLogged(broker, proof, recorded.entry.leaf, verdict.statements.trust.value)
    return await broker.kek.unwrapDek(
      recorded.key.wrapped,
      modelKeyAad(keyContextOf(verdict.statements, broker.signer.id)),
      recorded.key.keyId,
    )
  }
  throw new Failure<BrokerCode>('broker/changing', "the owner's statements kept changing; ask again")
}

interface Judged {
  readonly key: ModelKeyPath
  readonly token: KbsToken
  readonly evidence: Evidence
  readonly verdict: Decided
  readonly standing: Standing
  readonly at: UnixSeconds
}

/** The decision and its entry, stored in one step with the look at what is true now. */
async function recordModel(
  broker: Broker,
  { key, token, evidence, verdict, standing, at }: Judged,
): Promise<{ readonly entry: NewEntry; readonly key: StoredModelKey } | 'pending' | 'changed'> {
  const { id, opening } = standing.tenant
  return broker.store.transaction(async (tx) => {
    const since = broker.heads.now()
    const now = await holdStanding(tx, broker, key.model, key.version, since)
    if (now.mark.pending) return 'pending'
    if (!isSameStanding(now, standing)) return 'changed'
    const stateIndex = now.mark.index
    if (stateIndex === null) throw new Failure<BrokerCode>('broker/record', 'no change of the tenant is in the log')
    const stored = now.key
    if (stored === null) throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
    const { registration, kek } = verdict.statements
    verifyKek(kek, stored)
    const entry = writeKbsEntry(
      {
        at,
        broker: broker.signer.id,
        path: `${key.model}/${key.version}`,
        token,
        allow: verdict.allow,
        reasons: verdict.allow ? [] : verdict.decision.reasons.map((one) => one.policyId),
        decision: recordOf(verdict.decision) as unknown as Json,
        owned: {
          id,
          opening,
          stateIndex,
          version: key.version,
          manifestDigest: registration.value.manifestDigest,
          policyDigest: verdict.decision.policyDigest,
          statements: standing.statements,
          evidence,
        },
      },
      broker,
    )
    await tx.appendEntry(entry)
    const platform = verdict.node.platformId ?? ''
    if (verdict.allow) await tx.storeKbsReleased({ tenant: id, platform, model: key.model, version: key.version }, at)
    return { entry, key: stored }
  }, key.model)
}
