import type { Anchors } from '#attest/anchors.js'
import { type Caches, keyOf, noCaches, type Remembered, type Slot, whileAll } from '#attest/caches.js'
import type { NitroCode } from '#attest/nitro/codes.js'
import { type NitroDocument, parseDocument } from '#attest/nitro/parse.js'
import { awsRoot } from '#attest/nitro/roots.js'
import type { Trace } from '#attest/trace.js'
import { verifyCoseSign1 } from '#core/cose.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { NitroEvidence } from '#core/wire/evidence.js'
import { type Certificate, parseCertificate } from '#core/x509/certificate.js'
import { verifyChain, verifyCurrent } from '#core/x509/chain.js'
import { keyDigest } from '#core/x509/digests.js'

declare const verified: unique symbol

/** A document that a genuine Nitro hypervisor signed. Only verifyNitro makes one. */
export interface VerifiedNitro {
  readonly [verified]: true
  readonly platform: 'hardware' | 'simulated'
  readonly document: NitroDocument
  /** when the hypervisor says that it made the document */
  readonly madeAt: UnixSeconds
  readonly signer: Certificate
  readonly root: Certificate
}

/** The chain of a document, leaf first, root last, and what messages call each certificate. */
interface Chain {
  readonly certificates: readonly Certificate[]
  readonly names: readonly string[]
  readonly signer: Certificate
  readonly root: Certificate
}

function refuse(code: NitroCode, message: string, cause?: unknown): Failure<NitroCode> {
  return new Failure<NitroCode>(code, message, { cause })
}

/**
 * Verifies that a genuine Nitro hypervisor, or a simulated one under a root that the caller named, made this document.
 * What it says, how old it may be, and whether it is an answer to the caller is not judged here: the appraisal does.
 *
 * at      the time of the verification: no certificate may have expired by then
 * throws  NitroCode, and those of core/x509: x509/..., chain/...
 * source  AWS Nitro Enclaves Attestation Process, "Attestation Document Validation"
 */
export async function verifyNitro(
  evidence: NitroEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedNitro> {
  const document = parseDocument(caches.decode(evidence.document))
  trace('nitro/structure', () => `module ${document.moduleId}, ${document.pcrs.size} PCRs`)
  const madeAt = Math.floor(document.timestampMs / 1000)
  const key = caches.keeps ? keyOf(document.certificate, ...document.bundle) : ''
  const known = caches.get(chainSlot, key, madeAt)
  const chain = known ?? parseChain(document)
  const platform = findRoot(chain.root, anchors)
  trace('nitro/root', platform === 'hardware' ? 'root of AWS' : 'NOT HARDWARE: a simulated root')
  if (!known) caches.set(chainSlot, key, await verifyIssuers(chain, madeAt, caches))
  trace('nitro/chain', () => `${chain.certificates.length} certificates, valid at ${formatTime(madeAt)}`)
  verifyTime(chain, madeAt, at)
  trace('nitro/time', `made ${Math.max(0, at - madeAt)} seconds before`)
  await verifySignature(document, chain.signer)
  caches.count('evidence')
  trace('nitro/signature', 'ES384')
  return { platform, document, madeAt, signer: chain.signer, root: chain.root } as VerifiedNitro
}

const chainSlot: Slot<Chain> = { name: 'nitro/chain' }

async function verifyIssuers(chain: Chain, madeAt: UnixSeconds, caches: Caches): Promise<Remembered<Chain>> {
  const { certificates, names } = chain
  verifyUsage(chain)
  await verifyChain(certificates, names, madeAt, caches.links)
  return {
    value: chain,
    ...whileAll(certificates.map(({ notBefore, notAfter }) => ({ from: notBefore, until: notAfter }))),
    size: certificates.reduce((size, { der }) => size + der.length, 0),
  }
}

/** AWS writes the bundle root first: it is turned round, and nothing in it is sorted or left out. */
function parseChain(document: NitroDocument): Chain {
  const bundle = document.bundle.map((der, i) => {
    const name = i === 0 ? 'root certificate' : `certificate ${i} of the cabundle`
    return { name, certificate: parseCertificate(der, name) }
  })
  const signer = parseCertificate(document.certificate, 'signing certificate')
  const above = bundle.toReversed()
  return {
    certificates: [signer, ...above.map((one) => one.certificate)],
    names: ['signing certificate', ...above.map((one) => one.name)],
    signer,
    root: bundle[0]!.certificate,
  }
}

/** Invariant: `hardware` comes from a digest compiled into this program and from nothing else (I6). */
function findRoot(root: Certificate, anchors: Anchors): 'hardware' | 'simulated' {
  const digest = keyDigest(root)
  if (digest === awsRoot) return 'hardware'
  if (anchors.simulatedRoots.includes(digest)) return 'simulated'
  throw refuse(
    'nitro/unknown-root',
    `root key ${digest} is neither that of AWS nor a simulated root that this caller accepts`,
  )
}

/**
 * Beyond what every chain must meet: authorities say that they sign certificates, the signing certificate says that it
 * signs and is no authority, and all are signed with ES384.
 *
 * source  AWS Nitro Enclaves Attestation Process, "Certificates critical extensions: key usage"
 */
function verifyUsage({ certificates, names, signer }: Chain): void {
  for (const [i, { keyUsage, algorithm }] of certificates.entries()) {
    if (algorithm !== 'ES384')
      throw refuse('nitro/authority', `${names[i]} is signed with ${algorithm}, expected ES384`)
    if (i > 0 && !keyUsage?.certSign)
      throw refuse('nitro/authority', `${names[i]} does not say that it signs certificates`)
  }
  if (signer.isCa) throw refuse('nitro/signing-key', 'signing certificate is that of an authority')
  if (!signer.keyUsage?.digitalSignature)
    throw refuse('nitro/signing-key', 'signing certificate does not say that its key signs')
}

/**
 * The document was not made after now, and its certificates are still valid now: the chain was verified at the time of
 * the document alone, which whoever kept one could otherwise send for ever.
 *
 * source  AWS Nitro Enclaves Attestation Process, "Certificates validity"
 */
function verifyTime({ certificates, names }: Chain, madeAt: UnixSeconds, at: UnixSeconds): void {
  if (madeAt > at + clockSkewSeconds)
    throw refuse('nitro/not-yet-made', `document is from ${formatTime(madeAt)}, verified at ${formatTime(at)}`)
  // A clock that is behind by less than the skew sees the document's own time, at which the chain is known to be good.
  verifyCurrent(certificates, names, Math.max(at, madeAt))
}

async function verifySignature(document: NitroDocument, signer: Certificate): Promise<void> {
  try {
    await verifyCoseSign1(document.message, signer.spki, 'document')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('nitro/signature', 'document was not signed by the key of its certificate', cause)
  }
}
