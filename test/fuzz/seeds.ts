/** Where inputs come from at first: the vectors of this repository, and published captures where they are, read in place. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { packageRoot } from '#host/process.js'

const root = packageRoot()
const minted = join(root, 'test/vectors')
const published = process.env.CLAVIGER_VECTORS_DIR ?? join(root, '../shared/vectors')

interface CaseFile {
  readonly files?: Readonly<Record<string, string>>
}

const read = (path: string) => new Uint8Array(readFileSync(path))

function casesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => existsSync(join(path, 'case.json')))
}

/** Files of the cases of these kinds whose role fits, each content once. */
export function caseSeeds(kinds: readonly string[], role: RegExp): readonly Uint8Array[] {
  const out = new Map<string, Uint8Array>()
  for (const folder of kinds.flatMap((kind) => [join(minted, kind), join(published, kind)]).flatMap(casesBelow)) {
    const { files = {} } = JSON.parse(fromUtf8(read(join(folder, 'case.json')))) as CaseFile
    for (const [name, file] of Object.entries(files)) {
      const path = join(folder, file)
      if (!role.test(name) || !existsSync(path)) continue
      const bytes = read(path)
      out.set(Buffer.from(bytes).toString('base64'), bytes)
    }
  }
  return [...out.values()]
}

function textsOf(value: unknown, out: string[]): void {
  if (typeof value === 'string') out.push(value)
  else if (value !== null && typeof value === 'object') for (const member of Object.values(value)) textsOf(member, out)
}

/** Every text in the JSON vectors of a format, as it stands, and as the bytes that it may spell. */
export function textSeeds(format: string): readonly Uint8Array[] {
  const folder = join(minted, format)
  const texts: string[] = []
  const files: Uint8Array[] = []
  const visit = (path: string): void => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) visit(join(path, name))
    else if (path.endsWith('.json')) textsOf(JSON.parse(fromUtf8(read(path))), texts)
    else if (!path.endsWith('.md')) files.push(read(path))
  }
  visit(folder)
  const spelled = texts.flatMap((text) => {
    if (text.length < 8) return []
    const out = [utf8(text)]
    if (/^([0-9a-f]{2})+$/.test(text)) out.push(new Uint8Array(Buffer.from(text, 'hex')))
    if (/^[A-Za-z0-9+/]+=*$/.test(text) && text.length % 4 === 0) out.push(new Uint8Array(Buffer.from(text, 'base64')))
    if (/^[A-Za-z0-9_-]+$/.test(text)) out.push(new Uint8Array(Buffer.from(text, 'base64url')))
    return out
  })
  return [...files, ...spelled]
}

/** JSON documents below a format's vectors: each member of each case that is an object. */
export function documentSeeds(format: string): readonly Uint8Array[] {
  const folder = join(minted, format)
  const out: Uint8Array[] = []
  const collect = (value: unknown, depth: number): void => {
    if (value === null || typeof value !== 'object' || depth > 6) return
    if (!Array.isArray(value)) out.push(utf8(JSON.stringify(value)))
    for (const member of Object.values(value)) collect(member, depth + 1)
  }
  const visit = (path: string): void => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) visit(join(path, name))
    else if (path.endsWith('.json')) collect(JSON.parse(fromUtf8(read(path))), 0)
  }
  visit(folder)
  return out
}
