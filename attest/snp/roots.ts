import type { Product } from '#attest/snp/layout.js'

/**
 * The keys of AMD's root certificates (ARK): SHA-256 of the DER SubjectPublicKeyInfo, hex. Only these make evidence
 * `hardware` (I6, I19). The certificates stand in roots/, and a test compares them with this table.
 *
 * source  AMD 57230, "KDS Interface"; roots/README.md names where each file is from
 */
export const vendorRoots: ReadonlyMap<string, Product> = new Map<string, Product>([
  ['9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9', 'Milan'],
  ['429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831', 'Genoa'],
  ['4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08', 'Turin'],
])
