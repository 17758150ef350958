/**
 * What belongs in convert: the owner's side, on the owner's machine: keys, sealing, unsealing, fetching models. Nothing
 * here talks to a broker or a node. convert/keys keeps the owner's keys in files.
 */
export type KeysCode =
  /** the folder holds keys already, or something in the way */
  | 'keys/exists'
  /** a file of the folder is not there */
  | 'keys/absent'
  /** a file is not what its name says */
  | 'keys/form'
  /** the age file does not open with this identity, or holds something else */
  | 'keys/age'
