import { parseQuote } from '#attest/dcap/quote.js'
import { readRim } from '#attest/gpu/rim/rim.js'
import { parseDocument } from '#attest/nitro/parse.js'
import { attempt } from '#attest/pool.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import type { AnyEvidence, GpuEvidence, TdxEvidence } from '#core/wire/evidence.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { parseCrl } from '#core/x509/crl.js'
import { certificateId, parseOcsp } from '#core/x509/ocsp-answer.js'

/** When one part of evidence counts, by its own words; both ends included. */
export interface ClaimedTime {
  readonly what: string
  readonly from: UnixSeconds
  readonly until: UnixSeconds
}

/** When all of it counts; or, of what never counts together, what ends first and what begins last. */
export type CommonTime =
  | { readonly from: UnixSeconds; readonly until: UnixSeconds }
  | { readonly ends: ClaimedTime; readonly begins: ClaimedTime }

/** The time in which every part counts; null where nothing has a date. */
export function commonTime(times: readonly ClaimedTime[]): CommonTime | null {
  if (times.length === 0) return null
  const ends = times.reduce((a, b) => (b.until < a.until ? b : a))
  const begins = times.reduce((a, b) => (b.from > a.from ? b : a))
  return begins.from <= ends.until ? { from: begins.from, until: ends.until } : { ends, begins }
}

/**
 * When the parts of evidence count: certificates, lists, answers, and documents of vendors. Nothing of it is verified; it is
 * for telling a reader why a date failed. What cannot be read has no date.
 */
export async function claimedTimes(evidence: AnyEvidence): Promise<readonly ClaimedTime[]> {
  switch (evidence.kind) {
    case 'composite': {
      const parts = [evidence.cpu, ...evidence.devices]
      return (await Promise.all(parts.map(claimedTimes))).flat()
    }
    case 'snp':
    case 'azure-snp':
      return [
        ...[evidence.vek, evidence.ask, evidence.ark].flatMap(ofCertificate),
        ...ofCrl(evidence.crl, 'CRL of the root'),
      ]
    case 'tdx':
    case 'sgx':
    case 'azure-tdx':
      return ofIntel(evidence.quote, evidence.collateral)
    case 'nitro':
      return ofNitro(evidence.document)
    case 'gpu':
      return ofDevices(evidence)
    case 'cca':
      return []
  }
}

/** 9999-12-31T23:59:59Z, which certificates without an end say too. */
const lastSecond = 253_402_300_799
const nameOf = (one: Certificate) => attempt(() => commonName(one.subject)) ?? 'a certificate'
const parsed = (der: Uint8Array) => attempt(() => parseCertificate(der, 'certificate', { times: 'any' }))
const timeOf = (one: Certificate): ClaimedTime => ({ what: nameOf(one), from: one.notBefore, until: one.notAfter })

function ofCertificate(der: string | Uint8Array): readonly ClaimedTime[] {
  const one = attempt(() => parsed(typeof der === 'string' ? fromBase64(der) : der))
  return one ? [timeOf(one)] : []
}

function ofCrl(der: string | null, what: string): readonly ClaimedTime[] {
  const crl = der === null ? null : attempt(() => parseCrl(fromBase64(der)))
  return crl ? [{ what, from: crl.thisUpdate, until: crl.nextUpdate }] : []
}

function ofIntel(quote: string, collateral: TdxEvidence['collateral']): readonly ClaimedTime[] {
  const chain = attempt(() => parseQuote(fromBase64(quote)).chain) ?? []
  return [
    ...[...chain, collateral.tcbInfoSigner, collateral.qeIdentitySigner].flatMap(ofCertificate),
    ...ofDocument(collateral.tcbInfo, 'TCB info'),
    ...ofDocument(collateral.qeIdentity, 'QE identity'),
    ...ofCrl(collateral.pckCrl, 'PCK CRL'),
    ...ofCrl(collateral.rootCrl, 'root CRL'),
  ]
}

function ofDocument(text: string, what: string): readonly ClaimedTime[] {
  const response = attempt(() => parseJson(fromBase64(text), MiB))
  const object = (value: Json | undefined): { readonly [name: string]: Json } =>
    value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as { [name: string]: Json }) : {}
  const { issueDate, nextUpdate } = object(Object.values(object(response ?? undefined))[0])
  const [from, until] = [issueDate, nextUpdate].map((date) => Math.floor(Date.parse(String(date)) / 1000))
  return Number.isFinite(from) && Number.isFinite(until) ? [{ what, from: from!, until: until! }] : []
}

/** AWS's certificates have to be good at the time of the document too. */
function ofNitro(text: string): readonly ClaimedTime[] {
  const document = attempt(() => parseDocument(fromBase64(text)))
  if (document === null) return []
  const madeAt = Math.floor(document.timestampMs / 1000)
  const made = { what: 'the document', from: madeAt, until: lastSecond }
  return [made, ...[document.certificate, ...document.bundle].flatMap(ofCertificate)]
}

async function ofDevices({ devices, rims, ocsp }: GpuEvidence): Promise<readonly ClaimedTime[]> {
  const chains = devices.map(({ chain }) => chain.flatMap((der) => attempt(() => parsed(fromBase64(der))) ?? []))
  for (const { rim } of rims) chains.push([...(await rimChain(rim))])
  const names = new Map<string, string>()
  for (const chain of chains)
    for (const [i, one] of chain.slice(0, -1).entries())
      names.set(attempt(() => certificateId(one, chain[i + 1]!)) ?? '', nameOf(one))
  const answers = ocsp.flatMap((der): readonly ClaimedTime[] => {
    const answer = attempt(() => parseOcsp(fromBase64(der)))
    if (answer === null) return []
    const what = `OCSP answer on ${names.get(answer.id) ?? 'a certificate of none of them'}`
    return [{ what, from: answer.thisUpdate, until: answer.nextUpdate }]
  })
  return [...chains.flat().map(timeOf), ...answers]
}

async function rimChain(rim: string): Promise<readonly Certificate[]> {
  try {
    return (await readRim(rim)).chain
  } catch (error) {
    if (!isFailure(error)) throw error
    return []
  }
}
