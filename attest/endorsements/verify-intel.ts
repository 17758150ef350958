import { verifyQeIdentity, verifyTcbInfo } from '#attest/dcap/collateral.js'
import { certificateNames } from '#attest/dcap/layout.js'
import { findRoot, verifyName } from '#attest/dcap/verify.js'
import type { Facts, VerifyContext } from '#attest/endorsements/context.js'
import type { CollateralItem, VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, type EndorsementCode, formatName } from '#attest/endorsements/names.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { parseCrl, verifyCrl, verifyNotRevoked } from '#core/x509/crl.js'

type IntelName = Extract<CollateralName, { readonly kind: `intel-${string}` }>
type Named<K extends IntelName['kind']> = Extract<IntelName, { readonly kind: K }>

function mismatch(name: CollateralName, found: string): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>('collateral/mismatch', `${formatName(name)}: ${found}`)
}

interface Chain {
  readonly issuer: Certificate
  readonly root: Certificate
  readonly rootDigest: string
  readonly platform: VerifiedItem['platform']
}

/** Issuer and root, or the root alone; the root's key is Intel's or one that the caller named. */
async function readChain(item: CollateralItem, size: 1 | 2, context: VerifyContext): Promise<Chain> {
  if (item.chain.length !== size)
    throw mismatch(item.name, `${item.chain.length} certificates above it, expected ${size}`)
  const certificates = item.chain.map((der, i) => parseCertificate(der, i === size - 1 ? 'root certificate' : 'issuer'))
  const [issuer, root] = [certificates[0]!, certificates.at(-1)!]
  const platform = findRoot(root, context)
  verifyName(root, certificateNames.root, 'root certificate')
  // The root alone is verified as its own issuer: dates, constraints, and its signature on itself.
  await verifyChain([issuer, root], ['issuer', 'root certificate'], context.at, context.links)
  return { issuer, root, rootDigest: toHex(sha256(root.spki)), platform }
}

/** The issuer is not revoked by a current CRL of the root, without which nothing of Intel's is believed. */
function verifyIssuer(name: CollateralName, chain: Chain, context: VerifyContext): void {
  const rootCrl = context.crlOf({ kind: 'intel-root-crl' }, chain.rootDigest)
  if (rootCrl === null)
    throw new Failure<EndorsementCode>(
      'collateral/root-crl-missing',
      `${formatName(name)} cannot be verified: no CRL of its root is at hand`,
    )
  verifyNotRevoked(chain.issuer, rootCrl, 'issuer')
}

async function verifyRootCrl(item: CollateralItem, context: VerifyContext): Promise<Facts> {
  const chain = await readChain(item, 1, context)
  const crl = parseCrl(item.body, 'root CRL')
  await verifyCrl(crl, chain.root, context.at, 'root CRL')
  verifyNotRevoked(chain.root, crl, 'root certificate')
  const floor: CollateralFloor = { kind: 'crl', issuer: chain.rootDigest, issuedAtMin: crl.thisUpdate }
  return { ...chain, crl, floor, edition: crl.number, issuedAt: crl.thisUpdate, nextUpdate: crl.nextUpdate }
}

async function verifyPckCrl(
  item: CollateralItem,
  { ca, ...name }: Named<'intel-pck-crl'>,
  context: VerifyContext,
): Promise<Facts> {
  const chain = await readChain(item, 2, context)
  const wanted = `Intel SGX PCK ${ca === 'platform' ? 'Platform' : 'Processor'} CA`
  if (commonName(chain.issuer.subject) !== wanted) throw mismatch({ ca, ...name }, `its issuer is not named ${wanted}`)
  verifyName(chain.issuer, certificateNames.ca, 'PCK CA certificate')
  verifyIssuer(item.name, chain, context)
  const crl = parseCrl(item.body, 'PCK CRL')
  await verifyCrl(crl, chain.issuer, context.at, 'PCK CRL')
  const issuer = toHex(sha256(chain.issuer.spki))
  const floor: CollateralFloor = { kind: 'crl', issuer, issuedAtMin: crl.thisUpdate }
  return { ...chain, crl, floor, edition: crl.number, issuedAt: crl.thisUpdate, nextUpdate: crl.nextUpdate }
}

async function signedDocument(item: CollateralItem, context: VerifyContext): Promise<Chain> {
  const chain = await readChain(item, 2, context)
  verifyName(chain.issuer, certificateNames.signer, 'TCB signing certificate')
  verifyIssuer(item.name, chain, context)
  return chain
}

async function verifyInfo(item: CollateralItem, name: Named<'intel-tcb-info'>, context: VerifyContext): Promise<Facts> {
  const chain = await signedDocument(item, context)
  const info = await verifyTcbInfo(item.body, name.tee, chain.issuer, context.at)
  if (info.fmspc !== name.fmspc) throw mismatch(name, `it is for FMSPC ${info.fmspc}`)
  const { issueDate, nextUpdate, tcbEvaluationDataNumber: editionMin } = info
  const floor: CollateralFloor = {
    kind: 'tcb-info',
    fmspc: name.fmspc,
    root: chain.rootDigest,
    tee: name.tee,
    editionMin,
    issuedAtMin: issueDate,
  }
  return { ...chain, crl: null, floor, edition: BigInt(editionMin), issuedAt: issueDate, nextUpdate }
}

async function verifyIdentity(
  item: CollateralItem,
  { tee }: Named<'intel-qe-identity'>,
  context: VerifyContext,
): Promise<Facts> {
  const chain = await signedDocument(item, context)
  const identity = await verifyQeIdentity(item.body, tee, chain.issuer, context.at)
  const { issueDate, nextUpdate, tcbEvaluationDataNumber: editionMin } = identity
  const floor: CollateralFloor = {
    kind: 'qe-identity',
    root: chain.rootDigest,
    tee,
    editionMin,
    issuedAtMin: issueDate,
  }
  return { ...chain, crl: null, floor, edition: BigInt(editionMin), issuedAt: issueDate, nextUpdate }
}

/**
 * What Intel signed, by its name: chain to Intel's root, not revoked by the root, signed, current, about what it is called.
 *
 * throws  collateral/mismatch, collateral/root-crl-missing, dcap/..., x509/..., chain/..., crl/...
 * source  Intel PCS API version 4
 */
export function verifyIntel(item: CollateralItem, name: IntelName, context: VerifyContext): Promise<Facts> {
  switch (name.kind) {
    case 'intel-root-crl':
      return verifyRootCrl(item, context)
    case 'intel-pck-crl':
      return verifyPckCrl(item, name, context)
    case 'intel-tcb-info':
      return verifyInfo(item, name, context)
    case 'intel-qe-identity':
      return verifyIdentity(item, name, context)
  }
}
