import type { FormInput } from '#console/judge.js'
import { printable, shellWord } from '#core/shown.js'
import { formatTime, type UnixSeconds } from '#core/time.js'

/** The folder that the command line names for what was put beside the evidence: files of a form have no folder. */
export const collateralFolder = 'collateral'

const word = (text: string) => shellWord(printable(text))
/** A file by its name; one that begins with a hyphen would be read as an option. */
const fileWord = (name: string) => word(name.startsWith('-') ? `./${name}` : name)

/**
 * The line that gives the same verdict from the reader's own copy of the command, judged at the same time.
 *
 * at  when it was judged
 */
export function commandLine(form: FormInput, at: UnixSeconds): string {
  const { typed } = form
  const option = (name: string, text: string | undefined) => (text === undefined ? [] : [`--${name} ${word(text)}`])
  const file = (name: string, one: { readonly name: string } | null) =>
    one === null ? [] : [`--${name} ${fileWord(one.name)}`]
  return [
    './claviger attest verify',
    fileWord(form.evidence.name),
    ...(form.collateral.length > 0 ? [`--collateral ${collateralFolder}`] : []),
    ...option('nonce', typed.nonce),
    ...option('report-data', typed.reportData),
    ...file('binding', form.binding),
    ...file('reference-values', form.referenceValues),
    ...file('values', form.values),
    ...file('trust', form.trust),
    ...(typed.simulatedRoot ?? []).map((root) => `--simulated-root ${word(root)}`),
    ...(form.allowSimulated ? ['--dangerous-allow-simulated'] : []),
    `--at ${formatTime(at)}`,
  ].join(' ')
}
