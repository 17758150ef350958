import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { besideMachine, catalogue } from '#attest/steps.js'
import type { Step } from '#attest/trace.js'

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
      // A revision that nobody has seen is none: docs/decisions/cited-documents.md.
      expect(step.document).not.toMatch(/\d\.\d*x\b|\?|current|latest/)
    }
  })
})

/** docs/spec/checks.md below its first table line, as the catalogue has it. */
function page(): string {
  const row = (step: Step, kind: string) =>
    `| \`${step.id}\` | ${kind} | ${step.document} | ${step.section} | ${step.expected}${step.without ? ` *or skip:* ${step.without}` : ''} |`
  const table = (kind: string, name: string, steps: readonly Step[]) =>
    [`### ${kind}: ${name}`, '', '| id | kind | document | section | expected |', '| --- | --- | --- | --- | --- |']
      .concat(
        steps.map((step) => row(step, kind)),
        '',
      )
      .join('\n')
  const besides = besideMachine.filter(({ id }) => id.startsWith('devices/'))
  return [
    ...kinds.flatMap(([kind, { steps, checks }]) => [table(kind, 'steps', steps), table(kind, 'comparisons', checks)]),
    table('composite', 'comparisons of devices', besides),
  ].join('\n')
}

test('docs/spec/checks.md lists every step and comparison, as the catalogue has them', () => {
  const path = join(attest, '../docs/spec/checks.md')
  const text = readFileSync(path, 'utf8')
  const at = text.indexOf('### snp: steps')
  expect(at).toBeGreaterThan(0)
  if (process.env.CLAVIGER_WRITE_PAGES === '1') writeFileSync(path, `${text.slice(0, at)}${page()}`)
  else expect(text.slice(at)).toBe(page())
})
