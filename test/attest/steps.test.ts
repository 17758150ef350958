import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalogue } from '#attest/steps.js'

const attest = join(import.meta.dirname, '../../attest')
const sources = readdirSync(attest, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
const idsIn = (form: RegExp) =>
  new Set(sources.flatMap((text) => [...text.matchAll(form)].map((found) => found[1]!))) as ReadonlySet<string>

const kinds = Object.entries(catalogue)
const named = (part: 'steps' | 'checks') =>
  new Set(kinds.flatMap(([, kind]) => kind[part].map((step) => step.id))) as ReadonlySet<string>

describe('catalogue of steps', () => {
  test('every step that a verification tells is in it, and the other way round', () => {
    const told = idsIn(/\btrace\(\s*'([^']+)'/g)
    expect(told.size).toBeGreaterThan(20)
    expect([...told].filter((id) => !named('steps').has(id))).toEqual([])
    expect([...named('steps')].filter((id) => !told.has(id))).toEqual([])
  })

  test('every comparison that an appraisal makes by a fixed id is in it', () => {
    const made = idsIn(/\b(?:check|listed|flag|bit)\(\s*'([^']+)'/g)
    expect(made.size).toBeGreaterThan(20)
    expect([...made].filter((id) => !named('checks').has(id))).toEqual([])
  })

  test.each(kinds)('%s: an id stands for one thing, and every entry says where it comes from', (_, kind) => {
    const ids = [...kind.steps, ...kind.checks].map((step) => step.id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const step of [...kind.steps, ...kind.checks]) {
      expect(step.id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*(\/[a-z0-9]+(-[a-z0-9]+)*)?$/)
      for (const text of [step.document, step.section, step.expected]) expect(text.length).toBeGreaterThan(2)
    }
  })
})
