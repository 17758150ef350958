import type { Caches } from '#attest/caches.js'
import type { Choice, Chooser } from '#attest/endorsements/choose.js'
import type { OcspName } from '#attest/endorsements/names.js'
import { type DeviceIdentity, verifyDeviceChain } from '#attest/gpu/chain.js'
import { type Revocable, readRimOnce, revocable } from '#attest/gpu/collateral.js'
import { parseReport } from '#attest/gpu/parse.js'
import { rimIds } from '#attest/gpu/rim/golden.js'
import { type Rim, verifyRimChain } from '#attest/gpu/rim/rim.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { base64, list, object } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspSerialForm, ocspSubject } from '#core/x509/ocsp-request.js'

/** Part of an evidence envelope of devices, not read yet. */
type Members = { readonly [name: string]: Json }

interface GpuContext {
  readonly simulatedRoots: readonly string[]
  readonly at: UnixSeconds
  readonly caches: Caches
}

const text = (max: number) => base64(undefined, Math.ceil(max / 3) * 4)
const devicesShape = list(
  (value, path) => {
    const { report, chain } = object({
      report: text(8 * KiB),
      chain: list(text(8 * KiB), { min: 1, max: 8 }),
    })(value, path)
    return { report, chain }
  },
  { min: 1, max: 12 },
)
const listed = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : [])
/** What an envelope takes. Of more than that the shape of evidence says that it is too much. */
const most = { parts: 1, rims: 24, answers: 128 }

/** Devices whose certificates verify, with the ids of the RIMs that they ask for: made of what each says of itself. */
async function devicesOf(members: Members, { caches, at, simulatedRoots }: GpuContext) {
  const identities: DeviceIdentity[] = []
  const ids = new Set<string>()
  const certificates = new Map()
  for (const { report, chain } of devicesShape(members.devices, 'evidence.devices')) {
    const parsed = parseReport(fromBase64(report))
    const identity = await verifyDeviceChain(chain, parsed.kind, { simulatedRoots }, at, certificates, caches)
    identities.push(identity)
    for (const id of Object.values(rimIds(parsed, identity))) if (id !== null) ids.add(id)
  }
  return { identities, ids }
}

/** Signers of these RIMs, as far as they are good: of one that is not, the verifier will say why. */
async function rimsOf(rims: readonly Json[], { caches, at, simulatedRoots }: GpuContext): Promise<readonly Rim[]> {
  const good: Rim[] = []
  for (const one of rims.slice(0, most.rims) as readonly (Members | null)[]) {
    const rim = one?.rim
    if (typeof rim !== 'string') continue
    try {
      const read = await readRimOnce(rim, caches)
      await verifyRimChain(read, { simulatedRoots }, at, caches)
      good.push(read)
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }
  return good
}

/**
 * What is looked up for each RIM that the devices ask for: one that came along is judged beside the one that is held under
 * its own root. `at` is where it stands in the evidence, -1 where it does not. What is no base64 is left to the verifier.
 */
async function rimChoices(ids: ReadonlySet<string>, rims: readonly Json[], context: GpuContext) {
  const out: { readonly id: string; readonly at: number; readonly choice: Choice }[] = []
  for (const id of ids) {
    const name = { kind: 'nvidia-rim', id } as const
    const at = rims.findIndex((one) => (one as Members | null)?.id === id)
    if (at === -1) {
      out.push({ id, at, choice: { name, root: null, sent: null } })
      continue
    }
    const { rim } = rims[at] as Members
    const body = typeof rim === 'string' ? bytesOf(rim) : null
    if (body === null) continue
    const [read] = await rimsOf([rims[at]!], context)
    const root = read ? toHex(sha256(read.chain.at(-1)!.spki)) : null
    out.push({ id, at, choice: { name, root, sent: { name, body, chain: [] } } })
  }
  return out
}

function bytesOf(base64Text: string): Uint8Array | null {
  try {
    return fromBase64(base64Text)
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

const rootOf = ({ above }: Revocable) => toHex(sha256(above.at(-1)!.spki))

/** What is looked up for a certificate: an answer on it, under the root that it stands under. */
function choiceOf(id: string, one: Revocable, sent: string | undefined): Choice {
  const name: OcspName = { kind: 'nvidia-ocsp', ...ocspSubject(id) }
  const above = one.above.map(({ der }) => der)
  return {
    name,
    root: rootOf(one),
    above,
    sent: sent === undefined ? null : { name, body: fromBase64(sent), chain: above },
  }
}

/** Answers that came along by the certificate that they are about; what is no answer, or a second one, is left where it is. */
function answersOf(sent: readonly Json[]): ReadonlyMap<string, string> {
  const out = new Map<string, string>()
  for (const one of sent.slice(0, most.answers)) {
    if (typeof one !== 'string') continue
    try {
      const { id } = parseOcsp(fromBase64(one))
      if (!out.has(id)) out.set(id, one)
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }
  return out
}

async function choicesOf(
  identities: readonly DeviceIdentity[],
  rims: readonly Json[],
  answers: readonly Json[],
  context: GpuContext,
) {
  const subjects = revocable(
    identities.map((identity) => ({ identity })),
    await rimsOf(rims, context),
  )
  const sent = answersOf(answers)
  return [...subjects].flatMap(([id, one]) =>
    ocspSerialForm.test(ocspSubject(id).serial)
      ? [{ sent: sent.get(id), choice: choiceOf(id, one, sent.get(id)) }]
      : [],
  )
}

/**
 * RIMs and OCSP answers for devices whose certificates verify, in the place of older ones that came along. RIMs come first:
 * who signed them can be revoked too. One that is not to be had stays absent: the appraisal says whether that is enough.
 *
 * throws  shape/..., and those of reading reports and certificates: gpu/..., x509/..., chain/...
 */
export async function completeGpu(members: Members, chooser: Chooser, context: GpuContext): Promise<Members> {
  if ([members.rims ?? [], members.ocsp ?? []].some((one) => !Array.isArray(one))) return members
  const { identities, ids } = await devicesOf(members, context)
  const rims = [...listed(members.rims)]
  const wanted = await rimChoices(ids, rims, context)
  const found = await chooser.chooseAll(wanted.map(({ choice }) => choice))
  for (const [i, { id, at, choice }] of wanted.entries()) {
    const item = found[i]
    if (!item || item === choice.sent) continue
    const rim = { id, rim: toBase64(item.body) }
    if (at === -1) rims.push(rim)
    else rims[at] = rim
  }
  const ocsp = [...listed(members.ocsp)]
  const choices = await choicesOf(identities, rims, ocsp, context)
  const chosen = await chooser.chooseAll(choices.map(({ choice }) => choice))
  for (const [i, { sent }] of choices.entries()) {
    const item = chosen[i]
    if (!item) continue
    if (sent === undefined) ocsp.push(toBase64(item.body))
    else ocsp[ocsp.indexOf(sent)] = toBase64(item.body)
  }
  return { rims, ocsp }
}

/**
 * Has the answers on devices looked up that stay as they were sent, so that what is revoked becomes known: a floor then
 * refuses the device, whatever answers came along with it.
 */
export async function learnOfDevices(parts: Json | undefined, chooser: Chooser, context: GpuContext): Promise<void> {
  for (const part of listed(parts).slice(0, most.parts) as readonly (Members | null)[]) {
    if (part?.kind !== 'gpu') continue
    try {
      const { identities } = await devicesOf(part, context)
      const choices = await choicesOf(identities, listed(part.rims), listed(part.ocsp), context)
      await chooser.learn(choices.map(({ choice }) => choice))
    } catch (error) {
      // Of evidence that cannot be read the verifier says why.
      if (!isFailure(error) || error.code.startsWith('database/')) throw error
    }
  }
}
