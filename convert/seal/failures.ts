/** What belongs in convert/seal: a model's folder becomes a sealed folder. Reads plaintext and keys of the owner's. */
export type SealCode =
  /** something in the folder that is no plain file, or of no known kind */
  | 'seal/file'
  /** the model's folder cannot be read as one */
  | 'seal/folder'
  /** known answers that no node would take, or of other tensors than the graph's */
  | 'seal/known-answers'
  /** a file changed while it was read */
  | 'seal/changed'
  /** the output is there already, or cannot be made */
  | 'seal/output'
  /** more than the format holds */
  | 'seal/limit'
