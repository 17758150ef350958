/** What belongs here: the bound of every loop, list, string, recursion and body that a stranger controls. Sizes in bytes. */

export const KiB = 1024
export const MiB = 1024 * KiB

/** JSON documents of ours: statements, manifests, receipts. */
export const jsonSizeMax = 4 * MiB
export const jsonDepthMax = 32
export const jsonItemsMax = 200_000
/** A name, id, alias or code. */
export const nameLengthMax = 200
/** A policy text. */
export const policySizeMax = 64 * KiB
/** A certificate, PEM or DER, and how many in a chain. */
export const certificateSizeMax = 64 * KiB
export const chainLengthMax = 8
/** A CRL. */
export const crlSizeMax = 8 * MiB
/** One log entry: C2SP tlog-tiles stores a u16 length before it. */
export const entrySizeMax = 65_535
/** A sealed request body and the answer to it. */
export const requestSizeMax = 32 * MiB
export const responseSizeMax = 64 * MiB
/** A sealed model. */
export const filesPerModelMax = 10_000
export const pathLengthMax = 512
/** Clock difference that is forgiven between two honest parties, in seconds. */
export const clockSkewSeconds = 60
