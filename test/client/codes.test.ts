import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const here = import.meta.dirname

test('every failure code of the client is raised by a test of it, and by code', () => {
  const codes = [...readFileSync(join(here, '../../client/steps.ts'), 'utf8').matchAll(/\| '(client\/[a-z-]+)'/g)]
  const read = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'steps.ts')
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join()
  // Grants of several brokers are tested where those brokers run, and what rests on credentials where a host presents them.
  const elsewhere = read(join(here, '../e2e')) + readFileSync(join(here, '../keybroker/sources.test.ts'), 'utf8')
  const [tests, code] = [read(here) + elsewhere, read(join(here, '../../client'))]
  expect(codes.length).toBeGreaterThan(30)
  const missing = codes.map((found) => `'${found[1]}'`).filter((one) => !tests.includes(one) || !code.includes(one))
  expect(missing).toEqual([])
})
