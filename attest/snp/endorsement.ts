import type { SnpCode } from '#attest/snp/codes.js'
import { extensionOid, hwIdSize, type Product, structVersion, tcbLayout } from '#attest/snp/layout.js'
import type { Tcb } from '#attest/snp/tcb.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { derAscii, derInteger, derTag, parseDer } from '#core/encoding/der.js'
import { Failure, isFailure } from '#core/failure.js'
import { type Certificate, commonName } from '#core/x509/certificate.js'

/** What AMD says of a chip's (VCEK) or a provider's (VLEK) key in its certificate. */
export interface Endorsement {
  readonly key: 'VCEK' | 'VLEK'
  readonly product: Product
  readonly tcb: Tcb
  /** 64 bytes; 8 on Turin. A VCEK has it. */
  readonly hwId: Uint8Array | null
  /** the cloud provider. A VLEK has it. */
  readonly cspId: string | null
}

function refuse(code: SnpCode, message: string): Failure<SnpCode> {
  return new Failure<SnpCode>(code, message)
}

function extensionOf(certificate: Certificate, name: keyof typeof extensionOid): Uint8Array {
  const extension = certificate.extensions.get(extensionOid[name])
  if (!extension) throw refuse('snp/certificate', `endorsement key certificate has no extension ${name}`)
  return extension.value
}

function readNumber(certificate: Certificate, name: keyof typeof extensionOid): number {
  try {
    return derInteger(parseDer(extensionOf(certificate, name), derTag.integer, name), 255, name)
  } catch (cause) {
    if (!isFailure(cause) || !cause.code.startsWith('der/')) throw cause
    throw refuse('snp/certificate', `endorsement key certificate: ${cause.message}`)
  }
}

function readText(certificate: Certificate, name: keyof typeof extensionOid): string {
  try {
    return derAscii(parseDer(extensionOf(certificate, name), derTag.ia5String, name), name)
  } catch (cause) {
    if (!isFailure(cause) || !cause.code.startsWith('der/')) throw cause
    throw refuse('snp/certificate', `endorsement key certificate: ${cause.message}`)
  }
}

/**
 * What the certificate of an endorsement key says: a P-384 key, no authority, VCEK or VLEK by name, and the
 * extensions of its kind, complete.
 *
 * trusts  nothing: the caller verifies the chain
 * throws  snp/endorsement-key, snp/certificate
 * source  AMD 57230, "VCEK Certificate Extensions"; AMD 58369 VLEK Certificate Definition
 */
export function readEndorsement(certificate: Certificate): Endorsement {
  const key = readKeyKind(certificate)
  const product = readProduct(certificate)
  const found = readNumber(certificate, 'structVersion')
  if (found !== structVersion[product])
    throw refuse('snp/certificate', `structure version is ${found}, expected ${structVersion[product]} on ${product}`)
  const parts = tcbLayout[product]
  const tcb: Tcb = {
    fmc: parts.includes('fmc') ? readNumber(certificate, 'fmc') : null,
    bootLoader: readNumber(certificate, 'bootLoader'),
    tee: readNumber(certificate, 'tee'),
    snp: readNumber(certificate, 'snp'),
    microcode: readNumber(certificate, 'microcode'),
  }
  for (const name of ['reserved4', 'reserved5', 'reserved6', 'reserved7'] as const) {
    if (certificate.extensions.has(extensionOid[name]) && readNumber(certificate, name) !== 0)
      throw refuse('snp/certificate', `reserved extension ${name} is not zero`)
  }
  const hasHwId = certificate.extensions.has(extensionOid.hwId)
  const hasCspId = certificate.extensions.has(extensionOid.cspId)
  if (key === 'VCEK' ? !hasHwId || hasCspId : hasHwId || !hasCspId)
    throw refuse(
      'snp/certificate',
      `${key} certificate must carry ${key === 'VCEK' ? 'hwID and no CSP id' : 'CSP id and no hwID'}`,
    )
  return {
    key,
    product,
    tcb,
    hwId: hasHwId ? readHwId(certificate, product) : null,
    cspId: hasCspId ? readText(certificate, 'cspId') : null,
  }
}

function readKeyKind(certificate: Certificate): 'VCEK' | 'VLEK' {
  if (certificate.isCa) throw refuse('snp/endorsement-key', 'endorsement key certificate is that of an authority')
  if (!hasKeyForm('ES384', certificate.spki)) throw refuse('snp/endorsement-key', 'endorsement key is not on P-384')
  const name = commonName(certificate.subject)
  if (name === 'SEV-VCEK') return 'VCEK'
  if (name === 'SEV-VLEK') return 'VLEK'
  throw refuse('snp/endorsement-key', 'endorsement key certificate is named neither SEV-VCEK nor SEV-VLEK')
}

/** Old certificates add a stepping (`Milan-B0`). */
function readProduct(certificate: Certificate): Product {
  const name = readText(certificate, 'productName')
  const found = /^(Milan|Genoa|Turin)(-[A-Z][0-9])?$/.exec(name)
  if (!found)
    throw refuse('snp/product', `certificate names product ${JSON.stringify(name.slice(0, 40))}, which is unknown`)
  return found[1] as Product
}

/** The id itself, or the same in an OCTET STRING, as newer certificates have it. Nothing else. */
function readHwId(certificate: Certificate, product: Product): Uint8Array {
  const value = extensionOf(certificate, 'hwId')
  const size = hwIdSize[product]
  if (value.length === size) return value
  if (value.length === size + 2 && value[0] === derTag.octetString && value[1] === size) return value.subarray(2)
  throw refuse('snp/certificate', `hwID has ${value.length} bytes, expected ${size} on ${product}`)
}
