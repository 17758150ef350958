import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBase64, fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { chainLengthMax } from '#core/limits.js'
import type { KbsEvidence, KbsEvidenceOf } from '#keybroker/kbs/evidence.js'
import type { VerifiedTee } from '#keybroker/kbs/messages.js'

const rootsFolder = join(import.meta.dirname, '../attest/snp/roots')

function der(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === 0x30) return bytes
  return parsePem(fromUtf8(bytes), 'CERTIFICATE', 1)[0]!
}

/** The vendor's intermediate and root for an endorsement key that came without them, by the name of its issuer. */
function vendorChain(vek: Uint8Array): readonly Uint8Array[] {
  const issuer = /SEV-(VLEK-)?(Milan|Genoa|Turin)/.exec(Buffer.from(vek).toString('latin1'))
  const [, vlek, product] = issuer ?? []
  if (product === undefined) return []
  const name = `${product.toLowerCase()}-${vlek === undefined ? 'ask' : 'asvk'}-ark.pem`
  return parsePem(readFileSync(join(rootsFolder, name), 'utf8'), 'CERTIFICATE', chainLengthMax)
}

const spelled = (bytes: Uint8Array | null | undefined) =>
  bytes === null || bytes === undefined ? null : toBase64(bytes)

type Certificates = KbsEvidenceOf['snp']['certificates']

function amdMembers(certificates: Certificates): { readonly [name: string]: string | null } {
  const sent = (...types: readonly string[]) => {
    const found = certificates.find((one) => types.includes(one.type))?.bytes
    return found === undefined ? undefined : der(found)
  }
  const vek = sent('VCEK', 'VLEK')
  const crl = certificates.find((one) => one.type === 'CRL')?.bytes
  return {
    vek: spelled(vek),
    ask: spelled(sent('ASK', 'ASVK')),
    ark: spelled(sent('ARK')),
    crl: spelled(crl),
  }
}

function vtpmMembers({ hclReport, message, signature, pcrs }: KbsEvidenceOf['az-snp-vtpm' | 'az-tdx-vtpm']) {
  return {
    hclReport: toBase64(hclReport),
    tpmQuote: toBase64(message),
    tpmSignature: toBase64(signature),
    pcrs: Object.fromEntries(pcrs.map((value, index) => [String(index), toBase64(value)])),
  }
}

const envelopes: { readonly [T in VerifiedTee]: (sent: KbsEvidenceOf[T]) => Json } = {
  snp: ({ report, certificates }) => ({ kind: 'snp', report: toBase64(report), ...amdMembers(certificates) }),
  tdx: ({ quote, eventLog }) => ({
    kind: 'tdx',
    quote: toBase64(quote),
    collateral: null,
    eventLog: spelled(eventLog),
  }),
  sgx: ({ quote }) => ({ kind: 'sgx', quote: toBase64(quote), collateral: null }),
  'az-snp-vtpm': (sent) => ({
    kind: 'azure-snp',
    ...vtpmMembers(sent),
    ...amdMembers([{ type: 'VCEK', bytes: sent.vcek }]),
  }),
  'az-tdx-vtpm': (sent) => ({
    kind: 'azure-tdx',
    ...vtpmMembers(sent),
    quote: toBase64(sent.quote),
    collateral: null,
  }),
}

/** An envelope with the vendor's own intermediate and root where it names none; as it is where there is nothing to add. */
export function withVendorChain(document: Json): Json {
  const { vek, ask, ark } = document as { readonly [name: string]: string | null | undefined }
  if (typeof vek !== 'string' || (ask !== null && ark !== null)) return document
  const [vendorsAsk, vendorsArk] = vendorChain(fromBase64(vek))
  return { ...(document as object), ask: ask ?? spelled(vendorsAsk), ark: ark ?? spelled(vendorsArk) } as Json
}

/**
 * Evidence of the KBS route as an envelope in which what did not come along is null.
 *
 * throws  pem/... for a certificate that is neither DER nor PEM
 */
export function kbsEnvelope<T extends VerifiedTee>(sent: KbsEvidence & { readonly tee: T }): Json {
  return (envelopes[sent.tee] as (sent: KbsEvidence) => Json)(sent)
}
