import type { Declared } from '#core/wire/lease.js'
import type { NamedMachine } from '#core/wire/revoked.js'
import type { Statement } from '#core/wire/statements.js'
import type { Reason } from '#policies/explain.js'
import type { Appraised, AppraisedNode } from '#policies/release/appraised.js'
import type { DenialCode } from '#policies/release/failures.js'
import { denial } from '#policies/release/request.js'

/** What names a node and its lease where an owner takes something back. */
export interface Revocable extends NamedMachine {
  readonly model: string
  /** null where the host states nothing */
  readonly declared: Pick<Declared, 'issuer' | 'statementDigest' | 'operator'> | null
  readonly keysetDigest: string
  readonly version: number
  readonly leaseId: string | null
}

/** What names the machine and its devices. */
export function revocableMachine({ subject }: AppraisedNode<Appraised>): NamedMachine {
  const { machine, devices, drivers, vbioses } = subject
  const { measurements, platformId, advisories, advisoriesTold } = machine
  return { measurements, platformId, devices, drivers, vbioses, advisories, advisoriesTold }
}

type Revoked = Statement<'revocation'>['revoked'][number]
type RevokedKind = Revoked['kind']

const named = (id: string | null | undefined): readonly string[] => (id === null || id === undefined ? [] : [id])

/** Names of companies are typed by people: case, spaces and forms of letters make no other company. */
function folded(name: string): string {
  return name.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim()
}

/** What a node is named by, for each kind of thing that an owner can take back. */
const revocable: Readonly<
  Record<RevokedKind, readonly [DenialCode, (node: Revocable) => readonly string[], remedy: string]>
> = {
  model: ['judge/revoked-model', (node) => [node.model], 'ask the owner'],
  measurement: [
    'judge/revoked-measurement',
    (node) => node.measurements,
    'run the runtime build that the owner approves',
  ],
  platform: ['judge/revoked-platform', (node) => named(node.platformId), 'run on another machine'],
  device: ['judge/revoked-device', (node) => node.devices, 'run with other devices'],
  driver: ['judge/revoked-driver', (node) => node.drivers, 'update the driver of the devices'],
  vbios: ['judge/revoked-vbios', (node) => node.vbioses, 'update the VBIOS of the devices'],
  advisory: [
    'judge/revoked-advisory',
    (node) => node.advisories,
    'update the machine until this advisory no longer stands',
  ],
  host: [
    'judge/revoked-host',
    ({ declared }) => [...named(declared?.issuer), ...named(declared?.statementDigest)],
    'ask the owner',
  ],
  operator: ['judge/revoked-operator', ({ declared }) => named(declared?.operator?.legalName), 'ask the owner'],
  keyset: ['judge/revoked-keyset', (node) => [node.keysetDigest], 'start the node again'],
  version: ['judge/revoked-version', (node) => [String(node.version)], 'run another version of the model'],
  lease: ['judge/revoked-lease', (node) => named(node.leaseId), 'ask the owner'],
}

const isSame = (kind: RevokedKind, a: string, b: string) => (kind === 'operator' ? folded(a) === folded(b) : a === b)

/**
 * What the owner has taken back of this node.
 *
 * Invariant: a node that does not say what somebody takes back by is none of those that the owner did not take back. While
 * one machine, host, operator or advisory is taken back, whoever is silent on it is refused (I4).
 */
export function revocationRefusals(
  revocation: { readonly value: Pick<Statement<'revocation'>, 'reason' | 'revoked'> } | null,
  node: Revocable,
): readonly Reason[] {
  if (revocation === null) return []
  const { reason, revoked } = revocation.value
  const kinds = Object.keys(revocable) as readonly RevokedKind[]
  const refusals = kinds.flatMap((kind) => {
    const [code, valuesOf, remedy] = revocable[kind]
    const taken = revoked.filter((one) => one.kind === kind)
    const hit = valuesOf(node).find((value) => taken.some((one) => isSame(kind, one.value, value)))
    return hit === undefined
      ? []
      : [denial(code, `The owner revoked this ${kind}: ${reason}`, remedy, 'not revoked', hit)]
  })
  return [...refusals, ...silences(revoked, node)]
}

/**
 * Kinds on which evidence or host can be silent. Not among them: devices with their drivers and VBIOSes, since a node uses
 * none but those that it proves (I1) and a device that hides its versions is no device that verified; what every node has.
 */
function silences(revoked: readonly Revoked[], node: Revocable): readonly Reason[] {
  const { declared } = node
  const isTaken = (kind: RevokedKind) => revoked.some((one) => one.kind === kind)
  const untold = revoked.find((one) => one.kind === 'advisory' && !tellsOf(node, one.value))
  const rows: readonly (readonly [boolean, DenialCode, string, string, string, string])[] = [
    [
      node.platformId === null && isTaken('platform'),
      'judge/hidden-platform',
      'The owner revoked a platform, and this node does not say on which one it runs.',
      'run where the evidence names the machine, or ask the owner',
      'the id of a platform',
      'none',
    ],
    [
      declared === null && isTaken('host'),
      'judge/hidden-host',
      'The owner revoked a host, and this node does not say whose it is.',
      'start the node with a host statement',
      'a host statement',
      'none',
    ],
    [
      !declared?.operator && isTaken('operator'),
      'judge/hidden-operator',
      'The owner revoked an operator, and this node does not say who operates it.',
      'start the node with a host statement that names the operator',
      'an operator',
      'none',
    ],
    [
      untold !== undefined,
      'judge/hidden-advisory',
      `The owner revoked machines under ${untold?.value}, and evidence of this kind does not say whether that stands.`,
      'run on a kind of machine whose evidence says so, or ask the owner',
      `evidence that tells of ${untold?.value}`,
      'none',
    ],
  ]
  return rows.flatMap(([refuses, code, why, remedy, expected, actual]) =>
    refuses ? [denial(code, why, remedy, expected, actual)] : [],
  )
}

/** Whether the evidence would have named the advisory if it stood. */
function tellsOf({ advisories, advisoriesTold }: NamedMachine, id: string): boolean {
  const told = advisoriesTold.some((one) => (one.endsWith('-') ? id.startsWith(one) : id === one))
  return told || advisories.includes(id)
}
