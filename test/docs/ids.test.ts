import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
/** Every folder of the product: what is not one of these is named here. */
const notProduct = new Set(['docs', 'dist', 'node_modules', 'test', 'deploy', '.git', '.ci'])

function filesBelow(folder: string, suffix: string): readonly string[] {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath, entry.name))
}
const folders = readdirSync(root, { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && !notProduct.has(entry.name),
)
const sources = folders.flatMap((entry) => filesBelow(join(root, entry.name), '.ts'))

/** Names with a version: of formats, purposes and labels. A template such as `claviger/x/${kind}/v1` is spelt out where it is read. */
function idsIn(text: string): readonly string[] {
  return [...text.matchAll(/\bclaviger[./-](?:[a-z0-9-]+[./])*?(?:[a-z0-9-]+[./])?v?[0-9]+\b/g)].map(
    (found) => found[0],
  )
}
const pages = filesBelow(join(root, 'docs/spec'), '.md').map((path) => readFileSync(path, 'utf8'))
const stands = (id: string) => pages.some((page) => idsIn(page).includes(id))

test('every name with a version that the source gives stands on a page of docs/spec, letter for letter', () => {
  const missing = sources.flatMap((path) =>
    idsIn(readFileSync(path, 'utf8'))
      .filter((id) => !stands(id))
      .map((id) => `${relative(root, path)}: ${id}`),
  )
  expect(missing).toEqual([])
})

test('the search finds each form, and what stands nowhere', () => {
  const found = new Set(sources.flatMap((path) => idsIn(readFileSync(path, 'utf8'))))
  for (const id of [
    'claviger-services/1',
    'claviger.default.1',
    'claviger.release.v1',
    'claviger/statement/host/v1',
    'claviger/v1',
  ])
    expect(found).toContain(id)
  expect(found.size).toBeGreaterThan(40)
  expect(idsIn("type: 'claviger/no-such-thing/v1', 'claviger-nothing/2' and `claviger.nothing.3`")).toEqual([
    'claviger/no-such-thing/v1',
    'claviger-nothing/2',
    'claviger.nothing.3',
  ])
  expect(stands('claviger/no-such-thing/v1')).toBe(false)
  // Another one that only begins with it does not count.
  expect(stands('claviger/statement/v1')).toBe(false)
})
