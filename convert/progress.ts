/** How far something long has come, in bytes. */
export interface Progress {
  /** what is being worked on: a file's path */
  readonly what: string
  readonly done: number
  readonly total: number
}
export type OnProgress = (progress: Progress) => void
