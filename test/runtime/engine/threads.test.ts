import { mkdtempSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { engineThreads } from '#runtime/engine/threads.js'

const path = join(mkdtempSync(join(tmpdir(), 'cgroup-')), 'cpu.max')
const all = availableParallelism()

test.each([
  ['max 100000\n', all],
  ['50000 100000\n', 1],
  ['100000 100000\n', 1],
  ['10000000 100000\n', all],
  ['garbage', all],
])('cpu.max %j gives %i threads', (text, threads) => {
  writeFileSync(path, text)
  expect(engineThreads(path)).toBe(threads)
})
test('without a control group the processors decide', () => {
  expect(engineThreads(join(path, 'absent'))).toBe(all)
})
