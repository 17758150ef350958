import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createKeyFolder } from '#attest/service/keys.js'
import { storeReference } from '#cli/reference-folder.js'
import { loadServices } from '#cli/service-state.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { testPlatform } from '#test/fakes/platform.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-local-state-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const page = readFileSync(new URL('../../docs/spec/local-state.md', import.meta.url), 'utf8')
const blocks = page.split('```json\n').slice(1)
const [services, keys, platform, reference] = blocks.map((block) => JSON.parse(block.split('```')[0]!) as Json)
const written = (file: string) => parseJson(new Uint8Array(readFileSync(join(folder, file))))

/** Members and the kinds of their values, to the last; what is cut is a string all the same. */
function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(form)
  if (value === null || typeof value !== 'object') return value === null ? null : typeof value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, form(member)]))
}
const member = (value: Json | undefined, name: string) => (value as { [name: string]: Json })[name]

test('the page shows the files as they are written', async () => {
  writeFileSync(join(folder, 'services.json'), JSON.stringify(services))
  expect(await loadServices(folder)).toEqual(services)

  await createKeyFolder(join(folder, 'verifier'), 1_780_000_000)
  const index = written('verifier/keys.json')
  expect([form(keys), member(keys, 'format')]).toEqual([form(index), member(index, 'format')])

  const machine = parseJson(exportPlatform(await testPlatform()))
  expect([form(platform), member(platform, 'format')]).toEqual([form(machine), member(machine, 'format')])
  expect(member(platform, 'note')).toBe('NOT HARDWARE')

  await storeReference(folder, 'acme-runtime', { signed: new Uint8Array([123]), values: null })
  expect(form(written('acme-runtime.json'))).toEqual(form(reference))
  expect(member(reference, 'format')).toBe(member(written('acme-runtime.json'), 'format'))
})
