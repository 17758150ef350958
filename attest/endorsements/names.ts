/**
 * What belongs in attest/endorsements: collateral as values, without any I/O. Which documents of vendors there are and
 * how they are called, when one is genuine, the offline bundle, and which of them a piece of evidence needs. Fetching and
 * keeping them is attest/collateral; judging evidence by them is the folder of its kind.
 */
import type { Tee } from '#attest/dcap/layout.js'
import { hwIdSize, type Product, tcbLayout } from '#attest/snp/layout.js'
import { formatTcb, type Tcb } from '#attest/snp/tcb.js'
import { Failure } from '#core/failure.js'
import { type OcspSubject, ocspSerialForm } from '#core/x509/ocsp-request.js'

/** Failures of collateral as a value. */
export type EndorsementCode =
  | 'collateral/name'
  | 'collateral/size'
  /** the document is about something else than its name says */
  | 'collateral/mismatch'
  /** Intel's documents are believed beside a current CRL of the root only */
  | 'collateral/root-crl-missing'
  | 'collateral/bundle-form'
  /** the evidence does not say which certificate it needs */
  | 'collateral/undetermined'
  /** a document that the evidence needs is neither in it nor known here */
  | 'collateral/absent'

/** Whose certificates an authority of AMD issues: chips' (ASK) or cloud providers' (ASVK). */
export type AmdKey = 'vcek' | 'vlek'

/** One document of a vendor, by what it is about. Under one vendor root there is one current document of a name. */
export type CollateralName =
  | { readonly kind: 'intel-root-crl' }
  | { readonly kind: 'intel-pck-crl'; readonly ca: 'platform' | 'processor' }
  | { readonly kind: 'intel-tcb-info'; readonly tee: Tee; readonly fmspc: string }
  | { readonly kind: 'intel-qe-identity'; readonly tee: Tee }
  | { readonly kind: 'amd-ask'; readonly product: Product; readonly key: AmdKey }
  | { readonly kind: 'amd-crl'; readonly product: Product; readonly key: AmdKey }
  | { readonly kind: 'amd-vcek'; readonly product: Product; readonly hwId: string; readonly tcb: Tcb }
  | { readonly kind: 'nvidia-rim'; readonly id: string }
  | OcspName
/** A responder's answer on one certificate of an NVIDIA device, or of one who signs RIMs. */
export type OcspName = OcspSubject & { readonly kind: 'nvidia-ocsp' }
export type CollateralKind = CollateralName['kind']

/** The name as text: how lists show it, and where the document stands in a folder. */
export function formatName(name: CollateralName): string {
  switch (name.kind) {
    case 'intel-root-crl':
      return 'intel/root-crl'
    case 'intel-pck-crl':
      return `intel/pck-crl/${name.ca}`
    case 'intel-tcb-info':
      return `intel/${name.tee}/tcb-info/${name.fmspc}`
    case 'intel-qe-identity':
      return `intel/${name.tee}/qe-identity`
    case 'amd-ask':
      return `amd/${name.product.toLowerCase()}/${name.key}/ask`
    case 'amd-crl':
      return `amd/${name.product.toLowerCase()}/${name.key}/crl`
    case 'amd-vcek':
      return `amd/${name.product.toLowerCase()}/vcek/${name.hwId}/${formatTcb(name.tcb)}`
    case 'nvidia-rim':
      return `nvidia/rim/${name.id}`
    case 'nvidia-ocsp':
      return `nvidia/ocsp/${name.issuerName}/${name.issuerKey}/${name.serial}`
  }
}

const products = new Map<string, Product>([
  ['milan', 'Milan'],
  ['genoa', 'Genoa'],
  ['turin', 'Turin'],
])
/** An id of NVIDIA's RIM service. It becomes a file name and part of an address. */
const rimId = /^NV_[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$/
/** A name of an OCSP answer, the longest, has 246 characters. */
export const nameSizeMax = 250

function refuse(text: string): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>(
    'collateral/name',
    `no collateral is called ${JSON.stringify(text.slice(0, 200))}`,
  )
}

/** The name that the text spells. One text a name. @throws collateral/name */
export function parseName(text: string): CollateralName {
  if (text.length > nameSizeMax) throw refuse(text)
  const name = readName(text.split('/'))
  if (name === null || formatName(name) !== text) throw refuse(text)
  return name
}

function readName(parts: readonly string[]): CollateralName | null {
  const [vendor, second, third, fourth, fifth] = parts
  if (vendor === 'amd') return readAmdName(products.get(second ?? ''), third, fourth, fifth)
  if (vendor === 'nvidia') return readNvidiaName(second, third, fourth, fifth)
  if (vendor !== 'intel') return null
  if (second === 'root-crl') return { kind: 'intel-root-crl' }
  if (second === 'pck-crl')
    return third === 'platform' || third === 'processor' ? { kind: 'intel-pck-crl', ca: third } : null
  if (second !== 'tdx' && second !== 'sgx') return null
  if (third === 'qe-identity') return { kind: 'intel-qe-identity', tee: second }
  if (third !== 'tcb-info' || fourth === undefined || !/^[0-9a-f]{12}$/.test(fourth)) return null
  return { kind: 'intel-tcb-info', tee: second, fmspc: fourth }
}

const sha384Text = /^[0-9a-f]{96}$/

function readNvidiaName(what?: string, third?: string, issuerKey?: string, serial?: string): CollateralName | null {
  if (third === undefined) return null
  if (what === 'rim') return rimId.test(third) ? { kind: 'nvidia-rim', id: third } : null
  if (what !== 'ocsp' || issuerKey === undefined || serial === undefined) return null
  const isName = sha384Text.test(third) && sha384Text.test(issuerKey) && ocspSerialForm.test(serial)
  return isName ? { kind: 'nvidia-ocsp', issuerName: third, issuerKey, serial } : null
}

function readAmdName(
  product: Product | undefined,
  key: string | undefined,
  what: string | undefined,
  tcbText: string | undefined,
): CollateralName | null {
  if (product === undefined || what === undefined || (key !== 'vcek' && key !== 'vlek')) return null
  if (what === 'ask' || what === 'crl') return { kind: `amd-${what}`, product, key }
  if (key !== 'vcek' || !/^([0-9a-f]{2})+$/.test(what) || what.length !== 2 * hwIdSize[product]) return null
  const tcb = readTcbText(product, tcbText ?? '')
  return tcb && { kind: 'amd-vcek', product, hwId: what, tcb }
}

/** As formatTcb writes it: FMC where the product counts it, boot loader, TEE, SNP, microcode. */
function readTcbText(product: Product, text: string): Tcb | null {
  const hasFmc = tcbLayout[product].includes('fmc')
  if (!(hasFmc ? /^\d{1,3}(\.\d{1,3}){4}$/ : /^\d{1,3}(\.\d{1,3}){3}$/).test(text)) return null
  const numbers = text.split('.').map(Number)
  if (numbers.some((one) => one > 255)) return null
  const [bootLoader, tee, snp, microcode] = numbers.slice(-4) as [number, number, number, number]
  return { fmc: hasFmc ? numbers[0]! : null, bootLoader, tee, snp, microcode }
}
