import { readTrustFile } from '#cli/trust-store.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { verifyEnvelope } from '#core/dsse.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { integer, literal } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { nameShape } from '#core/wire/names.js'
import { type Trust, type TrustFile, verifyTrustFile } from '#core/wire/trust-file.js'
import { verifyNewFile } from '#host/files.js'

/** The trust file that stands there was signed by another key. */
export type TrustLineCode = 'init/author'

/** The type of trust files of an earlier build: that of owners' statements. Such a file is read for its place in its line alone. */
const earlierType = 'application/vnd.claviger.trust+json'

type Place = Pick<Trust, 'name' | 'version'>

async function placeOf(file: TrustFile): Promise<Place> {
  if (file.trust.payloadType !== earlierType) {
    // An expired file has a version too: it is judged as of the time when it was made.
    return (await verifyTrustFile(file, null, 0)).trust
  }
  const { payload } = await verifyEnvelope(file.trust, earlierType, [file.author], 'trust file')
  const { type, name, version } = parseCanonicalJson(payload) as { readonly [name: string]: Json }
  literal('claviger/trust/v1')(type, 'type')
  return { name: nameShape(name, 'name'), version: integer({ min: 1 })(version, 'version') }
}

/** Brokers of the file that stands there, with what it demands of them; an earlier build's file demanded nothing. */
export async function brokersBefore(file: TrustFile | null): Promise<Trust['brokers']> {
  if (file === null || file.trust.payloadType === earlierType) return []
  // An expired file demands what it did: it is read as of the time when it was made.
  return (await verifyTrustFile(file, null, 0)).trust.brokers
}

/** The trust file that stands there; null where nothing does. What is no trust file is not written over. @throws file/..., and what readTrustFile throws */
export async function readStanding(path: string): Promise<TrustFile | null> {
  try {
    return await readTrustFile(path)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'trust-file/unreadable') throw error
    await verifyNewFile(path)
    return null
  }
}

/** Where a trust file is in its line, if this key signed it. @throws init/author, and what verifyTrustFile throws */
export async function placeInLine(path: string, file: TrustFile, key: SigningKey): Promise<Place> {
  if (thumbprint(file.author) !== key.id) {
    throw new Failure<TrustLineCode>('init/author', `${path} was signed by another key than yours`, {
      detail: { hint: 'name the key that signed it with --key, or another file with --out' },
    })
  }
  return placeOf(file)
}
