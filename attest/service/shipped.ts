import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NamedFile } from '#attest/pool.js'

const rootsFolder = join(import.meta.dirname, '../snp/roots')

/**
 * AMD's intermediates and roots as they are shipped with the verifier, for reports that come with the certificate of
 * their chip alone. They are found here and believed nowhere: `snp/roots.ts` pins the keys.
 */
export async function loadShippedCertificates(): Promise<readonly NamedFile[]> {
  const names = (await readdir(rootsFolder)).filter((name) => name.endsWith('.pem')).sort()
  return Promise.all(
    names.map(async (name) => ({ name, bytes: new Uint8Array(await readFile(join(rootsFolder, name))) })),
  )
}
