import { collection, platformClaim, realmClaim } from '#attest/cca/layout.js'
import { type ExplainedField, type ExplainedPart, field } from '#attest/explain/part.js'
import { attempt } from '#attest/pool.js'
import { toHex } from '#core/bytes/bytes.js'
import { type Cbor, decodeCbor, isCborArray, isCborMap, isCborTag } from '#core/encoding/cbor.js'

/** Names of labels, by the kind of map that they stand in. */
type Names = ReadonlyMap<number, string>

const dashed = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
const labels = (claims: Readonly<Record<string, number>>, prefix: string): Names =>
  new Map(Object.entries(claims).map(([name, label]) => [label, `${prefix}${dashed(name)}`]))
const platformNames = labels(platformClaim, 'cca-platform-')
const realmNames = labels(realmClaim, 'cca-realm-')
const noNames: Names = new Map()
const coseNames: Names = new Map([[1, 'alg']])
const cosePlaces = ['protected', 'unprotected', 'payload', 'signature']
const collectionNames: Names = new Map([
  [collection.platform, 'cca-platform-token'],
  [collection.realm, 'cca-realm-token'],
])

const nitro = 'AWS Nitro Enclaves NSM API, docs/attestation_process.md, commit c7ba5f32febe'
const rmm = 'Arm DEN0137 Realm Management Monitor, revision 1.0'

interface Walk {
  /** of the bytes that the walk began with: byte strings are views into them */
  readonly base: Uint8Array
  readonly out: ExplainedField[]
}

/** Every value of a CBOR value by its path, byte strings with where they stand. */
function walk(value: Cbor, path: string, names: Names, at: Walk): void {
  const below = (name: string) => (path === '' ? name : `${path}.${name}`)
  if (value instanceof Uint8Array) {
    at.out.push(field(path, toHex(value), value.byteOffset - at.base.byteOffset, value.length))
  } else if (isCborMap(value)) {
    for (const [key, one] of value) walk(one, below(nameOf(key, names)), names, at)
  } else if (isCborTag(value)) {
    at.out.push(field(below('(tag)'), String(value.tag)))
    walk(value.value, path, names, at)
  } else if (isCborArray(value)) {
    for (const [i, one] of value.entries()) walk(one, `${path}[${i}]`, names, at)
  } else at.out.push(field(path, String(value)))
}

function nameOf(key: number | string, names: Names): string {
  if (typeof key === 'string') return key
  const name = names.get(key)
  return name === undefined ? String(key) : `${name} (${key})`
}

const decode = (bytes: Uint8Array) => attempt(() => decodeCbor(bytes, { indefinite: 'containers' }))

/** The four parts of a COSE_Sign1, and its payload as a part of its own. */
function coseParts(title: string, document: string, bytes: Uint8Array, names: Names): readonly ExplainedPart[] {
  const value = decode(bytes)
  const message = isCborTag(value ?? undefined) ? (value as { readonly value: Cbor }).value : value
  if (value === null || message === null || !isCborArray(message) || message.length !== 4)
    return [{ title, document: 'RFC 9052', fields: [field('(not COSE_Sign1)', toHex(bytes))] }]
  const at: Walk = { base: bytes, out: [] }
  if (isCborTag(value)) at.out.push(field('(tag)', String(value.tag)))
  for (const [i, one] of message.entries()) {
    const place = cosePlaces[i]!
    const inner = i === 0 && one instanceof Uint8Array ? decode(one) : null
    if (inner !== null) walk(inner, place, coseNames, at)
    else if (i === 2 && one instanceof Uint8Array)
      at.out.push(field(place, 'in a part of its own, below', one.byteOffset - bytes.byteOffset, one.length))
    else walk(one, place, coseNames, at)
  }
  const payload = message[2] instanceof Uint8Array ? message[2] : new Uint8Array()
  const inner: Walk = { base: payload, out: [] }
  const claims = decode(payload)
  if (claims === null) inner.out.push(field('(not CBOR)', toHex(payload)))
  else walk(claims, '', names, inner)
  return [
    { title: `${title}: COSE_Sign1`, document: 'RFC 9052', fields: at.out },
    { title: `${title}: payload`, document, fields: inner.out },
  ]
}

/** Bytes of a Nitro document, and the certificates inside, for whoever explains those. */
export function explainNitro(bytes: Uint8Array): {
  readonly parts: readonly ExplainedPart[]
  readonly certificates: readonly Uint8Array[]
} {
  const parts = coseParts('Attestation document', nitro, bytes, noNames)
  const value = decode(bytes)
  const message = isCborTag(value ?? undefined) ? (value as { readonly value: Cbor }).value : value
  const payload = isCborArray(message ?? undefined) ? (message as readonly Cbor[])[2] : undefined
  const claims = payload instanceof Uint8Array ? decode(payload) : null
  if (claims === null || !isCborMap(claims)) return { parts, certificates: [] }
  const bundle = claims.get('cabundle')
  const all = [claims.get('certificate'), ...(isCborArray(bundle) ? bundle : [])]
  return { parts, certificates: all.filter((one) => one instanceof Uint8Array) }
}

/** Bytes of a CCA token: the collection, then each of its tokens. */
export function explainCca(bytes: Uint8Array): readonly ExplainedPart[] {
  const value = decode(bytes)
  if (!isCborTag(value ?? undefined))
    return [{ title: 'CCA token', document: rmm, fields: [field('(not a token)', '')] }]
  const { tag, value: map } = value as { readonly tag: number; readonly value: Cbor }
  const at: Walk = { base: bytes, out: [field('(tag)', String(tag))] }
  const tokens: ExplainedPart[] = []
  for (const [key, one] of isCborMap(map) ? map : []) {
    // Under the newer tag a record of type and bytes.
    const token = isCborArray(one) ? one[1] : one
    const name = nameOf(key, collectionNames)
    if (!(token instanceof Uint8Array)) continue
    at.out.push(field(name, 'in parts of their own, below', token.byteOffset - bytes.byteOffset, token.length))
    tokens.push(...coseParts(name, rmm, token, key === collection.realm ? realmNames : platformNames))
  }
  return [{ title: 'CCA attestation token', document: rmm, fields: at.out }, ...tokens]
}
