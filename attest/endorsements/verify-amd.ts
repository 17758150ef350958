import type { Facts, VerifyContext } from '#attest/endorsements/context.js'
import type { CollateralItem, VerifiedItem } from '#attest/endorsements/item.js'
import { type AmdKey, type CollateralName, type EndorsementCode, formatName } from '#attest/endorsements/names.js'
import { readEndorsement } from '#attest/snp/endorsement.js'
import type { Product } from '#attest/snp/layout.js'
import { formatTcb } from '#attest/snp/tcb.js'
import { findRoot } from '#attest/snp/verify.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { parseCrl, verifyCrl, verifyNotRevoked } from '#core/x509/crl.js'

type AmdName = Extract<CollateralName, { readonly kind: `amd-${string}` }>
type Named<K extends AmdName['kind']> = Extract<AmdName, { readonly kind: K }>

function mismatch(name: CollateralName, found: string): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>('collateral/mismatch', `${formatName(name)}: ${found}`)
}

interface Root {
  readonly root: Certificate
  readonly rootDigest: string
  readonly platform: VerifiedItem['platform']
}

/** The last certificate of the chain: AMD's root of this product, or a simulated one that the caller named. */
function readRoot(item: CollateralItem, size: 1 | 2, product: Product, context: VerifyContext): Root {
  const { name, chain } = item
  if (chain.length !== size) throw mismatch(name, `${chain.length} certificates above it, expected ${size}`)
  const root = readCertificate(name, chain.at(-1)!, 'root certificate')
  const found = findRoot(root, context)
  if (found.product !== undefined && found.product !== product) throw mismatch(name, `its root is of ${found.product}`)
  return { root, rootDigest: toHex(sha256(root.spki)), platform: found.platform }
}

function readCertificate(name: CollateralName, der: Uint8Array, what: string): Certificate {
  const certificate = parseCertificate(der, what)
  if (certificate.algorithm !== 'RSA-PSS-SHA384')
    throw mismatch(name, `${what} is signed with ${certificate.algorithm}, expected RSA-PSS-SHA384`)
  return certificate
}

function readAuthority(name: AmdName, der: Uint8Array, key: AmdKey): Certificate {
  const certificate = readCertificate(name, der, 'intermediate certificate')
  const wanted = key === 'vcek' ? `SEV-${name.product}` : `SEV-VLEK-${name.product}`
  if (commonName(certificate.subject) !== wanted)
    throw mismatch(name, `intermediate certificate is not named ${wanted}`)
  return certificate
}

/** Where a CRL of the root is at hand, it does not list the intermediate. Without one the appraisal says what is enough. */
function verifyAuthority(
  authority: Certificate,
  { rootDigest }: Root,
  name: AmdName,
  key: AmdKey,
  context: VerifyContext,
): void {
  const crl = context.crlOf({ kind: 'amd-crl', product: name.product, key }, rootDigest)
  if (crl === null) return
  verifyNotRevoked(authority, crl, 'intermediate certificate')
}

const noList = { crl: null, floor: null, edition: null } as const

async function verifyAsk(item: CollateralItem, name: Named<'amd-ask'>, context: VerifyContext): Promise<Facts> {
  const top = readRoot(item, 1, name.product, context)
  const ask = readAuthority(name, item.body, name.key)
  await verifyChain([ask, top.root], ['intermediate certificate', 'root certificate'], context.at, context.links)
  verifyAuthority(ask, top, name, name.key, context)
  return { ...top, issuer: ask, ...noList, issuedAt: ask.notBefore, nextUpdate: ask.notAfter }
}

async function verifyArkCrl(item: CollateralItem, name: Named<'amd-crl'>, context: VerifyContext): Promise<Facts> {
  const top = readRoot(item, 1, name.product, context)
  // The root alone is verified as its own issuer: dates, constraints, and its signature on itself.
  await verifyChain([top.root, top.root], ['root certificate', 'root certificate'], context.at, context.links)
  const crl = parseCrl(item.body, 'CRL of the root')
  await verifyCrl(crl, top.root, context.at, 'CRL of the root')
  verifyNotRevoked(top.root, crl, 'root certificate')
  const floor: CollateralFloor = {
    kind: 'amd-crl',
    list: name.key,
    issuer: top.rootDigest,
    issuedAtMin: crl.thisUpdate,
  }
  const { thisUpdate: issuedAt, nextUpdate } = crl
  return { ...top, issuer: top.root, crl, floor, edition: crl.number, issuedAt, nextUpdate }
}

async function verifyVcek(item: CollateralItem, name: Named<'amd-vcek'>, context: VerifyContext): Promise<Facts> {
  const top = readRoot(item, 2, name.product, context)
  const ask = readAuthority(name, item.chain[0]!, 'vcek')
  const vcek = readCertificate(name, item.body, 'endorsement key certificate')
  const names = ['endorsement key certificate', 'intermediate certificate', 'root certificate']
  await verifyChain([vcek, ask, top.root], names, context.at, context.links)
  verifyAuthority(ask, top, name, 'vcek', context)
  const { key, product, hwId, tcb } = readEndorsement(vcek)
  if (key !== 'VCEK' || hwId === null || product !== name.product) throw mismatch(name, `it is a ${key} of ${product}`)
  if (toHex(hwId) !== name.hwId) throw mismatch(name, 'it is of another chip')
  if (formatTcb(tcb) !== formatTcb(name.tcb)) throw mismatch(name, `it is for TCB ${formatTcb(tcb)}`)
  return { ...top, issuer: ask, ...noList, issuedAt: vcek.notBefore, nextUpdate: vcek.notAfter }
}

/**
 * What AMD signed, by its name: chain to AMD's root of this product, signed, current, about what it is called.
 *
 * throws  collateral/mismatch, snp/unknown-root, snp/certificate and others of the endorsement, x509/..., chain/..., crl/...
 * source  AMD 57230, "VCEK Certificate Extensions", "KDS Interface"
 */
export function verifyAmd(item: CollateralItem, name: AmdName, context: VerifyContext): Promise<Facts> {
  switch (name.kind) {
    case 'amd-ask':
      return verifyAsk(item, name, context)
    case 'amd-crl':
      return verifyArkCrl(item, name, context)
    case 'amd-vcek':
      return verifyVcek(item, name, context)
  }
}
