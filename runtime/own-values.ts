import { fromBase64Url } from '#core/bytes/bytes.js'
import { type RecipientJwk, type SignatureJwk, thumbprint, type X25519Jwk } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'
import type { Quorum } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import { type Binding, documentDigest, noDevicesDigest } from '#core/wire/binding.js'
import { type Keyset, keysetDigest, verifyKeysetRoles } from '#core/wire/keyset.js'
import { ownerOf } from '#core/wire/names.js'
import type { HostDeclaration } from '#core/wire/release.js'
import type { Leak, RuntimeConfig } from '#core/wire/runtime-config.js'
import { type Signed, type Statement, verifyHostStatement, verifyStatement } from '#core/wire/statements.js'
import type { OwnHost, OwnValues } from '#runtime/verify-grant.js'

/** Failures of putting together what a node knows by itself. */
export type OwnCode =
  /** the trust statement is of another owner than the one whom the model id names */
  | 'own/owner'
  /** the owner's trust statement does not list the broker, or lists several and none was named */
  | 'own/broker'
  /** the attester makes simulated evidence, and nobody allowed that */
  | 'own/simulated'
  /** the attester makes simulated evidence, and the owner is a production tenant: nobody can allow that */
  | 'own/class'
  /** memory could leave this machine, and the owner is a production tenant */
  | 'own/leaks'

export interface NodeQuorum {
  readonly quorum: Quorum
  /** by the broker's thumbprint; of those that could be asked */
  readonly trust: ReadonlyMap<string, Envelope>
}

/** What whoever starts a node chose. Everything that could weaken it enters the evidence (I14). */
export interface NodeSettings {
  readonly model: string
  readonly modelVersion: number
  readonly manifestDigest: string
  /** the key that the model id is named after, from the signed manifest */
  readonly ownerKey: SignatureJwk
  /** the owner's trust statement, as signed */
  readonly trust: Envelope
  /** thumbprint of the broker's key; null when the trust statement lists exactly one */
  readonly broker: string | null
  /** of a key that is split, by the signed manifest: its brokers, each with the owner's trust statement that it keeps */
  readonly quorum?: NodeQuorum
  readonly host: HostDeclaration | null
  /** what the key is for, as the host says; absent: it says nothing */
  readonly purpose?: string | undefined
  readonly dangerousAllowInspection: boolean
  readonly dangerousAllowPlain: boolean
  readonly dangerousAllowSimulated: boolean
  readonly engineConfinement: RuntimeConfig['engineConfinement']
  /** what `findLeaks` found here */
  readonly leaks: RuntimeConfig['leaks']
}

/** Keys that this node made. The release key is the engine's, whose private half this process never sees. */
export interface NodeKeys {
  readonly release: RecipientJwk
  readonly request: X25519Jwk
  readonly receipt: Keyset['receipt']
  /** what landmarks time; null where the host names none */
  readonly landmark: Keyset['landmark']
  readonly notAfter: UnixSeconds
}

async function ownHost(declaration: HostDeclaration | null): Promise<OwnHost | null> {
  if (declaration === null) return null
  const statement = await verifyHostStatement(declaration.statement, declaration.key)
  return { declaration, statement, key: declaration.key }
}

function pinnedBroker(settings: NodeSettings, trust: Statement<'trust'>): string {
  const listed = trust.brokers.map(thumbprint)
  const held = settings.quorum?.quorum.shares.map((one) => one.broker)
  if (held !== undefined) {
    const unknown = held.find((one) => !listed.includes(one))
    if (unknown === undefined) return held[0]!
    throw new Failure<OwnCode>('own/broker', `the owner does not trust broker ${unknown}, which holds a share`)
  }
  if (settings.broker !== null) {
    if (listed.includes(settings.broker)) return settings.broker
    throw new Failure<OwnCode>('own/broker', `the owner does not trust broker ${settings.broker}`)
  }
  if (listed.length === 1) return listed[0]!
  throw new Failure<OwnCode>('own/broker', `the owner trusts ${listed.length} brokers: name one of them`)
}

/** Own refusal (I6): no broker, policy or setting elsewhere stands in for the flag. @throws own/simulated */
export function verifyPlatformAllowed(settings: NodeSettings, platform: OwnValues['platform']): void {
  if (platform !== 'simulated' || settings.dangerousAllowSimulated) return
  throw new Failure<OwnCode>('own/simulated', 'evidence would be simulated: NOT HARDWARE', {
    detail: { hint: 'add --dangerous-allow-simulated, for development only' },
  })
}

/**
 * The trust statement that the owner of the model signed, and nobody else's, on a machine that is fit for the owner's class.
 *
 * throws  own/owner, own/class, own/leaks, dsse/..., shape/...
 */
export async function verifyOwnTrust(
  settings: NodeSettings,
  platform: OwnValues['platform'],
): Promise<Signed<Statement<'trust'>>> {
  const owner = ownerOf(settings.model)
  if (thumbprint(settings.ownerKey) !== owner) {
    throw new Failure<OwnCode>('own/owner', `model is of owner ${owner}, the key is ${thumbprint(settings.ownerKey)}`)
  }
  const trust = await verifyStatement('trust', settings.trust, [settings.ownerKey])
  if (trust.value.tenant !== owner) throw new Failure<OwnCode>('own/owner', 'trust statement is of another owner')
  verifyClassAllows(platform, trust.value)
  verifyMemoryStays(settings, trust.value)
  return trust
}

/**
 * What an owner signed as production runs on hardware alone: the flag that allows simulated evidence is the host's, and the
 * class is the owner's (I6). @throws own/class
 */
function verifyClassAllows(platform: OwnValues['platform'], trust: Statement<'trust'>): void {
  if (platform === 'hardware' || trust.class === 'development') return
  throw new Failure<OwnCode>('own/class', 'the owner is a production tenant, and evidence would be simulated', {
    detail: { hint: 'run it on hardware; no flag allows this, only models of a development tenant run simulated' },
  })
}

/** A production node does not start where plaintext could reach a disk (TRUST 22). @throws own/leaks */
function verifyMemoryStays({ leaks }: NodeSettings, trust: Statement<'trust'>): void {
  if (trust.class === 'development' || leaks.length === 0) return
  throw new Failure<OwnCode>('own/leaks', `memory can leave this node: ${leaks.join(', ')}`, {
    detail: { hint: leaks.map((leak) => remedies[leak]).join('; ') },
  })
}

const remedies: Readonly<Record<Leak, string>> = {
  swap: 'turn swap off (swapoff -a)',
  'core-dump': 'let nobody get core dumps (sysctl kernel.core_pattern="|/bin/false")',
  'diagnostic-report': 'start without --report flags',
  'heap-snapshot': 'start without flags for heap snapshots and profiles',
  inspector: 'start without an inspector',
}

/**
 * What this node is, in its own words, before any broker spoke.
 *
 * throws  own/..., keyset/role, dsse/..., crypto/signature, json/..., shape/...
 */
export async function composeOwnValues(
  settings: NodeSettings,
  keys: NodeKeys,
  platform: OwnValues['platform'],
): Promise<OwnValues> {
  verifyPlatformAllowed(settings, platform)
  const trust = await verifyOwnTrust(settings, platform)
  const host = await ownHost(settings.host)
  const config: RuntimeConfig = {
    type: 'claviger/runtime-config/v1',
    model: settings.model,
    broker: pinnedBroker(settings, trust.value),
    otherBrokers: settings.quorum?.quorum.shares.slice(1).map((one) => one.broker),
    hostStatement: host?.statement.digest ?? null,
    purpose: settings.purpose,
    dangerousAllowInspection: settings.dangerousAllowInspection,
    dangerousAllowPlain: settings.dangerousAllowPlain,
    dangerousAllowSimulated: settings.dangerousAllowSimulated,
    engineConfinement: settings.engineConfinement,
    leaks: settings.leaks,
    requestSizeMax,
  }
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: keys.release,
    request: keys.request,
    receipt: keys.receipt,
    tls: null,
    landmark: keys.landmark,
    notAfter: keys.notAfter,
  }
  verifyKeysetRoles(keyset)
  const { model, modelVersion, manifestDigest } = settings
  const quorum = settings.quorum?.quorum
  return { model, modelVersion, manifestDigest, keyset, config, broker: config.broker, quorum, trust, host, platform }
}

/**
 * The same node as each broker of its key sees it: keyset and settings are the same, the trust statement is the one that the
 * broker keeps, and it has to name all of them. A key that is not split has one.
 *
 * throws  own/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function viewsOf(settings: NodeSettings, own: OwnValues): Promise<readonly OwnValues[]> {
  const { quorum } = settings
  if (quorum === undefined) return [own]
  const views: OwnValues[] = []
  for (const { broker } of quorum.quorum.shares) {
    const envelope = quorum.trust.get(broker)
    if (envelope === undefined) continue
    views.push(await viewOf(settings, own, broker, envelope))
  }
  return views
}

/**
 * The same node as one broker of its split key sees it.
 *
 * broker    thumbprint; of `own.quorum`
 * envelope  the owner's trust statement that this broker keeps
 * throws    own/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function viewOf(
  settings: NodeSettings,
  own: OwnValues,
  broker: string,
  envelope: Envelope,
): Promise<OwnValues> {
  const trust = await verifyOwnTrust({ ...settings, trust: envelope }, own.platform)
  pinnedBroker(settings, trust.value)
  return { ...own, broker, trust }
}

/** The statement that evidence binds: everything in it but purpose, audience and nonce is this node's own. */
export function bindingOf(own: OwnValues, purpose: Binding['purpose'], audience: string, nonce: string): Binding {
  fromBase64Url(nonce, 32)
  return {
    purpose,
    audience,
    model: own.model,
    nonce,
    keyset_digest: keysetDigest(own.keyset),
    devices_digest: noDevicesDigest,
    config_digest: documentDigest(own.config),
    trust_digest: own.trust.digest,
  }
}
