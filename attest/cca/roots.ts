/**
 * Keys of platforms (CPAK) whose evidence is `hardware`: SHA-256 of the DER SubjectPublicKeyInfo, hex (I6, I19).
 *
 * There is none. Arm has no root: each platform's maker endorses the key of each platform, no such endorsement is public,
 * and no silicon with CCA is on the market. Until one is, every key is one that the reader names, and what it signs is
 * `simulated`: NOT HARDWARE.
 *
 * source  Arm DEN0137, "CCA platform token"; draft-ydb-rats-cca-endorsements
 */
export const platformKeys: ReadonlySet<string> = new Set()
