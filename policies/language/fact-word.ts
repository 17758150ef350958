/** The values that a closed fact can have. A policy that compares it with any other can never mean what it says. */
export type Domain = readonly string[] | 'country'

export interface FactWord {
  /** below `context`, as a policy writes it */
  readonly path: string
  readonly type: 'String' | 'Long' | 'Bool' | 'Set<String>'
  readonly domain?: Domain
  /** the fact may be missing; a policy that reads it then denies */
  readonly mayBeAbsent?: true
  /** the owner's list of accepted values is not for a host to read (TRUST 14) */
  readonly hiddenFromHost?: true
  readonly about: string
  /** what a host does about a value that a policy refuses */
  readonly mend: string
}
