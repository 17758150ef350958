import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import type { KeysCode } from '#convert/keys/failures.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { Failure } from '#core/failure.js'

/**
 * Small secrets, sealed to a recipient in the age format: the `age` tool opens them as well.
 * Identities are text because age's are; they protect what lies on the owner's disk and never leave this process.
 */
export interface AgeIdentity {
  /** `AGE-SECRET-KEY-1…`, as a file with a comment before it */
  readonly file: Uint8Array
  /** `age1…` */
  readonly recipient: string
}

const ageSizeMax = 64 * 1024
const recipientForm = /^age1[02-9ac-hj-np-z]{58}$/
const identityLine = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/

/** A new X25519 identity. `comment` becomes the first lines of its file. */
export async function createAgeIdentity(comment: string): Promise<AgeIdentity> {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const lines = [...comment.split('\n'), `public key: ${recipient}`].map((line) => `# ${line}\n`)
  return { file: utf8(`${lines.join('')}${identity}\n`), recipient }
}

/** The recipient in a file that holds one. @throws keys/form */
export function parseRecipient(text: string): string {
  const recipient = text.trim()
  if (!recipientForm.test(recipient)) throw new Failure<KeysCode>('keys/form', 'not an age X25519 recipient (age1…)')
  return recipient
}

function parseIdentity(file: Uint8Array): string {
  const lines = fromUtf8(file)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const [identity] = lines
  if (identity === undefined || lines.length !== 1 || !identityLine.test(identity)) {
    throw new Failure<KeysCode>('keys/form', 'not a file with one age X25519 identity', {
      detail: { hint: 'recovery-identity.txt is such a file, which ./claviger keys new makes' },
    })
  }
  return identity
}

/** The secret in age's format, for one recipient. @throws keys/form */
export async function ageSeal(recipient: string, secret: Uint8Array): Promise<Uint8Array> {
  const encrypter = new Encrypter()
  encrypter.addRecipient(parseRecipient(recipient))
  return encrypter.encrypt(secret)
}

/**
 * A secret of exactly `size` bytes, in memory of its own, for the caller to wipe.
 *
 * identity  the file's bytes
 * throws    keys/form, keys/age
 */
export async function ageOpen(identity: Uint8Array, sealed: Uint8Array, size: number): Promise<Uint8Array> {
  const decrypter = new Decrypter()
  decrypter.addIdentity(parseIdentity(identity))
  let opened: Uint8Array
  try {
    if (sealed.length > ageSizeMax) throw new RangeError('too long')
    opened = await decrypter.decrypt(sealed)
  } catch (cause) {
    throw new Failure<KeysCode>('keys/age', 'the age file does not open with this identity', { cause })
  }
  const secret = secretBytes(size)
  const fits = opened.length === size
  if (fits) secret.set(opened)
  wipe(opened)
  if (!fits) throw new Failure<KeysCode>('keys/age', `the age file holds something else than ${size} bytes`)
  return secret
}
