import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const page = readFileSync('docs/decisions/required-denials.md', 'utf8')
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| about') && !line.startsWith('| ---'))
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()))

test('every attempt that has to be denied names the test that tries it', () => {
  expect(rows.length).toBeGreaterThan(40)
  const gone = rows.flatMap(([, attempt, file, title]) => {
    const text = readFileSync(file!.replaceAll('`', ''), 'utf8')
    return text.includes(title!) ? [] : [`${attempt}: ${title}`]
  })
  expect(gone).toEqual([])
})
