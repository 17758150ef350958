import type { Command } from 'commander'
import { fetchFor } from '#cli/connection-options.js'
import type { Io } from '#cli/output.js'
import { describeOwner, type OwnerArguments, pinnedBroker } from '#cli/owner.js'
import { OwnerClient } from '#cli/owner-client.js'
import { loadTrust } from '#cli/trust-store.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import type { ApprovedAction, Approver } from '#core/wire/approvals.js'
import type { ApprovalsAnswer } from '#core/wire/owner-query.js'
import { type Signed, type Statement, verifyStatement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of agreeing to a change. */
export type ApproveCode =
  /** the trust file names no such owner */
  | 'approve/owner'
  /** nothing of this digest is proposed, or more than one thing */
  | 'approve/proposal'
  /** the broker shows another change than its owner signed */
  | 'approve/other'
  /** the owner has no approvers, or this key is none of them */
  | 'approve/approver'

export interface ApproveArguments extends OwnerArguments {
  readonly owner?: string | undefined
}

/** A proposal whose every part the owner's own key signed. */
export interface ReadProposal {
  readonly shown: ApprovalsAnswer['proposals'][number]
  readonly kind: ApprovedAction
  readonly next: Signed<Statement>
  readonly last: Signed<Statement> | null
}

export interface Approving {
  readonly client: OwnerClient
  readonly key: SigningKey
  readonly broker: string
  readonly tenant: string
  readonly set: Signed<Statement<'approvers'>> | null
  /** who in the set this key is; null for the owner, or for nobody */
  readonly me: Approver | null
  readonly proposals: readonly ReadProposal[]
}

/** The key of the owner whose proposals these are: named in the reader's trust file, or the reader's own. */
function ownerKey(named: string | undefined, trust: Trust, own: SigningKey): SignatureJwk {
  if (named === undefined) {
    const [only, ...others] = trust.owners
    const isMine = trust.owners.some(({ key }) => thumbprint(key) === own.id)
    return only !== undefined && others.length === 0 && !isMine ? only.key : own.publicKey
  }
  const found = trust.owners.find(({ alias, key }) => alias === named || thumbprint(key) === named)
  if (found !== undefined) return found.key
  throw new Failure<ApproveCode>('approve/owner', `your trust file names no owner ${named}`)
}

async function readProposal(shown: ApprovalsAnswer['proposals'][number], key: SignatureJwk): Promise<ReadProposal> {
  const other = (why: string) => new Failure<ApproveCode>('approve/other', `the broker shows ${why}`)
  const next: Signed<Statement> = await verifyStatement(shown.kind, shown.statement, [key])
  const last: Signed<Statement> | null = shown.previous && (await verifyStatement(shown.kind, shown.previous, [key]))
  const modelOf = ({ value }: Signed<Statement>) => ('model' in value ? value.model : null)
  if (next.digest !== shown.digest || modelOf(next) !== shown.model)
    throw other(`a ${shown.kind} statement of another digest or model`)
  if (last !== null && (last.digest !== next.value.previous || modelOf(last) !== modelOf(next)))
    throw other('something else as what is replaced')
  return { shown, kind: shown.kind as ApprovedAction, next, last }
}

/**
 * What waits for agreement, every part of it verified with the owner's key: whoever agrees believes no broker.
 *
 * throws  approve/..., owner/..., keys/..., trust-file/..., dsse/..., crypto/signature, json/..., shape/...
 */
export async function openApproving(args: ApproveArguments, io: Io): Promise<Approving> {
  const { trust } = await loadTrust(args.trust, io.now())
  const { signingKey: key } = await loadOwnerKeys(args.keys)
  const of = ownerKey(args.owner, trust, key)
  const tenant = thumbprint(of)
  const client = new OwnerClient(args.broker, await fetchFor(args))
  const broker = thumbprint((await pinnedBroker(client, trust)).key)
  const answer = await client.approvals({ broker, tenant, at: io.now() }, key)
  const set = answer.approvers && (await verifyStatement('approvers', answer.approvers, [of]))
  const me = set?.value.approvers.find((one) => thumbprint(one.key) === key.id) ?? null
  const proposals = []
  for (const shown of answer.proposals) proposals.push(await readProposal(shown, of))
  return { client, key, broker, tenant, set, me, proposals }
}

/** The one proposal whose digest begins so. @throws approve/proposal */
export function proposalOf({ proposals }: Approving, digest: string): ReadProposal {
  const found = proposals.filter(({ shown }) => shown.digest.startsWith(digest))
  if (found.length === 1) return found[0]!
  throw new Failure<ApproveCode>(
    'approve/proposal',
    `${found.length === 0 ? 'nothing' : 'more than one thing'} whose digest begins ${digest} is proposed`,
    { detail: { hint: 'those that are: ./claviger approve list' } },
  )
}

export function describeApproving(command: Command, changes: boolean): Command {
  return describeOwner(command, changes).option(
    '--owner <name>',
    'whose: an alias of your trust file, or a thumbprint (default: its only owner, or you)',
  )
}
