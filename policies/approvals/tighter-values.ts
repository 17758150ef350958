import type { ReferenceValues } from '#core/wire/reference-values.js'
import { isSubset, same } from '#policies/approvals/compare.js'

/** Members that are lists of accepted values, where an absent list accepts any. */
const lists: ReadonlySet<string> = new Set([
  ...['measurements', 'hostData', 'idKeyDigests', 'authorKeyDigests', 'chipIds', 'cspIds', 'signingKeys', 'vmpls'],
  ...['fmspcs', 'platformIds', 'mrTds', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3', 'mrSeams', 'mrConfigIds', 'mrOwners'],
  ...['mrOwnerConfigs', 'xfams', 'composeHashes', 'configIds', 'vmIds'],
  ...['driverVersions', 'vbiosVersions', 'deviceIds', 'modes'],
  ...['images', 'pcr3', 'pcr4', 'pcr8', 'moduleIds'],
  ...['initialMeasurements', 'rem0', 'rem1', 'rem2', 'rem3', 'personalizationValues', 'realmHashAlgorithms'],
  ...['platforms', 'configs', 'instanceIds'],
])
/** Lists whose absence accepts less than any value: only a shorter one is known to be tighter. */
const closedLists: ReadonlySet<string> = new Set(['tcbStatuses', 'advisories', 'mrServiceTds'])
/** Lists of which one is enough where the other is absent: leaving one out, or bringing one in, accepts others. */
const alternatives: ReadonlySet<string> = new Set(['mrEnclaves', 'signers'])
const floors: ReadonlySet<string> = new Set(['guestSvnMin', 'tcbEvaluationDataNumberMin'])
const ceilings: ReadonlySet<string> = new Set(['documentAgeSecondsMax'])
const demands: ReadonlySet<string> = new Set([
  ...['requireAliasCheck', 'requireCiphertextHiding', 'requireSeptVeDisable', 'requireSecureBoot'],
])
const leaves: ReadonlySet<string> = new Set([
  ...['allowMilan', 'allowSmt', 'allowMigrationAgent', 'allowMigration', 'allowPerfmon', 'allowConsole'],
])
/** Objects of lists by index, where an absent one accepts any. */
const listsByIndex: ReadonlySet<string> = new Set(['pcrs'])
/** Reference values of the hardware below. */
const nested: ReadonlySet<string> = new Set(['snp', 'tdx'])

type Members = { readonly [name: string]: unknown }

/** A list: `next` accepts nothing that `last` did not, where an absent list accepts any value. */
function isTighterList(last: unknown, next: unknown): boolean {
  if (last === undefined) return true
  return Array.isArray(last) && Array.isArray(next) && isSubset(next, last)
}

function isTighterMember(name: string, last: unknown, next: unknown): boolean {
  if (same(last, next)) return true
  if (lists.has(name)) return isTighterList(last, next)
  if (closedLists.has(name) || alternatives.has(name))
    return Array.isArray(last) && Array.isArray(next) && isSubset(next, last)
  if (floors.has(name)) return typeof last === 'number' && typeof next === 'number' && next >= last
  if (ceilings.has(name)) return typeof last === 'number' && typeof next === 'number' && next <= last
  if (demands.has(name)) return last === false && next === true
  if (leaves.has(name)) return last === true && next === false
  if (listsByIndex.has(name)) {
    const [before, after] = [last as Members, next as Members]
    return Object.keys({ ...before, ...after }).every((index) => isTighterList(before[index], after[index]))
  }
  if (nested.has(name) && last !== undefined && next !== undefined)
    return isTighterKind(last as Members, next as Members)
  return false
}

function isTighterKind(last: Members, next: Members): boolean {
  return Object.keys({ ...last, ...next }).every((name) => isTighterMember(name, last[name], next[name]))
}

/**
 * Whether the values of `next` accept nothing that those of `last` did not.
 *
 * A kind that is left out is refused. Devices are asked for beside a machine: leaving them out asks for less, so they stay.
 */
export function isTighterValues(last: ReferenceValues, next: ReferenceValues): boolean {
  if ((last.gpu === undefined) !== (next.gpu === undefined)) return false
  const [before, after] = [last as unknown as Members, next as unknown as Members]
  return Object.keys(after).every((kind) => {
    if (after[kind] === undefined) return true
    return before[kind] !== undefined && isTighterKind(before[kind] as Members, after[kind] as Members)
  })
}
