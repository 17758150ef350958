import { toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256, sha384 } from '#core/crypto/hash.js'
import { basicConstraints, keyUsage, type MintKey } from '#runtime/attester/simulated/certificate.js'
import keys from './gpu-keys.json' with { type: 'json' }
import type { OcspSubject } from './ocsp.js'
import { mintP384, type P384Certificate, p384Name, readKey, signP384, signsOnly } from './p384.js'
import { testTime } from './platform.js'

export const rimKeys = {
  root: readKey(keys.rimRoot),
  family: readKey(keys.rimFamily),
  issuer: readKey(keys.rimIssuer),
  signer: readKey(keys.rimSigner),
  other: readKey(keys.other),
}
export const rimRootDigest = toHex(sha256(rimKeys.root.spki))
export const rimSerials = { root: 11, family: 12, issuer: 13, signer: 14 }

const day = 86_400
type Part = 'signer' | 'issuer' | 'family' | 'root'
type TextChange = (text: string) => string

/** One RIM as it is minted. Golden values by index from 0, in hex. What is absent is as in a good one. */
export interface MintRim {
  readonly version: string
  readonly product: string
  readonly golden: Readonly<Record<number, readonly string[]>>
  /** changes the document before it is digested, so that the signature stays good */
  readonly beforeSigning?: TextChange
  /** changes what is signed, before it is */
  readonly signedInfo?: TextChange
  /** changes the whole document */
  readonly afterSigning?: TextChange
  readonly certificates?: Partial<Record<Part, Partial<P384Certificate>>>
  readonly chain?: (chain: readonly Uint8Array[]) => readonly Uint8Array[]
  readonly signatureBy?: MintKey
}

const names = {
  root: p384Name('NVIDIA CoRIM signing Root CA'),
  family: p384Name('NVIDIA Reference Value CA'),
  issuer: p384Name('NVIDIA Reference Value L3 001'),
  signer: p384Name('RIM L4 Signer'),
}
/** What OCSP answers on the certificates of a RIM are about, by their role in a case. */
export const rimSubjects: Readonly<Record<string, OcspSubject>> = {
  ocspRimL2: { issuerName: names.root, issuer: rimKeys.root, serial: rimSerials.family },
  ocspRimL3: { issuerName: names.family, issuer: rimKeys.family, serial: rimSerials.issuer },
  ocspRimL4: { issuerName: names.issuer, issuer: rimKeys.issuer, serial: rimSerials.signer },
}
const dates = { notBefore: testTime - 100 * day, notAfter: testTime + 1000 * day }

/** Signer, two authorities, root. */
export async function mintRimChain(
  changes: MintRim['certificates'] = {},
): Promise<readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]> {
  const authority = [basicConstraints(), keyUsage(true)]
  const part = (one: Part, issuer: Part, leaf = false): P384Certificate => ({
    ...dates,
    serial: rimSerials[one],
    issuer: names[issuer],
    subject: names[one],
    spki: rimKeys[one].spki,
    extensions: leaf ? [signsOnly] : authority,
    ...changes[one],
  })
  return [
    await mintP384(part('signer', 'issuer', true), rimKeys.issuer),
    await mintP384(part('issuer', 'family'), rimKeys.family),
    await mintP384(part('family', 'root'), rimKeys.root),
    await mintP384(part('root', 'root'), rimKeys.root),
  ]
}

const swid = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const hashes = 'http://www.w3.org/2001/04/xmlenc#sha384'
const scope = `xmlns="${swid}" xmlns:ns0="${swid}" xmlns:ns2="${hashes}"`

/**
 * The document without its signature. It is written as Canonical XML 1.1 has it (end tags, attributes in order), so that
 * what is digested here owes nothing to the code under test.
 */
function documentOf({ version, product, golden }: MintRim): string {
  const resource = (index: number) => {
    const digests = golden[index] ?? ['00'.repeat(48)]
    const hash = digests.map((digest, i) => ` ns2:Hash${i}="${digest}"`).join('')
    const active = golden[index] ? 'True' : 'False'
    return `        <ns0:Resource active="${active}" alternatives="${digests.length}" index="${index}" name="Measurement_${index}" size="48" type="Measurement"${hash}></ns0:Resource>\n`
  }
  const resources = Array.from({ length: product === 'LS10' ? 31 : 64 }, (_, i) => resource(i)).join('')
  return (
    `<SoftwareIdentity ${scope} corpus="false" name="${product}" tagId="NOT HARDWARE">\n` +
    '    <ns0:Entity name="NOT HARDWARE" role="softwareCreator tagCreator"></ns0:Entity>\n' +
    `    <ns0:Meta colloquialVersion="${version}" product="${product}" revision="r1"></ns0:Meta>\n` +
    `    <ns0:Payload>\n${resources}    </ns0:Payload>\n</SoftwareIdentity>`
  )
}

const c14n = 'http://www.w3.org/2006/12/xml-c14n11'
const more = 'http://www.w3.org/2001/04/xmldsig-more#'
function signedInfoOf(digest: string): string {
  return (
    `<ds:CanonicalizationMethod Algorithm="${c14n}"></ds:CanonicalizationMethod>` +
    `<ds:SignatureMethod Algorithm="${more}ecdsa-sha384"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>` +
    '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>' +
    `<ds:Transform Algorithm="${c14n}"></ds:Transform></ds:Transforms>` +
    `<ds:DigestMethod Algorithm="${more}sha384"></ds:DigestMethod><ds:DigestValue>${digest}</ds:DigestValue></ds:Reference>`
  )
}

/** A signed RIM of simulated devices. */
export async function mintRim(rim: MintRim): Promise<Uint8Array> {
  const good = documentOf(rim)
  const document = rim.beforeSigning?.(good) ?? good
  const info = signedInfoOf(toBase64(sha384(utf8(document))))
  const signedInfo = rim.signedInfo?.(info) ?? info
  const ds = 'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
  // Inclusive canonicalization: every namespace in scope of what is signed comes along.
  const canonical = utf8(
    `<ds:SignedInfo ${scope.replace(' xmlns:ns0', ` ${ds} xmlns:ns0`)}>${signedInfo}</ds:SignedInfo>`,
  )
  const value = toBase64(await signP384(canonical, rim.signatureBy ?? rimKeys.signer))
  const chain = await mintRimChain(rim.certificates)
  const certificates = (rim.chain?.(chain) ?? chain)
    .map((der) => `<ds:X509Certificate>${toBase64(der)}</ds:X509Certificate>`)
    .join('')
  const signature = `<ds:Signature ${ds}><ds:SignedInfo>${signedInfo}</ds:SignedInfo><ds:SignatureValue>${value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>${certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>`
  const whole = document.replace(/<\/SoftwareIdentity>$/, `${signature}</SoftwareIdentity>`)
  return utf8(rim.afterSigning?.(whole) ?? whole)
}
