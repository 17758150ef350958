/**
 * What belongs in convert: the owner's side of a model: keys/, seal/, unseal/, and model/ to fetch the demo's. Nothing that
 * a node or the broker needs: formats that both sides read are in core/sealed.
 */
/** How far something long has come, in bytes. */
export interface Progress {
  /** what is being worked on: a file's path */
  readonly what: string
  readonly done: number
  readonly total: number
}
export type OnProgress = (progress: Progress) => void
