import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runtimeFileShape } from '#attest/reference/runtime-file.js'
import * as runtime from '#cli/runtime.js'
import { parseJson } from '#core/encoding/json.js'
import { createSecretFile } from '#host/files.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testRootDigest } from '#test/fakes/platform.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-runtime-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('runtime values are those of the simulated machine, and say whose', async () => {
  const platformState = join(folder, 'platform.json')
  await createSecretFile(platformState, exportPlatform(await testPlatform({ at: testIo().now() })))
  const out = join(folder, 'runtime.json')
  const io = testIo()
  expect(await runtime.run({ out, platformState, simulated: true, json: true }, io)).toBe(0)
  expect(io.err()).toContain('NOT HARDWARE')
  const { measurement, rootDigest } = JSON.parse(io.out())
  expect(rootDigest).toBe(testRootDigest)
  const file = runtimeFileShape(parseJson(await readFile(out)), 'runtime')
  expect(file.simulatedRoots).toEqual([testRootDigest])
  expect(file.values.snp?.measurements).toEqual([measurement])
  expect(file.title).toContain('NOT HARDWARE')
})

test('runtime values of hardware are not made up', async () => {
  const out = join(folder, 'hardware.json')
  expect(await codeOfPromise(runtime.run({ out }, testIo()))).toBe('runtime/unmeasured')
  expect(await stat(out).catch(() => null)).toBeNull()
})
