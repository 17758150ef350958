import type { NamedFile } from '#attest/pool.js'
import { byId } from '#console/islands/element.js'
import { type ConsoleCode, collateralMax, type FormInput, fileSizeMax, verifySizes } from '#console/judge.js'
import { utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

const filesOf = (id: string): readonly File[] => [...(byId(id, HTMLInputElement).files ?? [])]

async function read(file: File): Promise<NamedFile> {
  return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) }
}

/** The file in a field that takes one; null where none was chosen. @throws console/size */
async function oneFile(id: string): Promise<NamedFile | null> {
  const files = filesOf(id)
  verifySizes(files, fileSizeMax, 1)
  return files[0] === undefined ? null : read(files[0])
}

async function manyFiles(id: string): Promise<readonly NamedFile[]> {
  const files = filesOf(id)
  verifySizes(files, collateralMax.size, collateralMax.count)
  return Promise.all(files.map(read))
}

/** What was typed into a field, without the white space around it; absent where nothing was. */
function typedIn(id: string): string | undefined {
  const text = byId(id, HTMLInputElement).value.trim()
  return text === '' ? undefined : text
}

function refuse(code: ConsoleCode, message: string, hint: string): Failure<ConsoleCode> {
  return new Failure<ConsoleCode>(code, message, { detail: { hint } })
}

/** What a pasted text is called: the reader saves it under this name for the command. */
export const pastedName = 'pasted.txt'

/** The evidence, from a file or pasted. @throws console/no-evidence, console/two-evidences, console/size */
async function evidence(): Promise<NamedFile> {
  const text = byId('pasted', HTMLTextAreaElement).value.trim()
  const file = await oneFile('evidence')
  if (file !== null && text !== '')
    throw refuse('console/two-evidences', 'there is a file and a text', 'take one of the two away')
  if (file !== null) return file
  if (text === '') throw refuse('console/no-evidence', 'there is no evidence', 'choose a file, or paste its text')
  const bytes = utf8(`${text}\n`)
  verifySizes([{ size: bytes.length }], fileSizeMax, 1)
  return { name: pastedName, bytes }
}

function shipped(): readonly NamedFile[] {
  const blocks = byId('shipped', HTMLDivElement).querySelectorAll('pre')
  return [...blocks].map((block) => ({ name: block.dataset.name ?? '', bytes: utf8(block.textContent ?? '') }))
}

/** The form as it stands, with its files read. @throws console/... */
export async function readForm(): Promise<FormInput> {
  return {
    evidence: await evidence(),
    collateral: await manyFiles('collateral'),
    shipped: shipped(),
    typed: {
      at: typedIn('at'),
      nonce: typedIn('nonce'),
      reportData: typedIn('report-data'),
      simulatedRoot: typedIn('simulated-root')?.split(/\s+/),
    },
    binding: await oneFile('binding'),
    referenceValues: await oneFile('reference-values'),
    values: await oneFile('values'),
    trust: await oneFile('trust'),
    allowSimulated: byId('allow-simulated', HTMLInputElement).checked,
  }
}

/** A file that is dropped on the box of the evidence is its file. One dropped elsewhere would replace the page. */
export function takeDrops(): void {
  const box = byId('drop', HTMLFieldSetElement)
  const input = byId('evidence', HTMLInputElement)
  for (const kind of ['dragover', 'drop'] as const)
    document.addEventListener(kind, (event) => {
      // A field for files takes its own.
      if (!(event.target instanceof HTMLInputElement && event.target.type === 'file')) event.preventDefault()
    })
  box.addEventListener('drop', (event) => {
    if (event.target instanceof HTMLInputElement || event.dataTransfer === null) return
    if (event.dataTransfer.files.length > 0) input.files = event.dataTransfer.files
  })
}
