import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import { isOlder } from '#attest/endorsements/item.js'
import { chainSize } from '#attest/gpu/layout.js'
import { type GpuReport, parseReport } from '#attest/gpu/parse.js'
import { rimIds } from '#attest/gpu/rim/golden.js'
import { attempt, type NamedFile, type Pool } from '#attest/pool.js'
import { equal, fromBase64, fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { type GpuEvidence, gpuEvidenceShape } from '#core/wire/evidence.js'
import { type Certificate, commonName, parseCertificate } from '#core/x509/certificate.js'
import { certificateId, type OcspAnswer, parseOcsp } from '#core/x509/ocsp-answer.js'

/**
 * Devices that answered together: the report, and every other one in the pool where it is one of them. The chain of each
 * is the file whose name begins most like that of its report. RIMs go under the id that a device asks for.
 */
export const assembleGpu: Assembler = ({ bytes, title }, pool) => {
  const reports = pool.evidence.filter(({ form }) => form === 'gpu-report')
  const together = reports.some((one) => equal(one.bytes, bytes)) ? reports : [{ name: '', bytes }]
  const devices = together.map((one) => ({ report: one.bytes, chain: chainOf(one.name, pool) }))
  const wanted = new Wanted()
  if (devices.some(({ chain }) => chain.length === 0)) wanted.take(undefined, 'the certificate chain of each device')
  wanted.done(title)
  return filled(
    {
      kind: 'gpu',
      devices: devices.map(({ report, chain }) => ({ report: toBase64(report), chain: chain.map(toBase64) })),
      rims: [],
      ocsp: [],
    },
    pool,
  )
}

/** The file's own envelope, with the RIMs and answers of the pool that it lacks or has older; of RIMs of one date the pool's. @throws shape/... */
export function fillGpu(envelope: Json, pool: Pool): GpuEvidence {
  return filled(gpuEvidenceShape(envelope, 'evidence'), pool)
}

function filled(evidence: GpuEvidence, pool: Pool): GpuEvidence {
  const found = new Map(
    evidence.devices.flatMap(
      ({ report, chain }) => attempt(() => rimsOf(parseReport(fromBase64(report)), certificatesOf(chain), pool)) ?? [],
    ),
  )
  const sent = evidence.rims.map(({ id, rim }) => ({ id, rim: newerRim(rim, bundled(id, pool)) }))
  for (const { id } of sent) found.delete(id)
  const rims = [...sent, ...[...found].map(([id, rim]) => ({ id, rim: toBase64(rim) }))]
  const chains = [
    ...evidence.devices.map(({ chain }) => certificatesOf(chain)),
    ...rims.map(({ rim }) => certificatesOf(certificatesIn(rim))),
  ]
  return { ...evidence, rims, ocsp: answersOn(chains, evidence.ocsp, pool.others) }
}

const certificatesOf = (texts: readonly string[]): readonly Certificate[] =>
  texts.flatMap((one) => attempt(() => parseCertificate(fromBase64(one), 'certificate', { times: 'any' })) ?? [])

/** The RIM that a bundle has under the very id: files of other names are told by version alone, which boards share. */
const bundled = (id: string | null, { others }: Pool): Uint8Array | undefined =>
  others.find(({ name }) => name === `nvidia/rim/${id}.rim`)?.bytes

/**
 * What came along, unless a bundle of the reader's own has one that is not older by the certificate of its signer. Nothing
 * is verified here: a date that somebody made up chooses a RIM that fails.
 */
function newerRim(sent: string, own: Uint8Array | undefined): string {
  if (own === undefined) return sent
  const ours = toBase64(own)
  const [mine, theirs] = [ours, sent].map((rim) => certificatesOf(certificatesIn(rim).slice(0, 1))[0]?.notBefore)
  const isNewer = mine !== undefined && theirs !== undefined && mine < theirs
  return isNewer ? sent : ours
}

const rimCertificate = /<(?:\w{1,20}:)?X509Certificate>([A-Za-z0-9+/=\s]{1,20000})</g
/** The certificates in a RIM, as it spells them. */
function certificatesIn(rim: string): readonly string[] {
  const xml = attempt(() => fromUtf8(fromBase64(rim))) ?? ''
  return [...xml.matchAll(rimCertificate)].slice(0, chainsMax).map(([, one]) => one!.replace(/\s/g, ''))
}
const chainsMax = 8

/**
 * Answers on certificates of these chains: those that came along, and those of the files, of each certificate the newest.
 * One that is not current is not left out: it fails.
 */
function answersOn(
  chains: readonly (readonly Certificate[])[],
  sent: readonly string[],
  files: readonly NamedFile[],
): readonly string[] {
  const ids = new Set(
    chains.flatMap((chain) =>
      chain.slice(1).flatMap((issuer, i) => attempt(() => certificateId(chain[i]!, issuer)) ?? []),
    ),
  )
  const answers: { text: string; answer: OcspAnswer | null }[] = sent.map((text) => ({
    text,
    answer: attempt(() => parseOcsp(fromBase64(text))),
  }))
  for (const { bytes } of files) {
    const answer = attempt(() => parseOcsp(bytes))
    if (!answer || !ids.has(answer.id)) continue
    const before = answers.find((one) => one.answer?.id === answer.id)
    const newer = { text: toBase64(bytes), answer }
    if (!before) answers.push(newer)
    else if (isOlder('nvidia-ocsp', issueOf(before.answer!), issueOf(answer))) Object.assign(before, newer)
  }
  return answers.map(({ text }) => text)
}

const issueOf = ({ thisUpdate, status }: OcspAnswer) => ({
  edition: null,
  issuedAt: thisUpdate,
  revoked: typeof status === 'object',
})

/** Those as long as a device's come first: a bundle has the shorter chains of its documents beside it. */
function chainOf(report: string, { chains }: Pool): readonly Uint8Array[] {
  const whole = chains.filter(({ ders }) => ders.length === chainSize)
  return (
    (whole.length > 0 ? whole : chains).toSorted((a, b) => likeness(report, b.name) - likeness(report, a.name))[0]
      ?.ders ?? []
  )
}

/** How many characters two names begin with alike; between equals the one that says it is a chain. */
function likeness(report: string, chain: string): number {
  const differs = [...report].findIndex((character, i) => chain[i] !== character)
  return 2 * (differs === -1 ? report.length : differs) + (chain.includes('chain') ? 1 : 0)
}

const rimVersion = /\bcolloquialVersion="([^"]{1,40})"/
/** Five groups of two digits: a VBIOS, or the BIOS of a switch. Drivers have two dots. */
const biosVersion = /^[0-9A-Fa-f]{2}(\.[0-9A-Fa-f]{2}){4}$/

/** The RIM of this version, else the only kind of RIM there is for the part: the verifier then says that it is of another. */
function rimFor(bios: boolean, version: string, files: readonly NamedFile[]): Uint8Array | undefined {
  const rims = files.flatMap(({ bytes }) => {
    const found = rimVersion.exec(attempt(() => fromUtf8(bytes.subarray(0, 4096))) ?? '')?.[1]
    return found !== undefined && biosVersion.test(found) === bios ? [{ bytes, version: found.toUpperCase() }] : []
  })
  return (rims.find((one) => one.version === version) ?? rims[0])?.bytes
}

function rimsOf(
  report: GpuReport,
  chain: readonly Certificate[],
  pool: Pool,
): readonly (readonly [id: string, rim: Uint8Array])[] {
  // Early Blackwell reports do not say their chip; its certificates do. The id of a switch has no chip.
  const isBlackwell =
    report.opaque.chipInfo !== null ||
    chain.some(({ subject }) => /^GB[12]/.test(attempt(() => commonName(subject)) ?? ''))
  const architecture = isBlackwell ? 'BLACKWELL' : 'HOPPER'
  const ids = rimIds(report, { architecture })
  const { driverVersion, vbiosVersion } = report.opaque
  const driver =
    bundled(ids.driver, pool) ?? (driverVersion === null ? undefined : rimFor(false, driverVersion, pool.others))
  const bios = bundled(ids.vbios, pool) ?? rimFor(true, vbiosVersion, pool.others)
  return [
    ...(ids.driver !== null && driver ? [[ids.driver, driver] as const] : []),
    ...(ids.vbios !== null && bios ? [[ids.vbios, bios] as const] : []),
  ]
}
