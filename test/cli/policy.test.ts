import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { Io } from '#cli/output.js'
import { runCheck, runLibrary } from '#cli/policy.js'
import { validatePolicy } from '#policies/index.js'
import { libraryPolicy } from '#policies/library/read.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-policy-'))
afterAll(() => rmSync(folder, { recursive: true }))

function terminal() {
  const written = { out: '', err: '' }
  const io: Io = {
    stdout: (text) => void (written.out += text),
    stderr: (text) => void (written.err += text),
    isTerminal: false,
    now: () => 0,
    exit: () => {},
    ask: async () => null,
  }
  return { io, written }
}

function file(text: string): string {
  const path = join(folder, 'my.cedar')
  writeFileSync(path, text)
  return path
}

test('a valid policy is named by its digest, with advice on what a refused host would miss', async () => {
  const { io, written } = terminal()
  const text = '@id("anywhere") permit (principal, action, resource);'
  expect(await runCheck(file(text), {}, io)).toBe(0)
  expect(written.out).toBe(`valid sha256 ${validatePolicy(text).digest}\n  permit anywhere\n`)
  expect(written.err).toMatch(
    /anywhere has no @explain[\s\S]*anywhere has no @remedy[\s\S]*accepts attestation results with warnings/,
  )
})

test('a policy of the library is found by name and needs no advice', async () => {
  const { io, written } = terminal()
  expect(await runCheck('eu-only.cedar', { json: true }, io)).toBe(0)
  expect(JSON.parse(written.out)).toEqual({
    digest: validatePolicy(libraryPolicy('eu-only').text).digest,
    rules: [{ id: 'eu-place-and-seat', effect: 'permit', advice: [] }],
  })
})

test('a policy that permits nothing is valid, with a warning', async () => {
  const { io, written } = terminal()
  const text = '@id("f") @explain("x") @remedy("y") forbid (principal, action, resource) when { context.place.stated };'
  expect(await runCheck(file(text), {}, io)).toBe(0)
  expect(written.err).toBe('warning: it permits nothing: every release is denied\n')
})

test('a policy that a broker would refuse is refused with its place and a hint', async () => {
  const text = '@id("a")\npermit (principal, action == Claviger::Action::"relase", resource);'
  await expect(runCheck(file(text), {}, terminal().io)).rejects.toMatchObject({
    code: 'policy/invalid',
    message: expect.stringMatching(/^line 2, column 30: /),
    detail: { hint: expect.stringContaining('release') },
  })
})

test('a file that is not there, and bytes that are no text', async () => {
  await expect(runCheck(join(folder, 'none.cedar'), {}, terminal().io)).rejects.toMatchObject({
    code: 'policy-command/file',
  })
  writeFileSync(join(folder, 'bytes.cedar'), new Uint8Array([0xff, 0xfe, 0x00]))
  await expect(runCheck(join(folder, 'bytes.cedar'), {}, terminal().io)).rejects.toMatchObject({ code: 'bytes/utf8' })
})

test('the library is listed with what each policy does, and printed to the letter', () => {
  const { io, written } = terminal()
  expect(runLibrary(undefined, {}, io)).toBe(0)
  expect(written.out).toMatch(
    /^any-affirming +Any node .*\ndevelopment +For .*\neu-development +For .*\neu-only +Only nodes .*\n$/,
  )
  const one = terminal()
  expect(runLibrary('development', {}, one.io)).toBe(0)
  expect(one.written.out).toBe(libraryPolicy('development').text)
})
