import { readTrustFile } from '#cli/trust-store.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { verifyEnvelope } from '#core/dsse.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { integer, literal } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { nameShape } from '#core/wire/names.js'
import { type Trust, type TrustFile, verifyTrustFile } from '#core/wire/trust-file.js'

/** The trust file that stands there was signed by another key. */
export type TrustLineCode = 'init/author'

/** The type of trust files of an earlier build: that of owners' statements. Such a file is read for its place in its line alone. */
const earlierType = 'application/vnd.claviger.trust+json'

async function placeOf(file: TrustFile): Promise<Pick<Trust, 'name' | 'version'>> {
  if (file.trust.payloadType !== earlierType) {
    // An expired file has a version too: it is judged as of the time when it was made.
    return (await verifyTrustFile(file, null, 0)).trust
  }
  const { payload } = await verifyEnvelope(file.trust, earlierType, [file.author], 'trust file')
  const { type, name, version } = parseCanonicalJson(payload) as { readonly [name: string]: Json }
  literal('claviger/trust/v1')(type, 'type')
  return { name: nameShape(name, 'name'), version: integer({ min: 1 })(version, 'version') }
}

/** Where the trust file that stands there is in its line, if this key signed it; null where there is none. @throws init/author, and what verifyTrustFile throws */
export async function standingPlace(path: string, key: SigningKey): Promise<Pick<Trust, 'name' | 'version'> | null> {
  try {
    const file = await readTrustFile(path)
    if (thumbprint(file.author) !== key.id)
      throw new Failure<TrustLineCode>('init/author', `${path} was signed by another key than yours`)
    return await placeOf(file)
  } catch (error) {
    if (isFailure(error) && error.code === 'trust-file/unreadable') return null
    throw error
  }
}
