/** What belongs in convert/unseal: a sealed folder becomes a model's folder again, with the owner's recovery identity. */
export type UnsealCode =
  /** a file of the sealed folder is not there, or has another length than the manifest says */
  | 'unseal/file'
  /** the output is there already, or cannot be made */
  | 'unseal/output'
