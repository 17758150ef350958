import type { Anchors } from '#attest/anchors.js'
import { type Caches, keyOf, noCaches, type Remembered, remembered, type Slot, whileAll } from '#attest/caches.js'
import type { SnpCode } from '#attest/snp/codes.js'
import { type Endorsement, readEndorsement } from '#attest/snp/endorsement.js'
import { misfitsOf } from '#attest/snp/fit.js'
import { cpuModels, hwIdSize, type Product } from '#attest/snp/layout.js'
import { parseReport, type SnpReport } from '#attest/snp/parse.js'
import { vendorRoots } from '#attest/snp/roots.js'
import { formatTcb, partsBelow, readTcb, type Tcb } from '#attest/snp/tcb.js'
import type { Trace } from '#attest/trace.js'
import { equal, fromBase64, isZero, toHex } from '#core/bytes/bytes.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { type Crl, type CrlCode, parseCrl, verifyCrl, verifyNotRevoked } from '#core/x509/crl.js'
import { keyDigest } from '#core/x509/digests.js'

declare const verified: unique symbol

/** An SNP report whose signature, endorsement and identity are true. Only verifySnp makes one. */
export interface VerifiedSnp {
  readonly [verified]: true
  readonly platform: 'hardware' | 'simulated'
  readonly report: SnpReport
  readonly endorsement: Endorsement
  readonly product: Product
  readonly tcb: { readonly reported: Tcb; readonly committed: Tcb; readonly current: Tcb; readonly launch: Tcb }
  readonly vek: Certificate
  /** null when the evidence came without one: the appraisal says whether that is enough */
  readonly crl: Crl | null
}

interface Chain {
  readonly vek: Certificate
  readonly ask: Certificate
  readonly ark: Certificate
}

interface Root {
  readonly platform: 'hardware' | 'simulated'
  readonly product?: Product
  /** SHA-256 of its key, hex */
  readonly digest: string
}

function refuse(code: SnpCode, message: string, cause?: unknown): Failure<SnpCode> {
  return new Failure<SnpCode>(code, message, { cause })
}

/**
 * Verifies that a genuine AMD processor, or a simulated one under a root that the caller named, made this report.
 * What the report says is not judged here: debug, measurement, floors and settings are the appraisal's.
 *
 * at      the time at which certificates and CRL must be valid
 * caches  what earlier calls established about chains and lists; the result is the same without
 * throws  SnpCode, and those of core/x509: x509/..., chain/..., crl/...
 * source  AMD 56860, "ATTESTATION_REPORT"; 57230, "KDS Interface"
 */
export async function verifySnp(
  evidence: SnpEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedSnp> {
  const report = parseReport(caches.decode(evidence.report))
  trace('snp/structure', `version ${report.version}, ${report.bytes.length} bytes, signed by a ${report.signingKey}`)
  const key = caches.keeps ? keyOf(evidence.vek, evidence.ask, evidence.ark) : ''
  const known = caches.get(chainSlot, key, at)
  const chain = known ?? parseChain(evidence, caches)
  const root = findRoot(chain.ark, anchors)
  trace('snp/root', `${root.product ?? 'simulated'}, key ${root.digest}`)
  if (!known) caches.set(chainSlot, key, await verifyEndorsementChain(chain, at, caches))
  trace('snp/chain', () => chainText(chain))
  const crl = await verifyRevocation(evidence.crl, chain, at, caches)
  verifyCrlFloor(crl, chain, anchors, at)
  verifyNotKnownRevoked(chain, anchors, at)
  if (crl) trace('snp/crl', () => crlText(crl))
  else trace('snp/crl', '', 'skip')
  const endorsement = readEndorsement(chain.vek)
  const product = verifyProduct(root.product, endorsement, report, chain.ask)
  trace('snp/product', () => productText(product, report))
  await verifyReportSignature(report, endorsement, chain.vek)
  caches.count('evidence')
  trace('snp/signature', `ECDSA P-384 with SHA-384 over ${report.signed.length} bytes`)
  const tcb = verifyTcb(report, endorsement, product)
  trace('snp/tcb', () => tcbText(tcb))
  verifyIdentity(report, endorsement, product)
  trace('snp/identity', () => identityText(endorsement))
  return { platform: root.platform, report, endorsement, product, tcb, vek: chain.vek, crl } as VerifiedSnp
}

function chainText({ vek, ask, ark }: Chain): string {
  const names = [vek, ask, ark].map(({ subject }) => commonName(subject) ?? 'no name')
  const until = Math.min(vek.notAfter, ask.notAfter, ark.notAfter)
  return `${names.join(', ')}; valid until ${formatTime(until)}`
}

function crlText({ thisUpdate, nextUpdate, revoked }: Crl): string {
  return `of ${formatTime(thisUpdate)}, next ${formatTime(nextUpdate)}, ${revoked.size} revoked, none of this chain`
}

function productText(product: Product, { cpuid }: SnpReport): string {
  return cpuid ? `${product}, CPUID family ${cpuid.family} model ${cpuid.model}` : `${product}, report without CPUID`
}

function tcbText(tcb: VerifiedSnp['tcb']): string {
  const parts = (['reported', 'committed', 'current', 'launch'] as const).map(
    (name) => `${name} ${formatTcb(tcb[name])}`,
  )
  return parts.join(', ')
}

function identityText({ key, hwId, cspId }: Endorsement): string {
  return hwId ? `${key} of chip ${toHex(hwId)}` : `${key} of ${cspId}`
}

function parseChain(evidence: SnpEvidence, caches: Caches): Chain {
  const chain = {
    vek: parseCertificate(caches.decode(evidence.vek), 'endorsement key certificate'),
    ask: parseCertificate(caches.decode(evidence.ask), 'intermediate certificate'),
    ark: parseCertificate(caches.decode(evidence.ark), 'root certificate'),
  }
  for (const [name, { algorithm }] of Object.entries(chain)) {
    if (algorithm !== 'RSA-PSS-SHA384')
      throw refuse('snp/endorsement-key', `${name} is signed with ${algorithm}, expected RSA-PSS-SHA384`)
  }
  return chain
}

const chainSlot: Slot<Chain> = { name: 'snp/chain' }

async function verifyEndorsementChain(chain: Chain, at: UnixSeconds, caches: Caches): Promise<Remembered<Chain>> {
  const certificates = [chain.vek, chain.ask, chain.ark]
  const names = ['endorsement key certificate', 'intermediate certificate', 'root certificate']
  await verifyChain(certificates, names, at, caches.links)
  return {
    value: chain,
    ...whileAll(certificates.map(({ notBefore, notAfter }) => ({ from: notBefore, until: notAfter }))),
    size: certificates.reduce((size, { der }) => size + der.length, 0),
  }
}

const crlSlot: Slot<Crl> = { name: 'snp/crl' }

/** Invariant: `hardware` comes from a digest compiled into this program and from nothing else (I6). */
export function findRoot(ark: Certificate, anchors: Pick<Anchors, 'simulatedRoots'>): Root {
  const digest = keyDigest(ark)
  const product = vendorRoots.get(digest)
  if (product) return { platform: 'hardware', product, digest }
  if (anchors.simulatedRoots.includes(digest)) return { platform: 'simulated', digest }
  throw refuse('snp/unknown-root', `root key ${digest} is neither AMD's nor a simulated root that this caller accepts`)
}

/** The ARK signs the CRL and can revoke the intermediates. A single VCEK is retired by a TCB floor, not by a CRL. */
async function verifyRevocation(
  der: string | null,
  chain: Chain,
  at: UnixSeconds,
  caches: Caches,
): Promise<Crl | null> {
  if (der === null) return null
  const crl = await remembered(
    caches,
    crlSlot,
    () => keyOf(der, chain.ark.der),
    at,
    async () => {
      const list = parseCrl(fromBase64(der), 'CRL of the root')
      await verifyCrl(list, chain.ark, at, 'CRL of the root')
      caches.count('vendor')
      return { value: list, from: list.thisUpdate, until: list.nextUpdate, size: der.length }
    },
  )
  verifyNotRevoked(chain.ask, crl, 'intermediate certificate')
  verifyNotRevoked(chain.ark, crl, 'root certificate')
  // The CRL is the ARK's, and every VCEK has serial number 0: an entry 0 would name none of the ARK's own.
  return crl
}

/**
 * Whoever sends evidence chooses the CRL that comes along, so one that is older than the caller's floor is none. A floor
 * of a later time than `at` does not count: what was decided before it was decided by the lists of then.
 */
function verifyCrlFloor(crl: Crl | null, { ask, ark }: Chain, anchors: Anchors, at: UnixSeconds): void {
  const issuer = keyDigest(ark)
  const list = commonName(ask.subject)?.startsWith('SEV-VLEK-') ? 'vlek' : 'vcek'
  for (const floor of anchors.collateralFloors ?? []) {
    if (floor.kind !== 'crl' && !(floor.kind === 'amd-crl' && floor.list === list)) continue
    if (floor.issuer !== issuer || floor.issuedAtMin > at) continue
    if (crl !== null && crl.thisUpdate >= floor.issuedAtMin) continue
    const found = crl === null ? 'there is no CRL of the root' : `CRL of the root is from ${formatTime(crl.thisUpdate)}`
    throw refuse('snp/crl-floor', `${found}, expected one from ${formatTime(floor.issuedAtMin)} or later`)
  }
}

/**
 * AMD's root signs a list for VCEKs and one for VLEKs, neither of which says which it is: a current one of the other kind
 * would not name a revoked intermediate. What the caller has seen revoked stays so, whichever list comes along.
 */
function verifyNotKnownRevoked({ ask, ark }: Chain, anchors: Anchors, at: UnixSeconds): void {
  const [issuer, serial] = [keyDigest(ark), toHex(ask.serial)]
  for (const floor of anchors.collateralFloors ?? []) {
    if (floor.kind !== 'amd-revoked' || floor.issuer !== issuer || floor.serial !== serial) continue
    if (floor.issuedAtMin > at) continue
    const seen = `is revoked by a list from ${formatTime(floor.issuedAtMin)} that was seen here`
    throw new Failure<CrlCode>('crl/revoked', `intermediate certificate, serial number ${serial}, ${seen}`)
  }
}

/** Root, certificate, intermediate's name and CPUID must all speak of one product. */
function verifyProduct(
  rootProduct: Product | undefined,
  endorsement: Endorsement,
  report: SnpReport,
  ask: Certificate,
): Product {
  const product = endorsement.product
  if (rootProduct !== undefined && rootProduct !== product)
    throw refuse('snp/product', `certificate is for ${product}, its root for ${rootProduct}`)
  const name = endorsement.key === 'VCEK' ? `SEV-${product}` : `SEV-VLEK-${product}`
  if (commonName(ask.subject) !== name)
    throw refuse('snp/endorser-name', `intermediate certificate is not named ${name}`)
  if (report.cpuid) {
    const { family, model } = report.cpuid
    const known = cpuModels.find((one) => one.family === family && model >= one.from && model <= one.to)
    if (known?.product !== product)
      throw refuse(
        'snp/product',
        `CPUID family ${family}, model ${model} is ${known?.product ?? 'unknown'}, certificate is for ${product}`,
      )
  }
  return product
}

async function verifyReportSignature(report: SnpReport, endorsement: Endorsement, vek: Certificate): Promise<void> {
  if (report.signingKey !== endorsement.key)
    throw refuse(
      'snp/signing-key',
      `report says it is signed by a ${report.signingKey}, certificate is of a ${endorsement.key}`,
    )
  try {
    await verifySpkiSignature('ES384', vek.spki, report.signed, report.signature, 'report')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    const why = misfitsOf(report, endorsement).map(({ text }) => text)
    const provider = endorsement.cspId === null ? '' : `, a VLEK of ${endorsement.cspId}`
    const found = `report was not signed by the endorsement key${provider}`
    throw refuse('snp/signature', why.length === 0 ? found : `${found}: ${why.join(', ')}`, cause)
  }
}

/**
 * The endorsement key is derived from the reported TCB, so the certificate must name the same one. Reported may not
 * exceed committed, nor committed current. Not compared: launch with current, which a provisional update may order
 * either way; and nothing is compared as one number, since the parts count independently.
 */
function verifyTcb(report: SnpReport, endorsement: Endorsement, product: Product): VerifiedSnp['tcb'] {
  const reported = readTcb(report.bytesOf('reportedTcb'), product, 'reported TCB')
  const committed = readTcb(report.bytesOf('committedTcb'), product, 'committed TCB')
  const current = readTcb(report.bytesOf('currentTcb'), product, 'current TCB')
  const launch = readTcb(report.bytesOf('launchTcb'), product, 'launch TCB')
  for (const [part, value] of Object.entries(endorsement.tcb)) {
    const found = reported[part as keyof Tcb]
    if (found !== value)
      throw refuse('snp/tcb-certificate', `reported ${part} is ${found}, certificate is for ${value}`)
  }
  for (const [low, high, what] of [
    [reported, committed, 'committed TCB is below the reported one'],
    [committed, current, 'current TCB is below the committed one'],
  ] as const) {
    const parts = partsBelow(high, low)
    if (parts.length > 0) throw refuse('snp/tcb-order', `${what}: ${parts.join(', ')}`)
  }
  return { reported, committed, current, launch }
}

/** A VCEK names one chip: all 64 bytes are compared. A VLEK names a provider; the chip id may then be masked. */
function verifyIdentity(report: SnpReport, endorsement: Endorsement, product: Product): void {
  const chipId = report.bytesOf('chipId')
  const size = hwIdSize[product]
  if (endorsement.hwId && !(equal(chipId.subarray(0, size), endorsement.hwId) && isZero(chipId.subarray(size))))
    throw refuse('snp/chip-id', 'chip id of the report is not the one that the certificate names')
  if (endorsement.key === 'VLEK' && !endorsement.cspId) throw refuse('snp/csp-id', 'certificate names no provider')
}
