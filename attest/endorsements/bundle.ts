import { type CollateralItem, chainSizeMax, verifySizes } from '#attest/endorsements/item.js'
import {
  type CollateralKind,
  type CollateralName,
  type EndorsementCode,
  formatName,
  nameSizeMax,
  parseName,
} from '#attest/endorsements/names.js'
import { fromBase64, fromUtf8, toBase64, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { encodePem, parsePem } from '#core/encoding/pem.js'
import { base64, list, literal, object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB, MiB } from '#core/limits.js'

/** An offline bundle: documents as they were received. Nothing of it is believed: who reads it verifies each. */
export type CollateralBundle = readonly CollateralItem[]

export const bundleSizeMax = 64 * MiB
export const bundleItemsMax = 5000
const format = 'claviger-collateral/1'

const inBase64 = (size: number) => Math.ceil(size / 3) * 4
const bundleShape = object({
  format: literal(format),
  items: list(
    object({
      name: string({ max: nameSizeMax }),
      body: base64(undefined, inBase64(128 * KiB)),
      chain: list(base64(undefined, inBase64(8 * KiB)), { max: chainSizeMax }),
    }),
    { max: bundleItemsMax },
  ),
})

function refuse(message: string, cause?: unknown): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>('collateral/bundle-form', message, { cause })
}

/** Sorted by name, so that the same documents are the same bundle. */
function inNameOrder(bundle: CollateralBundle): readonly (CollateralItem & { readonly label: string })[] {
  const labelled = bundle.map(({ name, body, chain }) => ({ name, body, chain, label: formatName(name) }))
  return labelled.sort((a, b) => (a.label < b.label ? -1 : 1))
}

/** Each document within its bounds, and no name twice. @throws collateral/bundle-form, collateral/size */
function verifyItems(bundle: CollateralBundle): CollateralBundle {
  const seen = new Set<string>()
  for (const item of bundle) {
    verifySizes(item)
    const label = formatName(item.name)
    if (seen.has(label)) throw refuse(`${label} is there twice`)
    seen.add(label)
  }
  return bundle
}

/** The bundle as one file: canonical JSON. */
export function encodeBundle(bundle: CollateralBundle): Uint8Array {
  const items = inNameOrder(bundle).map(({ label, body, chain }) => ({
    name: label,
    body: toBase64(body),
    chain: chain.map(toBase64),
  }))
  return canonicalJson({ format, items })
}

/** Whether the bytes are a document that says it is a bundle, good or not: vendors' own documents have no list of items. */
export function isBundle(bytes: Uint8Array): boolean {
  if (bytes.find((byte) => byte > 0x20) !== 0x7b) return false
  try {
    return Object.hasOwn(parseJson(bytes, bundleSizeMax) as object, 'items')
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

/** @throws collateral/bundle-form, collateral/name, collateral/size */
export function parseBundle(bytes: Uint8Array): CollateralBundle {
  try {
    const { items } = bundleShape(parseJson(bytes, bundleSizeMax), 'bundle')
    return verifyItems(
      items.map(({ name, body, chain }) => ({
        name: parseName(name),
        body: fromBase64(body),
        chain: chain.map((one) => fromBase64(one)),
      })),
    )
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('collateral/')) throw error
    throw refuse(`no collateral bundle: ${error.message}`, error)
  }
}

/** How the body of each kind is called in a folder. */
const extensions: Readonly<Record<CollateralKind, string>> = {
  'intel-root-crl': 'crl',
  'intel-pck-crl': 'crl',
  'intel-tcb-info': 'json',
  'intel-qe-identity': 'json',
  'amd-ask': 'der',
  'amd-crl': 'crl',
  'amd-vcek': 'der',
  'nvidia-rim': 'rim',
  'nvidia-ocsp': 'ors',
}
const chainEnd = '.chain.pem'

const bodyPath = (name: CollateralName) => `${formatName(name)}.${extensions[name.kind]}`

/** The bundle as files by their paths in a folder: a document, and beside it the certificates above it in PEM. */
export function filesOfBundle(bundle: CollateralBundle): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (const { name, label, body, chain } of inNameOrder(bundle)) {
    files.set(bodyPath(name), body)
    if (chain.length > 0)
      files.set(`${label}${chainEnd}`, utf8(chain.map((one) => encodePem(one, 'CERTIFICATE')).join('')))
  }
  return files
}

/** @throws collateral/bundle-form, also for a file that belongs to no document; collateral/name, collateral/size */
export function bundleOfFiles(files: ReadonlyMap<string, Uint8Array>): CollateralBundle {
  const bodies = [...files].filter(([path]) => !path.endsWith(chainEnd))
  const items = bodies.map(([path, body]) => {
    const name = nameOfPath(path)
    const pem = files.get(`${formatName(name)}${chainEnd}`)
    return { name, body, chain: pem === undefined ? [] : chainOf(path, pem) }
  })
  const known = new Set(items.map(({ name }) => `${formatName(name)}${chainEnd}`))
  const stray = [...files.keys()].find((path) => path.endsWith(chainEnd) && !known.has(path))
  if (stray !== undefined) throw refuse(`${stray} stands above no document`)
  return verifyItems(items)
}

function nameOfPath(path: string): CollateralName {
  const dot = path.lastIndexOf('.')
  let name: CollateralName
  try {
    name = parseName(path.slice(0, Math.max(dot, 0)))
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(`${path} is no document of a collateral bundle`, error)
  }
  if (bodyPath(name) !== path) throw refuse(`${path} is called ${bodyPath(name)} in a collateral bundle`)
  return name
}

function chainOf(path: string, pem: Uint8Array): readonly Uint8Array[] {
  try {
    return parsePem(fromUtf8(pem), 'CERTIFICATE', chainSizeMax)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(`the certificates above ${path} are no PEM: ${error.message}`, error)
  }
}
