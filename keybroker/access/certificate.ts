import { equal, fromBase64 } from '#core/bytes/bytes.js'
import { derAscii, derOid, derTag, parseDer } from '#core/encoding/der.js'
import { Failure, isFailure } from '#core/failure.js'
import { chainLengthMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { AccessIdentity, AccessList, AccessListCode } from '#core/wire/access-list.js'
import { type Certificate, commonName, parseCertificate, type X509Code } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'

const oids = { extendedKeyUsage: '2.5.29.37', alternativeName: '2.5.29.17', clientAuth: '1.3.6.1.5.5.7.3.2' } as const
/** Critical or not, these two are read here. */
const rules = { heeds: [oids.extendedKeyUsage, oids.alternativeName], times: 'any' } as const
/** Forms of a name in a certificate: context tags of GeneralName. */
const nameTags = { email: 0x81, dns: 0x82, uri: 0x86 } as const
const namesMax = 64

/**
 * Returns only when every authority of the list is a root that may issue certificates.
 *
 * throws  access/list
 */
export function verifyAuthorities({ authorities }: Pick<AccessList, 'authorities'>): void {
  for (const { name, certificate } of authorities) readAuthority(name, certificate)
}

function readAuthority(name: string, certificate: string): Certificate {
  try {
    const root = parseCertificate(fromBase64(certificate), `authority ${name}`, rules)
    if (root.isCa && equal(root.issuer, root.subject)) return root
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<AccessListCode>('access/list', `authority ${name}: ${cause.message}`, { cause })
  }
  throw new Failure<AccessListCode>('access/list', `authority ${name} is not a root that issues certificates`, {
    detail: { hint: 'list the self-signed certificate at the top; those between come with the client' },
  })
}

/**
 * The identity whose certificate this is, among those of the list; null when it is nobody's.
 *
 * The chain leads to the authority that the identity names, every certificate of it is valid at `at`, each may issue the
 * one before it, the last is no authority and may identify a client, and one of its names is the identity's, letter for
 * letter: a `*` in a certificate stands for itself.
 *
 * sent    as the client sent them, leaf first, DER
 * trusts  that the client proved to hold the leaf's key: the TLS handshake did
 * throws  access/list when the list is none
 * source  RFC 5280, "Basic Path Validation", "Extended Key Usage", "Subject Alternative Name"
 */
export async function identityOfCertificate(
  sent: readonly Uint8Array[],
  list: AccessList,
  at: UnixSeconds,
): Promise<AccessIdentity | null> {
  for (const { name, certificate } of list.authorities) {
    const root = readAuthority(name, certificate)
    const names = await verifiedNames(sent, root, at)
    if (names === null) continue
    const found = list.identities.find(
      ({ proof }) =>
        proof.kind === 'certificate' && proof.authority === name && names[proof.name.type].includes(proof.name.value),
    )
    if (found) return found
  }
  return null
}

/** The names in the leaf, when the chain leads to this root; null when it does not, for whatever reason. */
async function verifiedNames(sent: readonly Uint8Array[], root: Certificate, at: UnixSeconds): Promise<Names | null> {
  try {
    const others = sent.filter((der) => !equal(der, root.der))
    const below = others.map((der, i) => parseCertificate(der, `certificate ${i}`, rules))
    const [leaf] = below
    if (!leaf || below.length >= chainLengthMax || !mayIdentify(leaf)) return null
    await verifyChain([...below, root], [], at)
    return namesOf(leaf)
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

function mayIdentify(leaf: Certificate): boolean {
  if (leaf.isCa || leaf.keyUsage?.digitalSignature === false) return false
  const usage = leaf.extensions.get(oids.extendedKeyUsage)
  if (!usage) return false
  const reader = parseDer(usage.value, derTag.sequence, 'extended key usage').reader()
  let found = false
  while (!reader.done) if (derOid(reader.next(derTag.oid, 'purpose'), 'purpose') === oids.clientAuth) found = true
  return found
}

type Names = Readonly<Record<'dns' | 'uri' | 'email' | 'common-name', readonly string[]>>

/** @throws x509/form, der/value */
function namesOf(leaf: Certificate): Names {
  const out = { dns: [] as string[], uri: [] as string[], email: [] as string[] }
  const extension = leaf.extensions.get(oids.alternativeName)
  if (extension) {
    const reader = parseDer(extension.value, derTag.sequence, 'names').reader()
    for (let count = 0; !reader.done; count++) {
      if (count === namesMax) throw new Failure<X509Code>('x509/form', `more than ${namesMax} names`)
      const one = reader.next(reader.tag ?? 0, 'name')
      for (const type of ['dns', 'uri', 'email'] as const)
        if (one.tag === nameTags[type]) out[type].push(derAscii(one, 'name'))
    }
  }
  const common = commonName(leaf.subject)
  return { ...out, 'common-name': common === undefined ? [] : [common] }
}
