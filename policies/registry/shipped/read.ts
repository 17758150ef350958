/**
 * What belongs in policies/registry/shipped: the countries, groups and legal acts that ship with the product, and reading
 * them. Only a starting point: nothing decides by them until a keeper of the registry signed them.
 */
import { readFileSync } from 'node:fs'
import { parseJson } from '#core/encoding/json.js'
import { type RegistryContent, registryContentShape, verifyRows } from '#policies/registry/document.js'

/** What ships, read as strictly as what anybody signs. An edge: it reads the file beside this one. */
export function shippedContent(): RegistryContent {
  const bytes = readFileSync(new URL('jurisdictions.json', import.meta.url))
  const content = registryContentShape(parseJson(bytes), 'registry')
  verifyRows(content)
  return content
}
