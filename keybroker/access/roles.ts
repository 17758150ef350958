import type { AccessRole } from '#core/wire/access-list.js'

/**
 * What somebody may ask for in a tenant's name. There is no permission to change anything: a statement takes effect by its
 * owner's signature, and whoever carries it needs none.
 */
export type Permission =
  /** one's own entry in the list */
  | 'self'
  /** newest statements, as their owner signed them */
  | 'statements'
  /** leases that run */
  | 'leases'
  /** bundles of entries: they hold the openings of what the log says in commitments */
  | 'bundles'
  /** what was used of what was allowed */
  | 'usage'
  /** whether a node would get a model */
  | 'qualify'

/** A host learns whether it qualifies, and nothing of what an owner decided about others. */
export const permissions: Readonly<Record<AccessRole, readonly Permission[]>> = {
  owner: ['self', 'statements', 'leases', 'bundles', 'usage', 'qualify'],
  auditor: ['self', 'statements', 'leases', 'bundles', 'usage'],
  host: ['self', 'qualify'],
}
