import type { FoundEvidence } from '#attest/reader/beside.js'
import { judgeForReader } from '#attest/reader/judge.js'
import { hintsFor, outcomeOf, verdictDocument, vouchedBy } from '#attest/reader/outcome.js'
import { readTyped } from '#attest/reader/typed.js'
import type { Provenance } from '#attest/reference/provenance.js'
import type { AttestationResult } from '#attest/result.js'
import { besideAt } from '#cli/attest/input.js'
import { renderTrace } from '#cli/attest/render.js'
import { anchorsAt, valuesAt } from '#cli/attest/values.js'
import { readDocument } from '#cli/input.js'
import { readJudgedBytes, refuseJudged } from '#cli/judged-file.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { formatTime } from '#core/time.js'
import { type Binding, bindingShape } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

export interface AttestVerifyArguments {
  readonly file: string
  readonly at?: string | undefined
  readonly collateral?: string | undefined
  readonly nonce?: string | undefined
  readonly reportData?: string | undefined
  readonly binding?: string | undefined
  readonly referenceValues?: string | undefined
  readonly values?: string | undefined
  readonly trust?: string | undefined
  readonly simulatedRoot?: readonly string[] | undefined
  readonly dangerousAllowSimulated?: boolean | undefined
  readonly json?: boolean | undefined
  readonly verbose?: boolean | undefined
}

/** What evidence of one of our nodes binds, as its node document has it. @throws input/..., json/..., shape/... */
async function readBinding(path: string | undefined): Promise<Binding | null> {
  return path === undefined ? null : readDocument(path, bindingShape, 'binding')
}

/** Verifies a piece of evidence in a file. Exit 0 only when every step passed on hardware. */
export async function run(args: AttestVerifyArguments, io: Io): Promise<number> {
  // What was typed wrongly is found before a file is read.
  readTyped(args, args.binding !== undefined, io.now())
  const file = await readJudgedBytes(args.file, 'evidence')
  return 'failure' in file ? refuseJudged(file.failure, args.json, io) : runBytes(args, file.bytes, io)
}

/** The same for bytes that were read already. */
export async function runBytes(args: AttestVerifyArguments, bytes: Uint8Array, io: Io): Promise<number> {
  const now = io.now()
  readTyped(args, args.binding !== undefined, now)
  const values = await valuesAt(args, io)
  const verdict = await judgeForReader({
    bytes,
    beside: besideAt(args.collateral),
    hasBeside: args.collateral !== undefined,
    typed: args,
    binding: await readBinding(args.binding),
    values,
    trusted: await anchorsAt(args.trust, io),
    now,
  })
  if ('refused' in verdict) return refuseJudged(verdict.refused, args.json, io)
  const code = report(args, { ...verdict.found, provenance: values.provenance }, verdict.result, io)
  if (verdict.dates !== null) hint(verdict.dates, io)
  return code
}

type Result = AttestationResult<AnyEvidence>
type Reported = FoundEvidence & { readonly provenance: Provenance | null }

const hint = (text: string, io: Io) => io.stderr(`${paint(io, 'cyan', 'hint:')} ${text}\n`)

function report(args: AttestVerifyArguments, found: Reported, result: Result, io: Io): number {
  const allowSimulated = args.dangerousAllowSimulated === true
  const outcome = outcomeOf(result, allowSimulated)
  const { word, accepted } = outcome
  if (args.json) {
    io.stdout(`${JSON.stringify(verdictDocument(found, found.provenance, result, outcome), null, 2)}\n`)
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
  for (const text of hintsFor(result, accepted, allowSimulated)) hint(text, io)
  return accepted ? exitCodes.ok : exitCodes.verdict
}
