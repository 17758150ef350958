import type { Anchors } from '#attest/anchors.js'
import type { Caches, Slot } from '#attest/caches.js'
import type { DeviceIdentity } from '#attest/gpu/chain.js'
import type { GpuReport } from '#attest/gpu/parse.js'
import {
  compareGolden,
  type Golden,
  type RimPart,
  rimIds,
  verifyDisjoint,
  verifyRimSubject,
} from '#attest/gpu/rim/golden.js'
import { type Rim, readRim, verifyRimChain } from '#attest/gpu/rim/rim.js'
import { refuse } from '#attest/gpu/rim/signature.js'
import { ofTexts, type Texts } from '#attest/texts.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import { type Certificate, commonName } from '#core/x509/certificate.js'
import { verifyOcsp } from '#core/x509/ocsp.js'
import { certificateId, type OcspAnswer, type OcspCode, parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspId } from '#core/x509/ocsp-request.js'

export type { Golden } from '#attest/gpu/rim/golden.js'

interface Device {
  readonly report: GpuReport
  readonly identity: DeviceIdentity
}

/** The RIMs of one device; null for one that did not come along. */
export interface DeviceRims {
  readonly ids: Readonly<Record<RimPart, string | null>>
  readonly driver: Golden | null
  readonly vbios: Golden | null
}

/** RIMs by id, each of them signed under NVIDIA's root, and about the devices that ask for it. */
export interface VerifiedRims {
  readonly verified: ReadonlyMap<string, Rim>
  /** whether one of them stands under a simulated root */
  readonly simulated: boolean
}

/** A RIM that was read, its signature verified: by whom it was signed, and when that counts, is judged each time. */
const rimSlot: Slot<{ readonly texts: Texts; readonly made: Rim }> = { name: 'gpu/rim' }
const answerSlot: Slot<{ readonly texts: Texts; readonly made: OcspAnswer }> = { name: 'gpu/ocsp' }
const parts: readonly RimPart[] = ['driver', 'vbios']

/** As readRim, of a text that was read before from what was remembered. @throws gpu/rim-..., x509/... */
export function readRimOnce(text: string, caches: Caches): Promise<Rim> {
  return ofTexts(caches, rimSlot, text, async () => {
    const read = await readRim(text)
    caches.count('vendor')
    return read
  })
}

/**
 * Verifies the RIMs that came along: each is asked for by a device, signed and valid, about what the device reports.
 *
 * throws  gpu/collateral-unused, gpu/rim-..., gpu/unknown-root, x509/..., chain/...
 */
export async function verifyRims(
  rims: GpuEvidence['rims'],
  devices: readonly Device[],
  anchors: Anchors,
  at: UnixSeconds,
  caches: Caches,
): Promise<VerifiedRims> {
  const verified = new Map<string, Rim>()
  const wanted = new Set(devices.flatMap(({ report, identity }) => Object.values(rimIds(report, identity))))
  let simulated = false
  for (const { id, rim: text } of rims) {
    if (!wanted.has(id) || verified.has(id))
      throw refuse('gpu/collateral-unused', `RIM ${id} is there twice, or of no device of this evidence`)
    const rim = await readRimOnce(text, caches)
    if ((await verifyRimChain(rim, anchors, at, caches)) === 'simulated') simulated = true
    verifyNotOlder(id, rim, anchors, at)
    verified.set(id, rim)
  }
  for (const { report, identity } of devices) {
    const ids = rimIds(report, identity)
    const [driver, vbios] = parts.map((part) => {
      const rim = verified.get(ids[part] ?? '')
      if (rim) verifyRimSubject(rim, part, report, identity)
      return rim
    })
    if (driver && vbios) verifyDisjoint(driver, vbios)
  }
  return { verified, simulated }
}

/**
 * A RIM is not older than one of its id that its reader has seen: NVIDIA reissues an id with other golden values, and a host would
 * choose the issue that fits its firmware. A floor of a later time than `at` does not count: what was decided before it stays decided.
 */
function verifyNotOlder(id: string, rim: Rim, { collateralFloors }: Anchors, at: UnixSeconds): void {
  const { notBefore } = rim.chain[0]!
  const root = toHex(sha256(rim.chain.at(-1)!.spki))
  for (const floor of collateralFloors ?? []) {
    if (
      floor.kind !== 'nvidia-rim' ||
      floor.id !== id ||
      floor.root !== root ||
      floor.issuedAtMin > at ||
      notBefore >= floor.issuedAtMin
    )
      continue
    throw refuse(
      'gpu/rim-floor',
      `RIM ${id} is of a signer since ${formatTime(notBefore)}, and one since ${formatTime(floor.issuedAtMin)} was seen`,
    )
  }
}

/** Compares a device with its RIMs among those that were verified. */
export function rimsOf({ report, identity }: Device, verified: VerifiedRims['verified']): DeviceRims {
  const ids = rimIds(report, identity)
  const golden = (id: string | null): Golden | null => {
    const rim = verified.get(id ?? '')
    return rim && id !== null ? { id, rim, ...compareGolden(rim, report) } : null
  }
  return { ids, driver: golden(ids.driver), vbios: golden(ids.vbios) }
}

/** Which certificates OCSP answers came along for. */
export interface VerifiedAnswers {
  readonly needed: number
  readonly answered: number
  /** when the first of them is due again; null where there is none */
  readonly validUntil: UnixSeconds | null
}

/** A certificate that NVIDIA's responders answer for, with those above it: its issuer first, the root last. */
export interface Revocable {
  readonly certificate: Certificate
  readonly above: readonly [Certificate, ...Certificate[]]
}

/** Certificates that may have been revoked, by the id of answers: not roots, nor firmware that signs reports. */
export function revocable(
  devices: readonly Pick<Device, 'identity'>[],
  rims: Iterable<Pick<Rim, 'chain'>>,
): ReadonlyMap<string, Revocable> {
  const out = new Map<string, Revocable>()
  const add = (chain: readonly Certificate[], from: number) => {
    for (let i = from; i < chain.length - 1; i++) {
      const [certificate, issuer, ...more] = chain.slice(i) as [Certificate, Certificate, ...Certificate[]]
      out.set(certificateId(certificate, issuer), { certificate, above: [issuer, ...more] })
    }
  }
  for (const { identity } of devices) add(identity.chain, 1)
  for (const { chain } of rims) add(chain, 0)
  return out
}

const nameOf = ({ certificate }: Revocable) => commonName(certificate.subject) ?? 'a certificate'

/**
 * None of these certificates is known to be revoked: an answer that its reader saw said so, and none that is newer came
 * along. Whoever sends evidence chooses the answers in it, and leaves out, or sends the last good one instead of, the one
 * that takes its device back. A floor of a later time than `at` does not count: what was decided before it stays decided.
 */
function verifyNotKnownRevoked(
  subjects: ReadonlyMap<string, Revocable>,
  goodSince: ReadonlyMap<string, UnixSeconds>,
  { collateralFloors }: Anchors,
  at: UnixSeconds,
): void {
  for (const floor of collateralFloors ?? []) {
    if (floor.kind !== 'nvidia-revoked' || floor.issuedAtMin > at) continue
    const id = ocspId(floor)
    const subject = subjects.get(id)
    if (!subject || (goodSince.get(id) ?? 0) > floor.issuedAtMin) continue
    throw new Failure<OcspCode>(
      'ocsp/revoked',
      `${nameOf(subject)} was called revoked by an answer of ${formatTime(floor.issuedAtMin)}, and by none that is newer called good`,
    )
  }
}

/**
 * Verifies the OCSP answers that came along: each is about a certificate of this evidence, current and good. Whether one
 * has to be there for every certificate is the appraisal's to say; that none is known to be revoked is verified always.
 *
 * returns  beside them the names of certificates that no answer came along for
 * throws  gpu/collateral-unused, ocsp/..., x509/...
 * source  RFC 6960, "Signed Response Acceptance Requirements"
 */
export async function verifyAnswers(
  answers: readonly string[],
  devices: readonly Device[],
  rims: VerifiedRims,
  anchors: Anchors,
  at: UnixSeconds,
  caches: Caches,
): Promise<{ readonly answers: VerifiedAnswers; readonly unanswered: readonly string[] }> {
  const subjects = revocable(devices, rims.verified.values())
  const goodSince = new Map<string, UnixSeconds>()
  let validUntil: UnixSeconds | null = null
  for (const text of answers) {
    const answer = await ofTexts(caches, answerSlot, text, async () => parseOcsp(fromBase64(text)))
    const subject = goodSince.has(answer.id) ? undefined : subjects.get(answer.id)
    if (!subject)
      throw refuse('gpu/collateral-unused', 'an OCSP answer is there twice, or on no certificate of this evidence')
    await verifyOcsp(answer, subject.above[0], at, `OCSP answer on ${nameOf(subject)}`, caches.links)
    goodSince.set(answer.id, answer.thisUpdate)
    validUntil = Math.min(validUntil ?? answer.nextUpdate, answer.nextUpdate)
  }
  verifyNotKnownRevoked(subjects, goodSince, anchors, at)
  const unanswered = [...subjects].flatMap(([id, one]) => (goodSince.has(id) ? [] : [nameOf(one)]))
  return { answers: { needed: subjects.size, answered: answers.length, validUntil }, unanswered }
}
