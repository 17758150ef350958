import { join } from 'node:path'
import type { ConnectionArguments } from '#cli/connection-options.js'
import { readDocument, readInput } from '#cli/input.js'
import type { Io } from '#cli/output.js'
import { type Composed, compose } from '#cli/owner-statements.js'
import { type Accepts, verifyAccepted } from '#cli/policy/accepts.js'
import { policyName, policyText } from '#cli/policy/text.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { manifestDigest, type VerifiedManifest } from '#core/sealed/manifest.js'
import { manifestName, signatureName, verifyManifest } from '#core/sealed/signature.js'
import type { Head } from '#core/wire/owner-query.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'
import { type Callers, callersShape, type Statement, statementShapes } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'
import { validatePolicy } from '#policies/index.js'

/** Failures of registering a model. */
export type RegisterCode =
  /** the trust file holds no reference values, or several, and none were named */
  | 'register/reference-values'
  /** the broker does not know this owner yet, and no admin token was given */
  | 'register/token'
  /** the brokers that are to hold a key together contradict each other, or those of a key that is split already */
  | 'register/quorum'
  /** the key would go to a broker of which the owner demands nothing, or less than it has said (TRUST 7) */
  | 'register/unattested-broker'
  /** the owner asks for a hybrid key exchange, and the broker offers none */
  | 'register/key-exchange'
  /** a route that has no hybrid key exchange, and the owner asks for one */
  | 'usage/key-exchange'
  /** not exactly one of --broker and --brokers */
  | 'usage/brokers'

export interface RegisterArguments extends ConnectionArguments {
  readonly sealed: string
  readonly broker: string
  readonly policy: string
  readonly trust: string
  readonly keys: string
  readonly token?: string | undefined
  readonly class: 'production' | 'development'
  /** what the owner signs that the policy leaves open; absent: nothing */
  readonly accept?: Accepts
  readonly referenceValues?: string | undefined
  readonly runtime?: string | undefined
  readonly callers: string
  /** routes on which the key may leave the broker; absent: our own alone */
  readonly delivery?: readonly ('v1' | 'kbs')[] | undefined
  /** what the key has to leave under; absent: `hybrid`, and `any` where it also leaves by the KBS route */
  readonly keyExchange?: 'hybrid' | 'any' | undefined
  readonly leaseSeconds: number
  readonly leaseRequests: number
  readonly leaseBytes: number
  readonly leaseUnits: number
  readonly nodes: number
  /** inferences over all nodes of this version; absent: any number */
  readonly maxInferences?: number | undefined
  /** when the licence of this version ends; absent: never */
  readonly licenceUntil?: number | undefined
  readonly versionFloor?: number | undefined
  /** a production key goes to a broker of which nothing is demanded */
  readonly dangerousAllowUnattestedBroker?: boolean | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

/** The model that is registered, as its owner sealed it. */
export interface Sealed {
  readonly manifest: VerifiedManifest
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  readonly digest: string
}

/** The sealed folder's manifest, as this owner signed it. @throws input/unreadable, sealed/... */
export async function readSealed(folder: string, owner: SigningKey): Promise<Sealed> {
  const bytes = await readInput(join(folder, manifestName), 'manifest')
  const signature = await readInput(join(folder, signatureName), 'signature')
  return {
    manifest: await verifyManifest(bytes, signature, owner.publicKey),
    bytes,
    signature,
    digest: manifestDigest(bytes),
  }
}

async function chooseValues(args: RegisterArguments, trust: Trust): Promise<ReferenceValues> {
  if (args.referenceValues !== undefined)
    return readDocument(args.referenceValues, referenceValuesShape, 'reference values')
  const found = trust.runtimes.filter((one) => args.runtime === undefined || one.title === args.runtime)
  if (found.length === 1) return found[0]!.values
  const titles = trust.runtimes.map((one) => JSON.stringify(one.title)).join(', ') || 'none'
  throw new Failure<RegisterCode>('register/reference-values', `which runtime? your trust file holds ${titles}`, {
    detail: { hint: 'name one with --runtime TITLE, or give --reference-values FILE' },
  })
}

async function readCallers(text: string): Promise<Callers> {
  return text === 'any' ? 'any' : readDocument(text, callersShape, 'list of callers')
}

/** The class that was fixed when the broker first saw this owner; null before. */
export function classOf(heads: readonly Head[]): RegisterArguments['class'] | null {
  const made = heads.find((one) => one.kind === 'tenant')
  if (made === undefined) return null
  return statementShapes.tenant(parseCanonicalJson(fromBase64(made.statement.payload)), 'tenant').class
}

/** Absent when nothing is bounded: the statement then says what it said before there were allowances. */
function allowanceOf({ maxInferences, licenceUntil }: RegisterArguments): Statement<'registration'>['allowance'] {
  if (maxInferences === undefined && licenceUntil === undefined) return undefined
  return { inferences: maxInferences ?? null, expiresAt: licenceUntil ?? null }
}

/** Brokers that have to prove themselves to the owner's nodes: those that have to prove themselves to the owner. */
function demandsOf(trust: Trust): Pick<Statement<'trust'>, 'attestedBrokers'> {
  const attestedBrokers = trust.brokers.flatMap(({ key, demand }) =>
    demand === undefined ? [] : [{ broker: thumbprint(key), demand }],
  )
  return attestedBrokers.length === 0 ? {} : { attestedBrokers }
}

/** The floor that the owner signs: the stronger one wherever the routes allow it. @throws usage/key-exchange */
export function keyExchangeOf({
  keyExchange,
  delivery,
}: Pick<RegisterArguments, 'keyExchange' | 'delivery'>): 'hybrid' | undefined {
  const leavesByKbs = delivery?.includes('kbs') === true
  if (keyExchange === 'hybrid' && leavesByKbs)
    throw new Failure<RegisterCode>('usage/key-exchange', 'the KBS route has no hybrid key exchange', {
      detail: { hint: 'leave out kbs from --delivery, or say --key-exchange any' },
    })
  return keyExchange === 'any' || leavesByKbs ? undefined : 'hybrid'
}

/** What the owner says about this model, each statement after the one before it. */
export async function composeAll(
  args: RegisterArguments,
  owner: SigningKey,
  sealed: Sealed,
  trust: Trust,
  heads: readonly Head[],
  io: Io,
): Promise<readonly Composed[]> {
  const at = io.now()
  const { id: model, version } = sealed.manifest.model
  const text = await policyText(args.policy)
  const policy = validatePolicy(text) // what the broker would refuse is refused here, before anything is signed
  const name = policyName(args.policy)
  const budget = { requests: args.leaseRequests, inputBytes: args.leaseBytes, workUnits: args.leaseUnits }
  const tenantClass = classOf(heads) ?? args.class
  verifyAccepted(tenantClass, policy, args.accept)
  const say = <K extends Parameters<typeof compose>[0]>(kind: K, body: Parameters<typeof compose<K>>[1]) =>
    compose(kind, body, owner, heads, at, { code: 'routine', note: 'register' })
  return [
    await say('trust', {
      class: tenantClass,
      brokers: trust.brokers.map((one) => one.key),
      verifiers: trust.verifiers.map((one) => one.key),
      logs: trust.logs,
      witnessPolicy: trust.witnessPolicy,
      simulatedRoots: tenantClass === 'development' ? trust.simulatedRoots : [],
      independentWitnesses: trust.independentWitnesses,
      ...demandsOf(trust),
    }),
    await say('registration', {
      model,
      version,
      manifestDigest: sealed.digest,
      versionFloor: args.versionFloor ?? version,
      delivery: args.delivery ?? ['v1'],
      lease: { seconds: args.leaseSeconds, budget, nodes: args.nodes },
      allowance: allowanceOf(args),
      callers: await readCallers(args.callers),
      keyExchange: keyExchangeOf(args),
      quorum: sealed.manifest.quorum,
    }),
    await say('policy', { model, name, language: 'cedar', text, accepts: args.accept }),
    await say('reference-values', { model, values: await chooseValues(args, trust) }),
  ]
}
