import type { Anchors } from '#attest/anchors.js'
import { type Caches, keyOf, type Remembered, remembered, type Slot, whileAll } from '#attest/caches.js'
import type { DcapCode } from '#attest/dcap/codes.js'
import { type QeIdentity, type TcbInfo, verifyQeIdentity, verifyTcbInfo } from '#attest/dcap/collateral.js'
import { certificateNames, type Tee } from '#attest/dcap/layout.js'
import { type Pck, readPck } from '#attest/dcap/pck.js'
import type { Quote } from '#attest/dcap/quote.js'
import { intelRoot, intelRootCertificate } from '#attest/dcap/roots.js'
import { textsDigest } from '#attest/texts.js'
import { toHex } from '#core/bytes/bytes.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { Failure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { DcapCollateral } from '#core/wire/evidence.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { type Crl, parseCrl, verifyCrl, verifyNotRevoked } from '#core/x509/crl.js'
import { certificateDigest, keyDigest } from '#core/x509/digests.js'

/** The machine behind a quote, once its chain is verified. */
export interface Machine {
  readonly platform: 'hardware' | 'simulated'
  readonly certificate: Certificate
  readonly ca: Certificate
  readonly root: Certificate
  readonly pck: Pck
}

/** What Intel says of machines of this family, verified. */
export interface Collateral {
  readonly tcbInfo: TcbInfo
  readonly qeIdentity: QeIdentity
  /** the first time at which any part of it has to be fetched anew */
  readonly validUntil: UnixSeconds
}

function refuse(code: DcapCode, message: string, cause?: unknown): Failure<DcapCode> {
  return new Failure<DcapCode>(code, message, { cause })
}

/** @throws dcap/certificate-name */
export function verifyName(certificate: Certificate, names: readonly string[], what: string): void {
  const found = commonName(certificate.subject)
  if (found === undefined || !names.includes(found))
    throw refuse('dcap/certificate-name', `${what} is not named ${names.join(' or ')}`)
  if (certificate.algorithm !== 'ES256' || !hasKeyForm('ES256', certificate.spki))
    throw refuse('dcap/certificate-name', `${what} does not sign with ECDSA on P-256`)
}

const chainSlot: Slot<Omit<Machine, 'platform'>> = { name: 'dcap/pck-chain' }
const whileValid = ({ notBefore, notAfter }: Certificate) => ({ from: notBefore, until: notAfter })

/**
 * Step 1: the PCK certificate chains to Intel's root, or to a simulated one that the caller named.
 *
 * throws  dcap/unknown-root, dcap/certificate-name, dcap/pck-certificate, x509/..., chain/...
 * source  Intel Quote Verification Library, "PckCertVerifier"
 */
export async function verifyPckChain(
  quote: Quote,
  anchors: Anchors,
  at: UnixSeconds,
  caches: Caches,
): Promise<Machine> {
  const chain = await remembered(
    caches,
    chainSlot,
    () => keyOf(quote.chainPem),
    at,
    async () => {
      const [leaf, intermediate, top] = quote.chain
      const certificate = parseCertificate(leaf, 'PCK certificate')
      const ca = parseCertificate(intermediate, 'PCK CA certificate')
      const root = parseCertificate(top, 'root certificate')
      findRoot(root, anchors) // before any signature: nothing is owed to a chain that leads nowhere
      verifyName(certificate, certificateNames.pck, 'PCK certificate')
      verifyName(ca, certificateNames.ca, 'PCK CA certificate')
      verifyName(root, certificateNames.root, 'root certificate')
      const names = ['PCK certificate', 'PCK CA certificate', 'root certificate']
      const ownSignature = certificateDigest(root) === intelRootCertificate ? 'verified' : 'verify'
      await verifyChain([certificate, ca, root], names, at, caches.links, ownSignature)
      const value = { certificate, ca, root, pck: readPck(certificate) }
      const size = leaf.length + intermediate.length + top.length
      return { value, ...whileAll([certificate, ca, root].map(whileValid)), size }
    },
  )
  return { platform: findRoot(chain.root, anchors), ...chain }
}

/** Invariant: `hardware` comes from a digest compiled into this program and from nothing else (I6). */
export function findRoot(root: Certificate, anchors: Pick<Anchors, 'simulatedRoots'>): 'hardware' | 'simulated' {
  const digest = keyDigest(root)
  if (digest === intelRoot) return 'hardware'
  if (anchors.simulatedRoots.includes(digest)) return 'simulated'
  throw refuse(
    'dcap/unknown-root',
    `root key ${digest} is neither Intel's nor a simulated root that this caller accepts`,
  )
}

/** What Intel signed, once its signatures, its signers and its times are verified, under one root and authority. */
interface SignedCollateral {
  readonly tcbInfo: TcbInfo
  readonly qeIdentity: QeIdentity
  readonly pckCrl: Crl
  readonly rootCrl: Crl
}
const signedSlot: Slot<SignedCollateral> = { name: 'dcap/collateral' }

/**
 * Steps 2 and 3: both CRLs and both signed documents are Intel's and current, and neither CRL lists a certificate that
 * was relied upon.
 *
 * throws  dcap/collateral-..., dcap/certificate-name, x509/..., chain/..., crl/...
 */
export async function verifyCollateral(
  collateral: DcapCollateral,
  quote: Quote,
  machine: Machine,
  anchors: Anchors,
  at: UnixSeconds,
  caches: Caches,
): Promise<Collateral> {
  const key = () => keyOf(quote.tee, textsDigest(caches, collateral), machine.ca.der, machine.root.der)
  const signed = await remembered(caches, signedSlot, key, at, () =>
    verifySigned(collateral, quote.tee, machine, at, caches),
  )
  const { tcbInfo, qeIdentity, pckCrl, rootCrl } = signed
  // Invariant: what concerns this machine or this caller alone is judged on every call, whatever is remembered.
  verifyNotRevoked(machine.certificate, pckCrl, 'PCK certificate')
  verifyFloor('PCK CRL', machine.ca, pckCrl.thisUpdate, anchors, at)
  verifyFloor('root CRL', machine.root, rootCrl.thisUpdate, anchors, at)
  verifyEdition('TCB info', { kind: 'tcb-info', fmspc: tcbInfo.fmspc }, tcbInfo, { quote, machine, anchors, at })
  verifyEdition('QE identity', { kind: 'qe-identity' }, qeIdentity, { quote, machine, anchors, at })
  const validUntil = Math.min(...[tcbInfo, qeIdentity, pckCrl, rootCrl].map((one) => one.nextUpdate))
  return { tcbInfo, qeIdentity, validUntil }
}

async function verifySigned(
  collateral: DcapCollateral,
  tee: Tee,
  machine: Machine,
  at: UnixSeconds,
  caches: Caches,
): Promise<Remembered<SignedCollateral>> {
  const tcbInfoSigner = await verifySigner(collateral.tcbInfoSigner, machine, caches, at)
  // Usually one certificate for both.
  const isSame = collateral.qeIdentitySigner === collateral.tcbInfoSigner
  const qeIdentitySigner = isSame ? tcbInfoSigner : await verifySigner(collateral.qeIdentitySigner, machine, caches, at)
  const signers = [tcbInfoSigner, qeIdentitySigner]
  const [pckCrl, rootCrl] = await verifyRevocation(collateral, machine, signers, at, caches)
  const tcbInfo = await verifyTcbInfo(caches.decode(collateral.tcbInfo), tee, tcbInfoSigner, at)
  caches.count('vendor')
  const qeIdentity = await verifyQeIdentity(caches.decode(collateral.qeIdentity), tee, qeIdentitySigner, at)
  caches.count('vendor')
  return {
    value: { tcbInfo, qeIdentity, pckCrl, rootCrl },
    ...whileAll([
      ...[...signers, machine.root].map(whileValid),
      ...[pckCrl, rootCrl].map(({ thisUpdate, nextUpdate }) => ({ from: thisUpdate, until: nextUpdate })),
      ...[tcbInfo, qeIdentity].map(({ issueDate, nextUpdate }) => ({ from: issueDate, until: nextUpdate })),
    ]),
    size: Object.values(collateral).reduce((size, text) => size + text.length, 0),
  }
}

/**
 * Whoever sends evidence chooses the CRLs that come along, so one that is older than the caller's floor for its issuer is
 * refused. A floor of a later time than `at` does not count: what was decided before it was decided by the lists of then.
 */
function verifyFloor(
  what: string,
  issuer: Certificate,
  issuedAt: UnixSeconds,
  anchors: Anchors,
  at: UnixSeconds,
): void {
  if (anchors.collateralFloors === undefined) return
  const digest = keyDigest(issuer)
  for (const floor of anchors.collateralFloors) {
    if (floor.kind !== 'crl' || floor.issuer !== digest) continue
    if (floor.issuedAtMin > at || issuedAt >= floor.issuedAtMin) continue
    throw refuse(
      'dcap/crl-floor',
      `${what} is from ${formatTime(issuedAt)}, expected one from ${formatTime(floor.issuedAtMin)} or later`,
    )
  }
}

/**
 * As verifyFloor, for what Intel counts in editions: both of two are in their time for weeks, and the older one may call a
 * machine current that the newer one does not. Of one edition the newer issue counts.
 */
function verifyEdition(
  what: string,
  of: { readonly kind: 'tcb-info'; readonly fmspc: string } | { readonly kind: 'qe-identity' },
  found: Pick<TcbInfo, 'tcbEvaluationDataNumber' | 'issueDate'>,
  { quote, machine, anchors, at }: { quote: Quote; machine: Machine; anchors: Anchors; at: UnixSeconds },
): void {
  if (anchors.collateralFloors === undefined) return
  const root = keyDigest(machine.root)
  const edition = found.tcbEvaluationDataNumber
  for (const floor of anchors.collateralFloors) {
    if (floor.kind !== 'tcb-info' && floor.kind !== 'qe-identity') continue
    if (floor.kind !== of.kind) continue
    if (floor.root !== root || floor.tee !== quote.tee || floor.issuedAtMin > at) continue
    if (floor.kind === 'tcb-info' && of.kind === 'tcb-info' && floor.fmspc !== of.fmspc) continue
    const isOlder = edition < floor.editionMin || (edition === floor.editionMin && found.issueDate < floor.issuedAtMin)
    if (!isOlder) continue
    throw refuse(
      'dcap/tcb-floor',
      `${what} is edition ${edition} of ${formatTime(found.issueDate)}, expected edition ${floor.editionMin} of ${formatTime(floor.issuedAtMin)} or later`,
    )
  }
}

async function verifySigner(der: string, machine: Machine, caches: Caches, at: UnixSeconds): Promise<Certificate> {
  const signer = parseCertificate(caches.decode(der), 'TCB signing certificate')
  verifyName(signer, certificateNames.signer, 'TCB signing certificate')
  const names = ['TCB signing certificate', 'root certificate']
  await verifyChain([signer, machine.root], names, at, caches.links, 'verified')
  return signer
}

async function verifyRevocation(
  collateral: DcapCollateral,
  machine: Machine,
  signers: readonly Certificate[],
  at: UnixSeconds,
  caches: Caches,
): Promise<readonly [pck: Crl, root: Crl]> {
  const pckCrl = parseCrl(caches.decode(collateral.pckCrl), 'PCK CRL')
  await verifyCrl(pckCrl, machine.ca, at, 'PCK CRL')
  caches.count('vendor')
  const rootCrl = parseCrl(caches.decode(collateral.rootCrl), 'root CRL')
  await verifyCrl(rootCrl, machine.root, at, 'root CRL')
  caches.count('vendor')
  // Serial numbers are an issuer's own: each certificate is looked up in the list of its own issuer.
  verifyNotRevoked(machine.root, rootCrl, 'root certificate')
  verifyNotRevoked(machine.ca, rootCrl, 'PCK CA certificate')
  for (const signer of signers) verifyNotRevoked(signer, rootCrl, 'TCB signing certificate')
  return [pckCrl, rootCrl]
}

/** Step 4: the TCB info is for this family of machines. @throws dcap/fmspc, dcap/pce-id */
export function verifyFamily({ pck }: Machine, { tcbInfo }: Collateral): void {
  if (tcbInfo.fmspc !== toHex(pck.fmspc))
    throw refuse('dcap/fmspc', `TCB info is for FMSPC ${tcbInfo.fmspc}, the machine's is ${toHex(pck.fmspc)}`)
  if (tcbInfo.pceId !== toHex(pck.pceId))
    throw refuse('dcap/pce-id', `TCB info is for PCEID ${tcbInfo.pceId}, the machine's is ${toHex(pck.pceId)}`)
}
