import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { makeCaches } from '#attest/caches.js'
import { issueEar } from '#attest/ear/issue.js'
import { concat, fromBase64, toBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes, sha256 } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey, hpkeOpen, hpkeSeal, type RecipientKey } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { encodeParameters, headerSize } from '#core/sealed/floe.js'
import { ciphertextLength, segmentCount, segmentLength } from '#core/sealed/layout.js'
import { ciphertextPath, encodeManifest, fileDigest, manifestDigest } from '#core/sealed/manifest.js'
import { sealDigests } from '#core/sealed/secret.js'
import { manifestName, recoveryName, signFolder } from '#core/sealed/signature.js'
import type { UnixSeconds } from '#core/time.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { type Binding, documentDigest, noDevicesDigest, reportDataOf } from '#core/wire/binding.js'
import type { RegisterRequest } from '#core/wire/broker-document.js'
import { signCounter } from '#core/wire/counter.js'
import type { DeviceEvidence, Evidence, MachineEvidence } from '#core/wire/evidence.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import { apiVersion, type ReleaseRequest, registerInfo, releaseAad, releaseInfo } from '#core/wire/release.js'
import type { RuntimeConfig } from '#core/wire/runtime-config.js'
import {
  payloadDigest,
  type Statement,
  type StatementKind,
  signHostStatement,
  signStatement,
} from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import type { Database } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import { challenge } from '#keybroker/challenge.js'
import { acceptStatement, createTenant } from '#keybroker/changes.js'
import { HeadMemory } from '#keybroker/heads.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import { kekRing } from '#keybroker/kek/ring.js'
import type { Log, Store } from '#keybroker/ports.js'
import { sharedRates } from '#keybroker/rates.js'
import { registerModel } from '#keybroker/register.js'
import { type Outcome, release } from '#keybroker/release.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { migrateStore } from '#keybroker/store/open.js'
import { heldBorders } from '#policies/location/atlas/read.js'
import { KeptStatements } from '#policies/release/kept.js'
import type { SimulatedPlatform } from '#runtime/attester/simulated/platform.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { type TestLog, testLog } from '#test/transparency/fixtures.js'
import type { Log as OpenedLog } from '#transparency/log.js'
import { convictionsOf } from './audited.js'

export const permitAll = '@id("permit-all") permit (principal, action, resource);'
/** When the tests of this process take place: files that share one may run minutes after it. */
export const startTime: UnixSeconds = Math.floor(Date.now() / 1000)

/** A broker in this process: real store, log, witness, verifier and key-encryption key. Only the clock is the test's. */
export interface TestBroker {
  readonly broker: Broker
  readonly database: Database
  readonly testLog: TestLog
  /** the log that `broker` writes, itself */
  readonly log: OpenedLog
  readonly verifier: SigningKey
  readonly clock: { now: UnixSeconds }
  /** put before the store and the log, where a test makes them fail */
  readonly faults: Faults
  /** convictions: what an auditor of its log has to find; nothing, of an honest broker */
  close(convictions?: readonly unknown[]): Promise<void>
}

export interface Faults {
  /** called before and after each step, by its name: throwing is the fault */
  before: (step: string) => void
  after: (step: string) => void
}

/** Every call of the port tells the faults before it begins and after it ended. */
function faulty<T extends object>(port: T, prefix: string, faults: Faults): T {
  return new Proxy(port, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return async (...given: unknown[]) => {
        faults.before(`${prefix}.${String(name)}`)
        const result = await Reflect.apply(value, target, given)
        faults.after(`${prefix}.${String(name)}`)
        return result
      }
    },
  })
}

/** The database of a test lives as long as the test: of it that is enough, whatever kind it is. */
const vouched = (store: Store): Store => ({ ...store, verifyDurable: async () => undefined })

export async function testBroker(
  database: Database,
  options: { store?: (store: Store) => Store; now?: UnixSeconds } = {},
): Promise<TestBroker> {
  await migrateStore(database)
  const clock = { now: options.now ?? startTime }
  // A witness has its own clock, which goes on from when the test begins, or is the test's where that takes place at some other time.
  const began = Date.now()
  const elapsed = () => startTime + Math.floor((Date.now() - began) / 1000)
  const made = await testLog(database, 1, 1, options.now === undefined ? elapsed : () => clock.now)
  const log = await made.open(database)
  const folder = await mkdtemp(join(tmpdir(), 'claviger-broker-'))
  await createKekFile(join(folder, 'kek'))
  const kek = await kekRing(await openKekFile(join(folder, 'kek')))
  await rm(folder, { recursive: true })
  const { key: signer } = await generateSigningKey('Ed25519')
  const { key: verifier } = await generateSigningKey('ES256')
  const caches = makeCaches() // as a broker that runs has
  const faults: Faults = { before: () => undefined, after: () => undefined }
  const store = faulty((options.store ?? vouched)(brokerStore(database)), 'store', faults)
  const port: Log = { append: (leaf) => log.append(leaf), proof: (index) => log.proof(index) }
  const broker: Broker = {
    store,
    log: faulty(port, 'log', faults),
    kek,
    signer,
    wrapping: await generateRecipientKey(),
    wrappingHybrid: await generateHybridKey(),
    standing: 'UNATTESTED BROKER',
    callerSecret: randomBytes(32),
    heads: new HeadMemory(),
    kept: new KeptStatements(),
    borders: heldBorders,
    clock: () => clock.now,
    admit: async () => true,
    rates: sharedRates({ take: store.takeRate, nowMs: () => performance.now() }),
    random: randomBytes,
    async appraise(evidence, anchors, input) {
      const result = await appraiseEvidence(evidence, anchors, input, caches)
      return {
        ...result,
        issueEar: (about) =>
          issueEar(result, { ...about, issuer: 'test', build: '0', id: toBase64Url(randomBytes(16)) }, verifier),
      }
    },
  }
  const test = { broker, database, testLog: made, log, verifier, clock, faults }
  return {
    ...test,
    // Whatever a test does to a broker, its log convicts nobody: an auditor with nothing but the log finds so.
    async close(convictions = []) {
      const found = await convictionsOf(test)
      await log.close()
      expect(found).toEqual(convictions)
    },
  }
}

/** An owner with one sealed model, as far as a broker sees it. */
export interface TestOwner {
  readonly key: SigningKey
  readonly id: string
  readonly model: string
  readonly dek: Uint8Array
  readonly manifest: Uint8Array
  readonly manifestSignature: Uint8Array
  readonly manifestDigest: string
  readonly heads: Map<string, { sequence: number; digest: string; envelope: Envelope }>
}

export async function testOwner(name = 'whisper'): Promise<TestOwner> {
  const { key } = await generateSigningKey('ES256')
  return sealTiny(key, name, 1, new Map())
}

/** The same owner's next version of the model: another key, another manifest. */
export function nextVersion(owner: TestOwner, version: number): Promise<TestOwner> {
  return sealTiny(owner.key, owner.model.slice(44), version, owner.heads)
}

export async function sealTiny(
  key: SigningKey,
  name: string,
  version: number,
  heads: TestOwner['heads'],
): Promise<TestOwner> {
  const dek = randomBytes(32)
  const model = { id: `${key.id}/${name}`, version }
  const plaintextLength = 5
  const segments = Array.from({ length: segmentCount(plaintextLength) }, () => toHex(randomBytes(32)))
  const parameters = encodeParameters({ segmentLength })
  const manifest = encodeManifest({
    format: 'claviger/sealed-model/v1',
    model,
    owner: key.publicKey,
    licence: null,
    size: plaintextLength,
    files: [
      {
        path: 'model.onnx',
        role: 'graph',
        engine: undefined,
        plaintextLength,
        ciphertextLength: ciphertextLength(plaintextLength),
        header: toBase64(concat(parameters, randomBytes(headerSize - parameters.length))),
        segments,
        digest: fileDigest(segments),
      },
    ],
    secret: await sealDigests(dek, model, randomBytes(12), [{ path: 'model.onnx', sha256: toHex(sha256(dek)) }]),
    quorum: undefined,
  })
  const manifestSignature = await signFolder(key, name, [
    { name: manifestName, digest: manifestDigest(manifest) },
    { name: recoveryName, digest: toHex(randomBytes(32)) },
    { name: ciphertextPath('model.onnx'), digest: toHex(randomBytes(32)) },
  ])
  return {
    key,
    id: key.id,
    model: model.id,
    dek,
    manifest,
    manifestSignature,
    manifestDigest: manifestDigest(manifest),
    heads,
  }
}

type Body<K extends StatementKind> = Omit<
  Statement<K>,
  'type' | 'tenant' | 'sequence' | 'previous' | 'issuedAt' | 'why' | 'model'
>

/** The owner's next statement of a kind, signed. It is the head of its chain from now on, whether or not it is accepted. */
export async function sign<K extends StatementKind>(
  owner: TestOwner,
  kind: K,
  body: Body<K>,
  options: { key?: SigningKey; keepHead?: boolean } = {},
): Promise<Envelope> {
  const onModel = !['tenant', 'trust', 'approvers', 'kek', 'access', 'sources'].includes(kind)
  const chain = onModel ? `${kind} ${owner.model}` : kind
  const head = owner.heads.get(chain)
  const statement = {
    type: `claviger/statement/${kind}/v1`,
    tenant: owner.id,
    sequence: (head?.sequence ?? 0) + 1,
    previous: head?.digest ?? null,
    issuedAt: startTime,
    ...(onModel ? { model: owner.model } : {}),
    ...body,
  } as unknown as Statement<K>
  const envelope = await signStatement(kind, statement, options.key ?? owner.key)
  if (!options.keepHead)
    owner.heads.set(chain, { sequence: statement.sequence, digest: payloadDigest(envelope), envelope })
  return envelope
}

export function trustBody(
  test: TestBroker,
  platform: Pick<SimulatedPlatform, 'rootDigest'> | null,
  tenantClass: 'production' | 'development' = 'development',
  simulatedRoots: readonly string[] = platform ? [platform.rootDigest] : [],
): Body<'trust'> {
  return {
    class: tenantClass,
    brokers: [test.broker.signer.publicKey as Ed25519Jwk],
    verifiers: [test.verifier.publicKey],
    logs: [test.testLog.vkey],
    witnessPolicy: test.testLog.quorumPolicy,
    simulatedRoots,
    // A test's one witness is nobody's: where a tenant needs an independent one, it stands for that.
    independentWitnesses: tenantClass === 'production' ? ['w0'] : [],
  }
}

export function registrationBody(
  owner: TestOwner,
  overrides: Partial<Body<'registration'>> = {},
): Body<'registration'> {
  return {
    version: 1,
    manifestDigest: owner.manifestDigest,
    versionFloor: 1,
    delivery: ['v1'],
    lease: { seconds: 300, budget: budgetOf(100), nodes: 2 },
    callers: 'any',
    quorum: undefined,
    allowance: undefined,
    keyExchange: undefined,
    ...overrides,
  }
}

export interface RegistrationOptions {
  readonly class?: 'production' | 'development'
  readonly policy?: string
  /** `nothing`: no statement that any genuine chip will do */
  readonly accepts?: 'nothing'
  readonly values?: ReferenceValues
  /** throwaway roots beside that of the platform */
  readonly simulatedRoots?: readonly string[]
  readonly registration?: Partial<Body<'registration'>>
}

export interface Registered {
  readonly test: TestBroker
  readonly owner: TestOwner
  readonly platform: SimulatedPlatform
}

/** A broker at which an owner has registered a model. */
export async function registered(database: Database, options: RegistrationOptions = {}): Promise<Registered> {
  const test = await testBroker(database)
  const platform = await testPlatform({ at: startTime })
  const owner = await testOwner()
  await createTenant(test.broker, await tenantStatement(owner, options.class ?? 'development'))
  await registerModel(test.broker, await registration(test, owner, platform, options))
  return { test, owner, platform }
}

export function tenantStatement(owner: TestOwner, tenantClass: 'production' | 'development'): Promise<Envelope> {
  return sign(owner, 'tenant', { name: 'acme', class: tenantClass, keys: [owner.key.publicKey] })
}

/** Tests of production tenants are about something else, but for those that say so. */
export const acceptsOf = (options: RegistrationOptions) =>
  options.class === 'production' && options.accepts !== 'nothing' ? 'any-genuine-chip' : undefined

export async function registration(
  test: TestBroker,
  owner: TestOwner,
  platform: SimulatedPlatform | null,
  options: RegistrationOptions = {},
): Promise<RegisterRequest> {
  const info = registerInfo(owner.manifestDigest)
  const wrapping = test.broker.wrappingHybrid.publicKey
  return {
    version: apiVersion,
    trust: owner.heads.get('trust')?.envelope ?? (await signTrust(test, owner, platform, options)),
    registration: await sign(owner, 'registration', registrationBody(owner, options.registration)),
    policy: await sign(owner, 'policy', {
      name: 'test',
      language: 'cedar',
      text: options.policy ?? permitAll,
      accepts: acceptsOf(options),
    }),
    referenceValues: await sign(owner, 'reference-values', { values: options.values ?? testReferenceValues() }),
    manifest: toBase64(owner.manifest),
    manifestSignature: toBase64(owner.manifestSignature),
    wrapped: toBase64(await hpkeSeal(wrapping, info, new Uint8Array(0), owner.dek)),
    wrappedTo: thumbprint(wrapping),
  }
}

function signTrust(
  test: TestBroker,
  owner: TestOwner,
  platform: SimulatedPlatform | null,
  options: RegistrationOptions,
): Promise<Envelope> {
  const body = trustBody(test, platform, options.class)
  const simulatedRoots = [...body.simulatedRoots, ...(options.simulatedRoots ?? [])]
  return sign(owner, 'trust', { ...body, simulatedRoots })
}

export async function change<K extends StatementKind>({ test, owner }: Registered, kind: K, body: Body<K>) {
  return acceptStatement(test.broker, kind, await sign(owner, kind, body))
}

/** What a node runs on: one that is simulated for a run, or one of test/fakes/machines.ts. */
export interface TestMachine {
  attest(reportData: Uint8Array): Promise<Evidence>
  /** asked first, where there are devices beside it */
  readonly devices?: (binding: Binding) => Promise<readonly DeviceEvidence[]>
}

/** A node, as far as a broker sees it: its keys, its settings, its machine. */
export interface TestNode {
  readonly releaseKey: RecipientKey
  readonly receiptKey: SigningKey
  readonly keyset: Keyset
  readonly config: RuntimeConfig
  readonly platform: TestMachine
  readonly host: ReleaseRequest['host']
}

export async function testNode(
  { test, owner, platform }: Registered,
  options: {
    config?: Partial<RuntimeConfig>
    host?: { country: string; legalName?: string }
    platform?: TestMachine
    /** as of a node before there was X-Wing; default: of X-Wing */
    releaseKey?: RecipientKey
    /** what landmarks time; default: none */
    landmark?: Ed25519Jwk
  } = {},
): Promise<TestNode> {
  const releaseKey = options.releaseKey ?? (await generateHybridKey())
  const { key: receipt } = await generateSigningKey('Ed25519')
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: releaseKey.publicKey,
    request: (await generateRecipientKey()).publicKey,
    receipt: receipt.publicKey as Ed25519Jwk,
    tls: null,
    landmark: options.landmark ?? null,
    notAfter: startTime + 86_400,
  }
  const host = options.host ? await hostDeclaration(options.host) : null
  const config: RuntimeConfig = {
    type: 'claviger/runtime-config/v1',
    model: owner.model,
    broker: test.broker.signer.id,
    otherBrokers: undefined,
    purpose: undefined,
    hostStatement: host && payloadDigest(host.statement),
    dangerousAllowInspection: false,
    dangerousAllowPlain: false,
    dangerousAllowSimulated: true,
    engineConfinement: 'unconfined',
    leaks: [],
    requestSizeMax: 1_000_000,
    ...options.config,
  }
  return { releaseKey, receiptKey: receipt, keyset, config, platform: options.platform ?? platform, host }
}

async function hostDeclaration({
  country,
  legalName = 'Example GmbH',
}: {
  country: string
  legalName?: string
}): Promise<{ statement: Envelope; key: SignatureJwk }> {
  const { key } = await generateSigningKey('Ed25519')
  const statement = await signHostStatement(
    {
      type: 'claviger/statement/host/v1',
      host: 'rack-7',
      place: { country },
      operator: { legalName, country },
      issuedAt: startTime,
    },
    key,
  )
  return { statement, key: key.publicKey }
}

export interface Ask {
  readonly lease?: string
  readonly requestId?: string
  readonly nonce?: string
  readonly binding?: Partial<Binding>
  /** evidence of devices that answer the binding without them */
  readonly devices?: (binding: Binding) => Promise<readonly DeviceEvidence[]>
  /** what the node says that it used, in a renewal */
  readonly inferences?: number
  readonly change?: (request: ReleaseRequest) => ReleaseRequest
}

/** What a node says that it used of a lease. nonce: of a renewal's challenge; null for its last word */
export function countOf(node: TestNode, broker: string, lease: string, inferences: number, nonce: string | null) {
  const about = { broker, lease, keysetDigest: keysetDigest(node.keyset), inferences, nonce }
  return signCounter({ type: 'claviger/counter/v1', ...about }, node.receiptKey)
}

/** The request that a node makes for a challenge, with evidence that binds it. */
export async function request({ test, owner }: Registered, node: TestNode, ask: Ask = {}): Promise<ReleaseRequest> {
  const nonce = ask.nonce ?? (await challenge(test.broker, owner.model, null)).nonce
  const asked: Binding = {
    purpose: ask.lease ? 'claviger.renew.v1' : 'claviger.release.v1',
    audience: test.broker.signer.id,
    model: owner.model,
    nonce,
    keyset_digest: keysetDigest(node.keyset),
    devices_digest: noDevicesDigest,
    config_digest: documentDigest(node.config),
    trust_digest: owner.heads.get('trust')!.digest,
    ...ask.binding,
  }
  const devices = (await (ask.devices ?? node.platform.devices)?.(asked)) ?? []
  const binding = { ...asked, devices_digest: documentDigest(devices), ...ask.binding }
  const machine = await node.platform.attest(reportDataOf(binding))
  const evidence: Evidence =
    devices.length === 0 ? machine : { kind: 'composite', cpu: machine as MachineEvidence, devices }
  const made: ReleaseRequest = {
    version: apiVersion,
    requestId: ask.requestId ?? toHex(randomBytes(16)),
    binding,
    evidence,
    keyset: node.keyset,
    config: node.config,
    modelVersion: 1,
    manifestDigest: owner.manifestDigest,
    host: node.host,
    lease: ask.lease ?? null,
    counter: ask.lease ? await countOf(node, asked.audience, ask.lease, ask.inferences ?? 0, nonce) : undefined,
    presented: undefined,
  }
  return ask.change ? ask.change(made) : made
}

/** The trust file of a reader who believes this owner and this broker. */
export function readersTrust({ test, owner, platform }: Registered): Trust {
  return {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: startTime,
    expiresAt: startTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: test.broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [],
    logs: [test.testLog.vkey],
    witnessPolicy: test.testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [platform.rootDigest],
  }
}

export async function ask(chain: Registered, node: TestNode, options: Ask = {}): Promise<Outcome> {
  return release(chain.test.broker, await request(chain, node, options))
}

export function granted(outcome: Outcome) {
  if (outcome.kind !== 'granted') throw new Error(`expected a release, got ${JSON.stringify(outcome)}`)
  return outcome.answer
}

/** `granted`, the ids of what denied, or the code that refused. */
export function gist(outcome: Outcome): string {
  if (outcome.kind === 'granted') return 'granted'
  return outcome.kind === 'denied' ? outcome.reasons.map((one) => one.id).join(' ') : outcome.code
}

/** The model key out of an answer, opened as the node opens it. */
export function openKey(owner: TestOwner, node: TestNode, answer: { leaf: string; wrapped: string | null }) {
  const info = releaseInfo(hashLeaf(fromBase64(answer.leaf)))
  return hpkeOpen(node.releaseKey, info, releaseAad(owner.manifestDigest), fromBase64(answer.wrapped!))
}

/** The chain, with a verifier that takes the simulated machine for hardware: what is refused is refused for something else. */
export function asHardware(chain: Registered): Registered {
  const { broker } = chain.test
  const appraise = async (...[evidence, , input]: Parameters<typeof broker.appraise>) => {
    const believed = { ...input, tenantClass: 'development' as const }
    const result = await broker.appraise(evidence, { simulatedRoots: [chain.platform.rootDigest] }, believed)
    return { ...result, platform: 'hardware' as const, status: 'affirming' as const }
  }
  return { ...chain, test: { ...chain.test, broker: { ...broker, appraise } } }
}

/** What a node of hardware says of itself, in production. */
export const productionConfig = { dangerousAllowSimulated: false, engineConfinement: 'confined' } as const
