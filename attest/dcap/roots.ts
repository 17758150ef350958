/**
 * The key of the Intel SGX Root CA, under which TDX and SGX stand: SHA-256 of the DER SubjectPublicKeyInfo, hex. Only
 * this makes evidence `hardware` (I6, I19). The certificate stands in roots/, and a test compares it with this digest.
 *
 * source  Intel SGX PCK Certificate and CRL Profile, "Intel SGX Root CA"; roots/README.md names where the file is from
 */
export const intelRoot = 'a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e'
/**
 * SHA-256 of the whole certificate in the same file, hex. Its signature on itself says nothing more of this one: a test
 * verifies it once.
 */
export const intelRootCertificate = '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3'
