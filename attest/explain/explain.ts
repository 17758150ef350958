import {
  explainHcl,
  explainTdReport,
  explainTpmQuote,
  isTdReport,
  isTpmQuote,
  shortText,
} from '#attest/explain/azure.js'
import { explainCca, explainNitro } from '#attest/explain/cbor.js'
import { explainCcel } from '#attest/explain/ccel.js'
import { explainQuote } from '#attest/explain/dcap.js'
import { explainGpu } from '#attest/explain/gpu.js'
import { explainJson } from '#attest/explain/json.js'
import { explainOcsp } from '#attest/explain/ocsp.js'
import { type ExplainedPart, field } from '#attest/explain/part.js'
import { explainRim } from '#attest/explain/rim.js'
import { explainSnp } from '#attest/explain/snp.js'
import { explainCertificate, explainCrl } from '#attest/explain/x509.js'
import { attempt, type NamedFile, poolOf } from '#attest/pool.js'
import type { Form, Recognised } from '#attest/recognise.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { MiB } from '#core/limits.js'

const pcs = 'Intel PCS API version 4 (TCB info V3, enclave identity V2)'
const envelopeDocument = 'docs/spec/evidence.md'

type Explainer = (bytes: Uint8Array) => readonly ExplainedPart[]

/** Every form of evidence, field by field. The compiler demands a line for each. */
const explainers: Readonly<Record<Form, Explainer>> = {
  envelope: explainEnvelope,
  'kbs-attestation': (bytes) => [{ title: 'Attestation', document: 'KBS protocol 0.4.0', fields: explainJson(bytes) }],
  'snp-report': (bytes) => [explainSnp(bytes)],
  'snp-response': (bytes) => [explainSnp(bytes)],
  'tdx-quote': explainWholeQuote,
  'sgx-quote': explainWholeQuote,
  'nitro-document': (bytes) => {
    const { parts, certificates } = explainNitro(bytes)
    return [...parts, ...certificates.flatMap((der) => explainFile({ name: 'certificate', bytes: der }))]
  },
  'azure-hcl-report': explainHcl,
  'gpu-report': explainGpu,
  'cca-token': explainCca,
}

/** What the bytes of evidence say, without judging any of it. Throws nothing: what cannot be read is shown as it is. */
export function explain({ form, bytes }: Recognised): readonly ExplainedPart[] {
  return explainers[form](bytes)
}

/** What a file beside evidence says: a certificate, a list, a document of a vendor, or evidence itself. */
export function explainFile(file: NamedFile): readonly ExplainedPart[] {
  const pool = poolOf([file])
  const parts = [
    ...pool.certificates.map(explainCertificate),
    ...pool.crls.map(explainCrl),
    ...pool.tcbInfos.map((bytes) => ({ title: 'TCB info', document: pcs, fields: explainJson(bytes) })),
    ...pool.qeIdentities.map((bytes) => ({ title: 'QE identity', document: pcs, fields: explainJson(bytes) })),
    ...pool.eventLogs.map(explainLog),
    ...pool.evidence.flatMap(explain),
  ]
  const shown = parts.length > 0 ? parts : explainOther(file.bytes)
  return shown.map((part) => ({ ...part, title: `${file.name}: ${part.title}` }))
}

/** What only one kind of evidence has beside it. */
function explainOther(bytes: Uint8Array): readonly ExplainedPart[] {
  if (isTpmQuote(bytes)) return [explainTpmQuote(bytes)]
  if (isTdReport(bytes)) return [explainTdReport(bytes)]
  const rim = explainRim(bytes)
  if (rim === null) return explainOcsp(bytes) ?? []
  const certificates = rim.certificates.flatMap((text) => attempt(() => fromBase64(text)) ?? [])
  return [
    rim.part,
    ...poolOf(certificates.map((der) => ({ name: '', bytes: der }))).certificates.map(explainCertificate),
  ]
}

/** A runtime log is JSON, maybe behind white space; a CCEL begins with the number of a register. */
const isBracket = (bytes: Uint8Array) => bytes.find((byte) => !whiteSpace.includes(byte)) === 0x5b
const whiteSpace: readonly number[] = [0x20, 0x09, 0x0a, 0x0d]

function explainLog(bytes: Uint8Array): ExplainedPart {
  if (!isBracket(bytes)) return explainCcel(bytes)
  return { title: 'Runtime event log', document: 'docs/spec/evidence.md', fields: explainJson(bytes) }
}

function explainWholeQuote(bytes: Uint8Array): readonly ExplainedPart[] {
  const { parts, chain } = explainQuote(bytes)
  // A C string ends with a zero byte.
  const pem = chain && (chain.at(-1) === 0 ? chain.subarray(0, -1) : chain)
  return [...parts, ...(pem ? explainFile({ name: 'PCK chain', bytes: pem }) : [])]
}

/** A board of devices has some 250. */
const leavesMax = 1000

/** Plain members first, then a part for each member that is bytes of a known form. */
function explainEnvelope(bytes: Uint8Array): readonly ExplainedPart[] {
  const all = leavesOf(parseJson(bytes, 16 * MiB), '')
  const leaves = all.slice(0, leavesMax)
  const more = all.length > leavesMax ? [field('(more)', `only the first ${leavesMax} members are shown`)] : []
  const fields = leaves.map(({ path, value }) => {
    const inner = typeof value === 'string' ? attempt(() => fromBase64(value)) : null
    if (inner === null || path === 'kind') return field(path, String(value))
    return field(path, inner.length > 64 ? shownOf(inner) : toHex(inner), null, inner.length)
  })
  const parts = leaves.flatMap(({ path, value }) => {
    const inner = typeof value === 'string' && value.length > 64 ? attempt(() => fromBase64(value)) : null
    return inner === null ? [] : explainFile({ name: path, bytes: inner })
  })
  return [{ title: 'Evidence envelope', document: envelopeDocument, fields: [...fields, ...more] }, ...parts]
}

const shownOf = (bytes: Uint8Array) =>
  bytes[0] === 0x3c ? shortText(bytes).split('\n')[0]! : `SHA-256 ${toHex(sha256(bytes))}`

function leavesOf(value: Json, path: string): readonly { readonly path: string; readonly value: Json }[] {
  if (value === null || typeof value !== 'object') return [{ path, value }]
  return Object.entries(value).flatMap(([name, one]) => leavesOf(one, path === '' ? name : `${path}.${name}`))
}
