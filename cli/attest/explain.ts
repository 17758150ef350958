import { explain, explainFile } from '#attest/explain/explain.js'
import { type ExplainedField, type ExplainedPart, field } from '#attest/explain/part.js'
import { readPemBundle } from '#attest/pem-bundle.js'
import { type Recognised, recognise } from '#attest/recognise.js'
import { takeKbsApart } from '#cli/attest/kbs.js'
import { readInput } from '#cli/input.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { isFailure } from '#core/failure.js'

export interface AttestExplainArguments {
  readonly file: string
  readonly json?: boolean | undefined
}

interface Explained {
  readonly title: string
  readonly notes: readonly string[]
  readonly parts: readonly ExplainedPart[]
}

/** A KBS message, then the evidence inside and what came beside it; what cannot be taken apart is shown as it came. */
function explainKbs(message: Recognised): readonly ExplainedPart[] {
  try {
    const { recognised, files } = takeKbsApart(message.bytes)
    return [...explain(recognised), ...files.flatMap(explainFile)]
  } catch (error) {
    if (!isFailure(error)) throw error
    const fields = [field('(not read)', `${error.message} (${error.code})`)]
    return [...explain(message), { title: 'Evidence', document: 'KBS protocol 0.4.0', fields }]
  }
}

/** Evidence of any form; also what stands beside it by itself, as far as `explainFile` knows it. @throws evidence/unrecognised */
function explainBytes(file: string, bytes: Uint8Array): Explained {
  const beside = explainFile({ name: file === '-' ? 'standard input' : file, bytes })
  try {
    const bundle = readPemBundle(bytes)
    const found = bundle?.recognised ?? recognise(bytes)
    const own = found.form === 'kbs-attestation' ? explainKbs(found) : explain(found)
    const parts = [...own, ...(bundle?.files ?? []).flatMap(explainFile)]
    return { title: found.title, notes: found.notes, parts }
  } catch (error) {
    if (!isFailure(error) || error.code !== 'evidence/unrecognised' || beside.length === 0) throw error
    return { title: 'documents beside evidence', notes: [], parts: beside }
  }
}

/** Shows what evidence says, field by field, and judges nothing. Exit 0 when it could be told apart. */
export async function run(args: AttestExplainArguments, io: Io): Promise<number> {
  const explained = explainBytes(args.file, await readInput(args.file, 'evidence'))
  if (args.json) io.stdout(`${JSON.stringify({ verified: false, ...explained }, null, 2)}\n`)
  else io.stdout(render(explained, io))
  return exitCodes.ok
}

function render({ title, notes, parts }: Explained, io: Io): string {
  const head = `${paint(io, 'bold', title)}: ${paint(io, 'yellow', 'decoded, not verified')}\n`
  const lines = parts.map((part) => {
    const width = part.fields.reduce((most, { name }) => Math.min(44, Math.max(most, name.length)), 0)
    return `\n${paint(io, 'bold', printable(part.title))}  (${part.document})\n${part.fields.map((one) => row(one, width)).join('')}`
  })
  return `${head}${notes.map((note) => `  ${printable(note)}\n`).join('')}${lines.join('')}`
}

function row({ offset, size, name, value }: ExplainedField, width: number): string {
  const at = offset === null ? '' : `0x${offset.toString(16).padStart(3, '0')}`
  return `  ${at.padStart(7)} ${(size === null ? '' : String(size)).padStart(6)}  ${printable(name).padEnd(width)}  ${printable(value)}\n`
}
