/**
 * The key of the root of AWS Nitro Enclaves in the commercial partition (`CN=aws.nitro-enclaves`): SHA-256 of the DER
 * SubjectPublicKeyInfo, hex. Only this makes evidence `hardware` (I6, I19). The certificate stands in roots/, and a test
 * compares it with this digest. Other partitions have roots of their own, which are not here, and are refused.
 *
 * source  AWS Nitro Enclaves Attestation Process, "Attestation Document Definition"; roots/README.md names where the
 *         file is from
 */
export const awsRoot = 'f2caf5ecc6190b4a8399b78bc58a2bbcd0382375db8a1bfd78a82743874fd225'
