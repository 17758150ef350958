import { fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type SignatureJwk, signatureJwk, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { integer, object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { signJws, verifyJws } from '#core/jws.js'
import { clockSkewSeconds, disclosuresMax, jsonDepthMax, sdJwtSizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'

/** Failures of an SD-JWT, beside those of the JWS inside it. */
export type SdJwtCode =
  /** not `JWT~disclosure~...~[key binding]`, too large, or a payload that is no object */
  | 'sd-jwt/form'
  /** a disclosure that is none, that nothing asks for, that is there twice, or that overwrites a claim */
  | 'sd-jwt/disclosure'
  /** no proof that whoever presents it holds its key, for this reader, this challenge and this selection */
  | 'sd-jwt/binding'

type Members = { readonly [name: string]: Json }

const refuse = (code: SdJwtCode, message: string, cause?: unknown) => new Failure<SdJwtCode>(code, message, { cause })

interface Parts {
  readonly jwt: string
  readonly disclosures: readonly string[]
  /** the key-binding JWT; null where there is none */
  readonly binding: string | null
}

function partsOf(text: string): Parts {
  if (text.length > sdJwtSizeMax) throw refuse('sd-jwt/form', `SD-JWT has more than ${sdJwtSizeMax} characters`)
  const parts = text.split('~', disclosuresMax + 3)
  if (parts.length < 2 || parts.length > disclosuresMax + 2)
    throw refuse('sd-jwt/form', `expected a JWT, up to ${disclosuresMax} disclosures and a key binding, with ~ between`)
  const disclosures = parts.slice(1, -1)
  if (disclosures.includes('')) throw refuse('sd-jwt/form', 'a disclosure is empty')
  return { jwt: parts[0]!, disclosures, binding: parts.at(-1) || null }
}

/** What a disclosure's digest is made of is its text, as it was sent. source: RFC 9901, "Hashing Disclosures" */
const digestOf = (disclosure: string): string => toBase64Url(sha256(utf8(disclosure)))

interface Disclosure {
  /** null: an element of a list */
  readonly name: string | null
  readonly value: Json
}

function readDisclosure(text: string): Disclosure {
  let value: Json
  try {
    value = parseJson(fromBase64Url(text), sdJwtSizeMax)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('sd-jwt/disclosure', `disclosure: ${cause.message}`, cause)
  }
  const wrong = () => refuse('sd-jwt/disclosure', 'a disclosure is not [salt, name, value] or [salt, value]')
  if (!Array.isArray(value) || typeof value[0] !== 'string') throw wrong()
  if (value.length === 2) return { name: null, value: value[1] as Json }
  const name = value[1]
  if (value.length !== 3 || typeof name !== 'string') throw wrong()
  if (name === '_sd' || name === '...') throw refuse('sd-jwt/disclosure', `a disclosure is of the name ${name}`)
  return { name, value: value[2] as Json }
}

export interface IssueInput {
  readonly key: SigningKey
  /** `dc+sd-jwt` of a credential */
  readonly typ: string
  readonly claims: Members
  /** names of claims that the holder may keep back; `name[]` for each element of a list by itself */
  readonly disclosable: readonly string[]
  /** 16 random bytes each time it is called: without them a digest of a guessable value tells the value */
  readonly salt: () => Uint8Array
}

/**
 * An SD-JWT with all its disclosures and no key binding: what an issuer gives its holder.
 *
 * source  RFC 9901, "Issuing an SD-JWT"
 */
export async function issueSdJwt({ key, typ, claims, disclosable, salt }: IssueInput): Promise<string> {
  const disclosures: string[] = []
  const hide = (...parts: readonly Json[]): string => {
    const text = toBase64Url(canonicalJson([toBase64Url(salt()), ...parts]))
    disclosures.push(text)
    return digestOf(text)
  }
  const open: Record<string, Json> = { ...claims }
  const hidden: string[] = []
  for (const name of disclosable) {
    const list = name.endsWith('[]') ? name.slice(0, -2) : null
    const value = open[list ?? name]
    if (value === undefined || (list !== null && !Array.isArray(value)))
      throw refuse('sd-jwt/disclosure', `there is no claim ${name} to disclose`)
    if (list !== null) open[list] = (value as readonly Json[]).map((item) => ({ '...': hide(item) }))
    else {
      hidden.push(hide(name, value))
      delete open[name]
    }
  }
  // Sorted, so that their order does not tell which is which.
  if (hidden.length > 0) open._sd = hidden.sort()
  if (disclosures.length > 0) open._sd_alg = 'sha-256'
  const jwt = await signJws(key, canonicalJson(open), typ)
  return `${[jwt, ...disclosures].join('~')}~`
}

export interface PresentInput {
  readonly sdJwt: string
  /** names of the claims to show, and elements of lists that are text; the others stay hidden */
  readonly show: readonly string[]
  readonly holder: SigningKey
  readonly audience: string
  readonly nonce: string
  readonly at: UnixSeconds
}

/**
 * What a holder shows to one reader: the chosen disclosures, and a proof that it holds the key, for this reader and nonce.
 *
 * throws  sd-jwt/form, sd-jwt/disclosure when a name or element has no disclosure
 * source  RFC 9901, "Key Binding JWT"
 */
export async function presentSdJwt(input: PresentInput): Promise<string> {
  const { jwt, disclosures } = partsOf(input.sdJwt)
  const named = disclosures.map((text) => {
    const { name, value } = readDisclosure(text)
    return [name ?? value, text] as const
  })
  const missing = input.show.find((name) => !named.some(([one]) => one === name))
  if (missing !== undefined) throw refuse('sd-jwt/disclosure', `there is no disclosure of ${missing}`)
  const chosen = named.flatMap(([name, text]) => (typeof name === 'string' && input.show.includes(name) ? [text] : []))
  const shown = `${[jwt, ...chosen].join('~')}~`
  const claims = { iat: input.at, aud: input.audience, nonce: input.nonce, sd_hash: digestOf(shown) }
  return shown + (await signJws(input.holder, canonicalJson(claims), 'kb+jwt'))
}

export interface VerifiedSdJwt {
  /** what the issuer signed with the disclosures in their places; without `_sd`, `...` and `_sd_alg` */
  readonly claims: Members
  /** thumbprint of the key that signed */
  readonly signer: string
}

/**
 * The claims of an SD-JWT that one of `keys` signed. Whether who presents it may do so is `verifyKeyBinding`'s matter.
 *
 * throws  sd-jwt/form, sd-jwt/disclosure, jws/...
 * source  RFC 9901, "Verification of the SD-JWT"
 */
export async function verifySdJwt(
  text: string,
  keys: readonly SignatureJwk[],
  typ: string,
  what: string,
): Promise<VerifiedSdJwt> {
  const { jwt, disclosures } = partsOf(text)
  const { payload, signer } = await verifyJws(jwt, keys, what, typ)
  const { _sd_alg: _, ...rest } = readBody(payload, what)
  return { claims: withDisclosures(rest, disclosures), signer }
}

function readBody(payload: Uint8Array, what: string): Members {
  const body = parseJson(payload, sdJwtSizeMax)
  if (!isMembers(body)) throw refuse('sd-jwt/form', `payload of ${what} is not an object`)
  if (body._sd_alg !== undefined && body._sd_alg !== 'sha-256')
    throw refuse('sd-jwt/form', `digests of ${what} are of ${JSON.stringify(body._sd_alg)}, expected sha-256`)
  return body
}

/**
 * What an SD-JWT says of itself, and what its holder may keep back. Nothing is verified: for people who look at one.
 *
 * throws  sd-jwt/form, sd-jwt/disclosure, jws/form
 */
export function explainSdJwt(text: string): {
  readonly claims: Members
  readonly disclosable: readonly string[]
  readonly isPresented: boolean
} {
  const { jwt, disclosures, binding } = partsOf(text)
  const { _sd_alg: _, ...rest } = readBody(fromBase64Url(jwt.split('.', 4)[1] ?? ''), 'SD-JWT')
  const disclosable = disclosures.map((one) => {
    const { name, value } = readDisclosure(one)
    return name ?? String(value)
  })
  return { claims: withDisclosures(rest, disclosures), disclosable, isPresented: binding !== null }
}

const isMembers = (value: Json | undefined): value is Members =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

/** The payload with every disclosure where its digest stands. Each digest stands once, and each disclosure is asked for. */
function withDisclosures(payload: Members, disclosures: readonly string[]): Members {
  const byDigest = new Map(disclosures.map((text) => [digestOf(text), text]))
  if (byDigest.size !== disclosures.length) throw refuse('sd-jwt/disclosure', 'a disclosure is there twice')
  const seen = new Set<string>()
  const used = new Set<string>()
  const take = (digest: Json | undefined): Disclosure | null => {
    if (typeof digest !== 'string') throw refuse('sd-jwt/form', 'a digest is not text')
    if (seen.has(digest)) throw refuse('sd-jwt/disclosure', 'a digest stands twice')
    seen.add(digest)
    const text = byDigest.get(digest)
    if (text === undefined) return null
    used.add(digest)
    return readDisclosure(text)
  }
  const element = (item: Json, depth: number): readonly Json[] => {
    if (!isMembers(item) || item['...'] === undefined) return [fill(item, depth)]
    if (Object.keys(item).length !== 1) throw refuse('sd-jwt/form', 'a hidden element has other members')
    const found = take(item['...'])
    if (found === null) return []
    if (found.name !== null) throw refuse('sd-jwt/disclosure', 'a disclosure of a member stands for an element')
    return [fill(found.value, depth)]
  }
  // A disclosure may hold digests of others: the parser bounds the depth of each alone, this of all together.
  const fill = (value: Json, depth: number): Json => {
    if (depth > jsonDepthMax) throw refuse('sd-jwt/form', `more than ${jsonDepthMax} values stand in one another`)
    if (Array.isArray(value)) return value.flatMap((item) => element(item, depth + 1))
    if (!isMembers(value)) return value
    const { _sd: digests, ...open } = value
    if (Object.hasOwn(open, '...')) throw refuse('sd-jwt/form', 'an object has a member ...')
    const out: Record<string, Json> = Object.create(null)
    for (const [name, member] of Object.entries(open)) out[name] = fill(member, depth + 1)
    if (digests !== undefined && !Array.isArray(digests)) throw refuse('sd-jwt/form', '_sd is not a list')
    for (const digest of (digests ?? []) as readonly Json[]) {
      const found = take(digest)
      if (found === null) continue
      if (found.name === null) throw refuse('sd-jwt/disclosure', 'a disclosure of an element stands for a member')
      if (Object.hasOwn(out, found.name)) throw refuse('sd-jwt/disclosure', `${found.name} is disclosed over a claim`)
      out[found.name] = fill(found.value, depth + 1)
    }
    return { ...out }
  }
  const filled = fill(payload, 0) as Members
  if (used.size !== byDigest.size) throw refuse('sd-jwt/disclosure', 'nothing in the token asks for a disclosure')
  return filled
}

const bindingShape = object({ iat: integer(), aud: string(), nonce: string(), sd_hash: string({ max: 43 }) })

export interface BindingExpected {
  /** the key in the credential's `cnf` */
  readonly holder: SignatureJwk
  readonly audience: string
  readonly nonce: string
  readonly at: UnixSeconds
  readonly ageSecondsMax: number
}

/**
 * That whoever presents an SD-JWT holds the key it was issued to, made this selection, and made it for this reader and nonce.
 *
 * throws  sd-jwt/binding
 * source  RFC 9901, "Key Binding JWT"
 */
export async function verifyKeyBinding(text: string, expected: BindingExpected): Promise<void> {
  const { binding } = partsOf(text)
  if (binding === null) throw refuse('sd-jwt/binding', 'nothing shows that who presents the credential holds its key')
  const signed = text.slice(0, text.length - binding.length)
  let claims: ReturnType<typeof bindingShape>
  try {
    const { payload } = await verifyJws(binding, [expected.holder], 'key binding', 'kb+jwt')
    claims = bindingShape(parseJson(payload, sdJwtSizeMax), 'key binding')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('sd-jwt/binding', `key binding: ${cause.message}`, cause)
  }
  const wrong = (what: string) => refuse('sd-jwt/binding', `key binding is of another ${what}`)
  if (claims.sd_hash !== digestOf(signed)) throw wrong('selection')
  if (claims.aud !== expected.audience) throw wrong('audience')
  if (claims.nonce !== expected.nonce) throw wrong('nonce')
  const age = expected.at - claims.iat
  if (age < -clockSkewSeconds || age > expected.ageSecondsMax) throw wrong('time')
}

/** The key in a `cnf` claim, which has nothing else. @throws sd-jwt/form */
export function holderOf(claims: Members): SignatureJwk {
  try {
    return object({ jwk: signatureJwk })(claims.cnf, 'cnf').jwk
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('sd-jwt/form', `the credential names no key of its holder: ${cause.message}`, cause)
  }
}

/** The name of a holder: its key's thumbprint. */
export const holderId = (claims: Members): string => thumbprint(holderOf(claims))
