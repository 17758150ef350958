import { type Recognised, recognise } from '#attest/recognise.js'
import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { type Crl, parseCrl } from '#core/x509/crl.js'

/** A file that was handed over beside evidence. */
export interface NamedFile {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface PooledCertificate {
  readonly der: Uint8Array
  readonly certificate: Certificate
  /** its common name, or empty */
  readonly name: string
}
export interface PooledCrl {
  readonly der: Uint8Array
  readonly crl: Crl
}

/**
 * What came beside evidence, told apart by its content. Nothing of it is believed: whatever is taken from here is
 * verified like every other part of evidence.
 */
export interface Pool {
  readonly certificates: readonly PooledCertificate[]
  /** the same by the file that they stand in, in its order */
  readonly chains: readonly { readonly name: string; readonly ders: readonly Uint8Array[] }[]
  readonly crls: readonly PooledCrl[]
  readonly tcbInfos: readonly Uint8Array[]
  readonly qeIdentities: readonly Uint8Array[]
  readonly eventLogs: readonly Uint8Array[]
  /** other parts of the same evidence, such as the quote of a TD behind a vTPM */
  readonly evidence: readonly (Recognised & { readonly name: string })[]
  /** what is none of these, in order; a part that only one kind of evidence knows is looked up here */
  readonly others: readonly NamedFile[]
}

const blocksMax = 64

type Found =
  | { readonly is: 'certificates'; readonly all: readonly PooledCertificate[] }
  | { readonly is: 'crls'; readonly all: readonly PooledCrl[] }
  | { readonly is: 'tcbInfos' | 'qeIdentities' | 'eventLogs'; readonly all: readonly Uint8Array[] }
  | { readonly is: 'evidence'; readonly all: Pool['evidence'] }
  | { readonly is: 'others'; readonly all: readonly NamedFile[] }

/** Sorts files by what they are. Throws nothing: a file that cannot be read as anything is one of the others. */
export function poolOf(files: readonly NamedFile[]): Pool {
  const found = files.map(classify)
  const all = <K extends Found['is']>(is: K) =>
    found.flatMap((one) => (one.is === is ? (one.all as readonly unknown[]) : [])) as unknown as Pool[K]
  return {
    certificates: all('certificates'),
    chains: found.flatMap((one, i) =>
      one.is === 'certificates' ? [{ name: files[i]!.name, ders: one.all.map(({ der }) => der) }] : [],
    ),
    crls: all('crls'),
    tcbInfos: all('tcbInfos'),
    qeIdentities: all('qeIdentities'),
    eventLogs: all('eventLogs'),
    evidence: all('evidence'),
    others: all('others'),
  }
}

/** What the work gives, or null where it fails: for reading what may be of another form. */
export function attempt<T>(work: () => T): T | null {
  try {
    return work()
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

function classify(file: NamedFile): Found {
  return (
    asCertificates(file.bytes) ??
    asCrls(file.bytes) ??
    asDocument(file.bytes) ??
    asEvidence(file) ?? { is: 'others', all: [file] }
  )
}

const isPem = (bytes: Uint8Array) => bytes[0] === 0x2d
/** A DER SEQUENCE with a length of two bytes, as every certificate and CRL of a vendor has. */
const isDer = (bytes: Uint8Array) => bytes[0] === 0x30 && (bytes[1] === 0x81 || bytes[1] === 0x82)

function blocksOf(bytes: Uint8Array, label: string): readonly Uint8Array[] {
  if (isDer(bytes)) return [bytes]
  return isPem(bytes) ? (attempt(() => parsePem(fromUtf8(bytes), label, blocksMax)) ?? []) : []
}

function asCertificates(bytes: Uint8Array): Found | null {
  const all = blocksOf(bytes, 'CERTIFICATE').flatMap((der) => {
    const certificate = attempt(() => parseCertificate(der, 'certificate'))
    return certificate ? [{ der, certificate, name: attempt(() => commonName(certificate.subject)) ?? '' }] : []
  })
  return all.length > 0 ? { is: 'certificates', all } : null
}

function asCrls(bytes: Uint8Array): Found | null {
  const all = blocksOf(bytes, 'X509 CRL').flatMap((der) => {
    const crl = attempt(() => parseCrl(der))
    return crl ? [{ der, crl }] : []
  })
  return all.length > 0 ? { is: 'crls', all } : null
}

/** `Spec ID Event03`, behind the header of the first event of a CCEL. */
const specIdAt = 32
const specId = '53706563204944204576656e743033'

/** Intel's responses by their first member; event logs by how they begin. */
function asDocument(bytes: Uint8Array): Found | null {
  const head = String.fromCharCode(...bytes.subarray(0, 64))
  if (/^\s*\{\s*"tcbInfo"\s*:/.test(head)) return { is: 'tcbInfos', all: [bytes] }
  if (/^\s*\{\s*"enclaveIdentity"\s*:/.test(head)) return { is: 'qeIdentities', all: [bytes] }
  const isRuntimeLog = /^\s*\[\s*\{/.test(head) && fromLatin(bytes).includes('"imr"')
  const isCcel = toHex(bytes.subarray(specIdAt, specIdAt + specId.length / 2)) === specId
  return isRuntimeLog || isCcel ? { is: 'eventLogs', all: [bytes] } : null
}

const fromLatin = (bytes: Uint8Array) => String.fromCharCode(...bytes.subarray(0, 4096))

function asEvidence({ name, bytes }: NamedFile): Found | null {
  const found = attempt(() => recognise(bytes))
  return found ? { is: 'evidence', all: [{ ...found, name }] } : null
}
