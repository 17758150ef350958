/**
 * What belongs in keybroker/approvals: changes that need the agreement of several people (TRUST 12): proposed in the log,
 * approved, held for a time, called off, and put into effect. Who has to agree, and whether they did, is verified in core/wire and policies.
 */

/** Failures of changes that need approvals. */
export type ApprovalsCode =
  /** the change loosens something, and those who have to agree have not */
  | 'approvals/needed'
  /** nothing of this digest is proposed */
  | 'approvals/unknown'
  | 'approvals/cancelled'
  /** the proposal is in force, has lapsed, or what it was to replace was replaced by something else */
  | 'approvals/over'
  /** this very approval has been counted */
  | 'approval/used'
  /** too many proposals wait */
  | 'approvals/many'
  /** key-encryption keys need approvals, and the owner never said which may keep its keys */
  | 'approvals/kek'
  /** there are no approvers, or none who may break the glass */
  | 'break-glass/approvers'
  /** it was broken as often as it may be in thirty days */
  | 'break-glass/month'
  /** it was broken too shortly before */
  | 'break-glass/chained'
