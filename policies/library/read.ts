/**
 * What belongs in policies/library: the policy documents that ship with the product, and reading them by name. Only
 * starting points: nothing decides by one that no owner signed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Failure } from '#core/failure.js'

/** Failures of reading the shipped policies. */
export type LibraryCode = 'library/name'

/** A policy that ships with the product: a starting point, which an owner reads before signing it. */
export interface LibraryPolicy {
  /** as `eu-only` */
  readonly name: string
  /** its first comment line */
  readonly title: string
  readonly text: string
}

const folder = new URL('.', import.meta.url)

/** Every policy of the library, by name. An edge: it reads the files beside this one. */
export function listLibrary(): readonly LibraryPolicy[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.cedar'))
    .map((file) => file.slice(0, -'.cedar'.length))
    .sort()
    .map((name) => {
      const text = readFileSync(new URL(`${name}.cedar`, folder), 'utf8')
      return { name, title: text.split('\n')[0]!.replace(/^\/\/ */, ''), text }
    })
}

/** The policy of this name; `.cedar` may be written after it. @throws library/name */
export function libraryPolicy(name: string): LibraryPolicy {
  const all = listLibrary()
  const found = all.find((policy) => policy.name === name.replace(/\.cedar$/, ''))
  if (!found)
    throw new Failure<LibraryCode>(
      'library/name',
      `no policy ${JSON.stringify(name)} in the library, it has ${all.map((policy) => policy.name).join(', ')}`,
    )
  return found
}

/** The worlds that ship with a policy of the library, as bytes; null where none do. An edge, as above. */
export function libraryWorlds(name: string): Uint8Array | null {
  return beside(name, (found) => `${found}.worlds.json`)
}

/** What a policy of the library never allows, as rules, in bytes; null where it says nothing of that. An edge, as above. */
export function libraryInvariants(name: string): Uint8Array | null {
  return beside(name, (found) => `invariants/${found}.cedar`)
}

function beside(name: string, path: (found: string) => string): Uint8Array | null {
  const found = listLibrary().find((policy) => policy.name === name.replace(/\.cedar$/, ''))
  const file = found && new URL(path(found.name), folder)
  return file && existsSync(file) ? new Uint8Array(readFileSync(file)) : null
}
