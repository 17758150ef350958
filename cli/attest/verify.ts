import type { Anchors } from '#attest/anchors.js'
import { everyStepPassed, examineEvidence } from '#attest/examine.js'
import type { Provenance } from '#attest/reference/provenance.js'
import { verifyReference } from '#attest/reference/verify.js'
import type { AttestationResult } from '#attest/result.js'
import { dateHint } from '#cli/attest/dates.js'
import { type ExpectedBinding, envelopeOf, type FoundEvidence, findEvidence } from '#cli/attest/input.js'
import { renderTrace } from '#cli/attest/render.js'
import { readDocument, readInput } from '#cli/input.js'
import { readJudgedBytes, refuseJudged } from '#cli/judged-file.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { runtimeFileShape } from '#cli/reference-values.js'
import { loadTrust } from '#cli/trust-store.js'
import { fromHex } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Binding, bindingShape, reportDataOf } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'

/** Failures of what was typed. */
export type AttestUsageCode =
  | 'usage/time'
  | 'usage/hex'
  | 'usage/binding'
  | 'usage/collateral'
  | 'usage/reference-trust'

export interface AttestVerifyArguments {
  readonly file: string
  readonly at?: string | undefined
  readonly collateral?: string | undefined
  readonly nonce?: string | undefined
  readonly reportData?: string | undefined
  readonly binding?: string | undefined
  readonly referenceValues?: string | undefined
  readonly trust?: string | undefined
  readonly simulatedRoot?: readonly string[] | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
  readonly json?: boolean | undefined
  readonly verbose?: boolean | undefined
}

function refuse(code: AttestUsageCode, message: string, hint?: string): Failure<AttestUsageCode> {
  return new Failure<AttestUsageCode>(code, message, hint === undefined ? {} : { detail: { hint } })
}

/** A time in UTC, `2026-11-25T09:13:25Z`, or in Unix seconds. A fraction of a second is cut off. @throws usage/time */
function timeOf(text: string): UnixSeconds {
  const isNumber = /^\d{1,11}$/.test(text)
  const isDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/.test(text)
  const at = isNumber ? Number(text) : isDate ? Math.floor(Date.parse(text) / 1000) : Number.NaN
  // Date.parse lets the 30th of February be the 2nd of March.
  if (!Number.isFinite(at) || (isDate && formatTime(at).slice(0, 19) !== text.slice(0, 19)))
    throw refuse('usage/time', `--at is ${text}, expected a time such as 2026-11-25T09:13:25Z or Unix seconds`)
  return at
}

/** Hex of either case, `size` bytes where it is fixed. @throws usage/hex */
function hexOf(name: string, text: string, size?: number): Uint8Array {
  if (text === '') throw refuse('usage/hex', `--${name} is empty`)
  try {
    return fromHex(text.toLowerCase().replace(/^0x/, ''), size)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('usage/hex', `--${name} is no hex${size === undefined ? '' : ` of ${size} bytes`}`)
  }
}

/** Kinds whose device takes a nonce as it is. */
const kindsWithNonce: readonly AnyEvidence['kind'][] = ['nitro', 'azure-snp', 'azure-tdx', 'gpu']

/** What the evidence has to carry, whole; nothing when nothing was typed. @throws usage/binding, usage/hex */
function carriedBy(
  args: AttestVerifyArguments,
  binding: Binding | null,
  found: FoundEvidence,
  kind: AnyEvidence['kind'],
): ExpectedBinding {
  if (binding !== null) return { expectedReportData: reportDataOf(binding), expectedNonce: null }
  if (args.reportData !== undefined)
    return { expectedReportData: hexOf('report-data', args.reportData, 64), expectedNonce: null }
  if (args.nonce === undefined) return { expectedReportData: null, expectedNonce: null }
  const nonce = hexOf('nonce', args.nonce)
  if (found.bindingOf !== null) return found.bindingOf(nonce)
  if (kindsWithNonce.includes(kind)) return { expectedReportData: null, expectedNonce: nonce }
  // A binding value is compared whole, never padded: how a nonce becomes report data is the protocol's to say.
  throw refuse(
    'usage/binding',
    `evidence of kind ${kind} carries 64 bytes of report data and no nonce`,
    'give the whole value: --report-data HEX, 64 bytes',
  )
}

/** The time to judge at, once all that was typed has its form. @throws usage/... */
function readTyped(args: AttestVerifyArguments, io: Io): UnixSeconds {
  if ([args.nonce, args.reportData, args.binding].filter((one) => one !== undefined).length > 1)
    throw refuse('usage/binding', '--nonce, --report-data and --binding are three ways to say one thing: give one')
  if (args.reportData !== undefined) hexOf('report-data', args.reportData, 64)
  if (args.nonce !== undefined) hexOf('nonce', args.nonce)
  for (const root of args.simulatedRoot ?? []) hexOf('simulated-root', root, 32)
  return args.at === undefined ? io.now() : timeOf(args.at)
}

interface Values {
  readonly values: ReferenceValues | null
  /** who vouches for them; null for values that the reader wrote or trusts by hand */
  readonly provenance: Provenance | null
  readonly simulatedRoots: readonly string[]
}

/**
 * Reference values, the file of a runtime that `claviger runtime values` writes, or a set that a publisher of the trust file
 * signed.
 *
 * throws  input/..., json/..., shape/..., reference/..., usage/reference-trust
 */
async function readValues(args: AttestVerifyArguments, io: Io): Promise<Values> {
  const path = args.referenceValues
  if (path === undefined) return { values: null, provenance: null, simulatedRoots: [] }
  const bytes = await readInput(path, 'reference values')
  const document = parseJson(bytes)
  if (document !== null && typeof document === 'object' && Object.hasOwn(document, 'payloadType')) {
    if (args.trust === undefined)
      throw refuse('usage/reference-trust', 'the reference values are signed: --trust FILE says whose signature counts')
    const { trust } = await loadTrust(args.trust, io.now())
    const signed = await verifyReference({ signed: bytes, values: null }, trust.runtimePublishers, io.now())
    return { values: signed.values, provenance: signed.provenance, simulatedRoots: [] }
  }
  if (document !== null && typeof document === 'object' && Object.hasOwn(document, 'values')) {
    const runtime = runtimeFileShape(document, 'runtime')
    return { values: runtime.values, provenance: null, simulatedRoots: runtime.simulatedRoots ?? [] }
  }
  return { values: referenceValuesShape(document, 'referenceValues'), provenance: null, simulatedRoots: [] }
}

/** What evidence of one of our nodes binds, as its node document has it. @throws input/..., json/..., shape/... */
async function readBinding(path: string | undefined): Promise<Binding | null> {
  return path === undefined ? null : readDocument(path, bindingShape, 'binding')
}

async function readAnchors(args: AttestVerifyArguments, values: Values, io: Io): Promise<Anchors> {
  const typed = (args.simulatedRoot ?? []).map((text) => text.toLowerCase())
  if (args.trust === undefined) return { simulatedRoots: [...typed, ...values.simulatedRoots] }
  const { trust } = await loadTrust(args.trust, io.now())
  return {
    simulatedRoots: [...typed, ...values.simulatedRoots, ...trust.simulatedRoots],
    collateralFloors: trust.collateralFloors,
  }
}

/** The evidence as the verifier takes it; without a folder of collateral the way to give one is usage. */
function envelope(args: AttestVerifyArguments, found: FoundEvidence) {
  try {
    return envelopeOf(found)
  } catch (error) {
    if (!isFailure(error) || error.code !== 'evidence/incomplete' || args.collateral !== undefined) throw error
    throw refuse('usage/collateral', error.message, 'put these files into a folder and add --collateral DIR')
  }
}

/** What is no evidence, or cannot be read as the evidence that it begins like, is judged like evidence that is wrong. */
function isAgainst(error: unknown, found: FoundEvidence | null): error is Failure {
  if (!isFailure(error)) return false
  if (['evidence/unrecognised', 'evidence/size'].includes(error.code) || error.code.startsWith('kbs/')) return true
  return found !== null && /^(json|bytes|shape)\//.test(error.code)
}

/** Verifies a piece of evidence in a file. Exit 0 only when every step passed on hardware. */
export async function run(args: AttestVerifyArguments, io: Io): Promise<number> {
  // What was typed wrongly is found before a file is read.
  readTyped(args, io)
  const file = await readJudgedBytes(args.file, 'evidence')
  return 'failure' in file ? refuseJudged(file.failure, args.json, io) : runBytes(args, file.bytes, io)
}

/** The same for bytes that were read already. */
export async function runBytes(args: AttestVerifyArguments, bytes: Uint8Array, io: Io): Promise<number> {
  const at = readTyped(args, io)
  const values = await readValues(args, io)
  const binding = await readBinding(args.binding)
  const anchors = await readAnchors(args, values, io)
  let found: FoundEvidence | null = null
  let evidence: AnyEvidence
  try {
    found = await findEvidence(bytes, args.collateral)
    evidence = envelope(args, found)
  } catch (error) {
    if (isAgainst(error, found)) return refuseJudged(error, args.json, io)
    throw error
  }
  const result = await examineEvidence(evidence, anchors, {
    ...carriedBy(args, binding, found, evidence.kind),
    ...(binding === null ? {} : { binding }),
    referenceValues: values.values,
    // Simulated evidence is judged like any other, and then refused unless the reader allows it.
    tenantClass: 'development',
    at,
  })
  const code = report(args, { ...found, provenance: values.provenance }, result, io)
  const dates = await dateHint(evidence, result)
  if (dates !== null) io.stderr(`${paint(io, 'cyan', 'hint:')} ${dates}\n`)
  return code
}

type Result = AttestationResult<AnyEvidence>

interface Outcome {
  readonly word: string
  readonly colour: 'green' | 'yellow' | 'red'
  readonly accepted: boolean
}

function outcomeOf(result: Result, allowSimulated: boolean): Outcome {
  const failed = result.steps.filter((step) => step.verdict === 'fail').length
  const skipped = result.steps.filter((step) => step.verdict === 'skip').map((step) => step.id)
  const warnings = result.steps.filter((step) => step.warning).length
  const simulated = result.platform === 'simulated'
  const against = failed > 0 || result.platform === 'unverified' || !['affirming', 'warning'].includes(result.status)
  if (against)
    return { word: `NOT VERIFIED: ${failed} ${failed === 1 ? 'step' : 'steps'} failed`, colour: 'red', accepted: false }
  const kind = simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED'
  if (!everyStepPassed(result))
    return {
      word: `${simulated ? `${kind}, ` : ''}PARTLY VERIFIED: skipped ${skipped.join(', ')}`,
      colour: 'yellow',
      accepted: false,
    }
  if (simulated) return { word: kind, colour: 'yellow', accepted: allowSimulated }
  return warnings === 0
    ? { word: kind, colour: 'green', accepted: true }
    : { word: `${kind}, with ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`, colour: 'yellow', accepted: true }
}

type Reported = FoundEvidence & Pick<Values, 'provenance'>

function vouchedBy({ source, publisher, signedAt, digest }: Provenance): string {
  const when = signedAt === null ? '' : ` at ${formatTime(signedAt)}`
  return `reference values vouched for by ${publisher} (${source})${when}, document ${digest}`
}

function report(args: AttestVerifyArguments, found: Reported, result: Result, io: Io): number {
  const outcome = outcomeOf(result, args.dangerousAllowSimulated === true)
  const { word, accepted } = outcome
  if (args.json) {
    const { kind, platform, status, failure, skipped, at, policy, digests, signatures, steps, claims } = result
    const hardware = platform === 'hardware'
    const { form } = found.recognised
    const head = {
      verdict: word,
      accepted,
      hardware,
      complete: everyStepPassed(result),
      form,
      kind,
      notes: found.notes,
    }
    const body = {
      referenceValues: found.provenance,
      at,
      platform,
      status,
      failure,
      skipped,
      policy,
      digests,
      signatures,
      steps,
      claims,
    }
    io.stdout(`${JSON.stringify({ ...head, ...body }, null, 2)}\n`)
  } else {
    io.stdout(`${paint(io, 'bold', found.recognised.title)}, judged at ${formatTime(result.at)}\n`)
    for (const note of found.notes) io.stdout(`  ${printable(note)}\n`)
    if (found.provenance) io.stdout(`  ${printable(vouchedBy(found.provenance))}\n`)
    if (result.kind === 'gpu') io.stdout('  a verdict on devices says nothing of the machine that asked them\n')
    const { evidence, vendor } = result.signatures
    const count = `signatures verified: ${evidence} of the evidence, ${vendor} of the vendor`
    io.stdout(
      `\n${renderTrace(result.steps, args.verbose === true, io)}\n${count}\n${paint(io, outcome.colour, word)}\n`,
    )
  }
  hints(args, result, accepted, io)
  return accepted ? exitCodes.ok : exitCodes.verdict
}

function hints(args: AttestVerifyArguments, result: Result, accepted: boolean, io: Io): void {
  const hint = (text: string) => io.stderr(`${paint(io, 'cyan', 'hint:')} ${text}\n`)
  if (result.platform === 'unverified') return
  const skipped = (id: string) => result.steps.some((step) => step.id === id && step.verdict === 'skip')
  const name = kindsWithNonce.includes(result.kind) ? 'nonce' : 'report-data'
  if (skipped('devices-digest'))
    hint('add --binding FILE: without it nothing says whether these devices work with this machine')
  else if (skipped('report-data')) hint(`add --${name} HEX: without it this may be the evidence of another time or key`)
  if (skipped('reference-values'))
    hint('add --reference-values FILE: without it nothing says whether what runs there is what you expect')
  if (result.platform === 'simulated' && !accepted && args.dangerousAllowSimulated !== true)
    hint('add --dangerous-allow-simulated to accept simulated evidence, for development only')
}
