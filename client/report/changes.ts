import type { VerifiedAnyBundle } from '#client/any-bundle.js'
import type { ReportedChange } from '#client/report/model.js'
import type { Entry } from '#core/wire/entries.js'
import type { Statement } from '#core/wire/statements.js'
import { verifySources } from '#policies/credentials/sources.js'
import { policyDigest } from '#policies/index.js'

type Changed = Extract<VerifiedAnyBundle, { kind: 'state' | 'proposal' }>

/** The model that a change is about; null where it is about all of its owner's. */
export function modelOfChange({ statement: { value } }: Changed): string | null {
  return 'model' in value ? value.model : null
}

/** What a change that was judged good says, in lines. @throws what verifySources throws */
export async function reportChange(found: Changed): Promise<ReportedChange> {
  const { value } = found.statement
  const before = found.kind === 'state' ? (found.change.before?.value ?? null) : null
  return {
    entry: found.inclusion.index,
    at: found.bundle.at,
    state: found.kind === 'state' ? 'in force' : found.entry.act === 'proposed' ? 'proposed' : 'called off',
    change: found.entry.change,
    sequence: value.sequence,
    why: value.why ?? null,
    says: await linesOf(value, before),
  }
}

const named = (one: { readonly name: string; readonly version: number }) => `${one.name} version ${one.version}`

async function linesOf(value: Statement, before: Statement | null): Promise<readonly string[]> {
  switch (value.type) {
    case 'claviger/statement/policy/v1': {
      const old = before?.type === value.type ? `, in place of ${before.name} sha256 ${policyDigest(before.text)}` : ''
      return [`policy ${value.name}, sha256 ${policyDigest(value.text)}${old}`]
    }
    case 'claviger/statement/registration/v1':
      return [`version ${value.version}, not below ${value.versionFloor}, manifest sha256 ${value.manifestDigest}`]
    case 'claviger/statement/reference-values/v1':
      return [`accepted builds of ${Object.keys(value.values).sort().join(', ')}`]
    case 'claviger/statement/revocation/v1':
      return [...revokedLines(value, before), `reason: ${value.reason}`]
    case 'claviger/statement/sources/v1': {
      const { registry, directory } = await verifySources(value, null)
      return [
        `registry of jurisdictions ${named(registry.document)}, sha256 ${registry.digest}`,
        `directory of issuers ${named(directory.document)}, sha256 ${directory.digest}`,
      ]
    }
    case 'claviger/statement/break-glass/v1':
      return [value.seconds === 0 ? 'the glass is whole again' : `the glass is broken for ${value.seconds} seconds`]
    case 'claviger/statement/approvers/v1':
      return ['who has to agree to changes']
    case 'claviger/statement/trust/v1':
      return ['whom nodes believe: brokers, verifiers, log and witnesses']
    case 'claviger/statement/kek/v1':
      return ['under which keys the broker may keep the model key']
    case 'claviger/statement/access/v1':
      return ['who may read beside the owner']
    case 'claviger/statement/tenant/v1':
      return [`the owner became a tenant of class ${value.class}`]
  }
}

function revokedLines(value: Statement<'revocation'>, before: Statement | null): readonly string[] {
  const old = before?.type === value.type ? before.revoked : []
  const lacks = (list: Statement<'revocation'>['revoked'], one: { kind: string; value: string }) =>
    !list.some(({ kind, value: text }) => kind === one.kind && text === one.value)
  return [
    ...value.revoked.filter((one) => lacks(old, one)).map((one) => `taken back: ${one.kind} ${one.value}`),
    ...old.filter((one) => lacks(value.revoked, one)).map((one) => `no longer taken back: ${one.kind} ${one.value}`),
  ]
}

/** What an operator's own entry says; null for any other. */
export function actOf(entry: Entry): string | null {
  if (entry.kind === 'rollback')
    return `the operator put back an older database: ${entry.lost} entries from #${entry.first_lost} on are missing in it, ${entry.changes_lost} changes of owners among them`
  if (entry.kind === 'kek-rotation')
    return `the operator wraps the stored keys under another key (${entry.provider}), which ${entry.holder === 'operator' ? 'the operator can use too' : 'was released to the broker alone'}`
  return null
}
