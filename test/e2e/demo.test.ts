import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as demo from '#cli/demo.js'
import * as receiptCommand from '#cli/receipt.js'
import { testIo } from '#test/e2e/fixtures.js'
import { outside } from '#test/fakes/outside.js'

/** What the recording says, to the letter. */
const sentence = 'Ask not what your country can do for you. Ask what you can do for your country.'

let folder: string
let stateBefore: string | undefined
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-demo-'))
  stateBefore = process.env.XDG_STATE_HOME
  process.env.XDG_STATE_HOME = join(folder, 'state')
})
afterAll(async () => {
  if (stateBefore === undefined) delete process.env.XDG_STATE_HOME
  else process.env.XDG_STATE_HOME = stateBefore
  await rm(folder, { recursive: true, force: true })
})

describe.skipIf(outside('model') === undefined)('the demo', () => {
  test('prints the whole sentence and a card that says NOT HARDWARE, and its receipt verifies', async () => {
    const io = testIo()
    const at = join(folder, 'demo')
    expect(await demo.run({ folder: at }, io), io.err()).toBe(0)
    const [text] = io.out().split('\n')
    expect(text).toBe(sentence)
    expect(io.out()).toContain('SIMULATED SEV-SNP (NOT HARDWARE)')
    expect(io.out()).toContain('0 independent witnesses')
    expect(io.out()).toContain('The receipt verifies offline.')
    // The same node, of one company: good enough for one model and not for the other, and why.
    const [, control] = io.out().split('The same node, asked by moonshine (eu-personal-data)')
    expect(control).toMatch(
      /\nyes: .* would release the key to this node\n[\s\S]*\nno: .* would not release the key to this node\n/,
    )
    expect(control).toContain('third-country-shares: One holder outside the Union may have 24 percent')
    expect(control).toContain('context.company.outsideMaxBp is 10000, needed is at most 2400')
    expect(control!.split('\n').length).toBeLessThan(40)
    expect(io.err()).toContain('NOT HARDWARE: the machine in this demo is simulated')

    // Whoever runs it again has another chain, with keys of its own, in the same state folder.
    expect(await demo.run({ folder: `${at}-again` }, testIo())).toBe(0)

    // Its services are gone: what verifies now does so offline. The verdict names what the demo was.
    const file = join(at, 'receipt.json')
    const trust = join(at, 'trust.json')
    const verdict = testIo()
    expect(await receiptCommand.run({ file, trust, dangerousAllowSimulated: true }, verdict)).toBe(0)
    expect(await receiptCommand.run({ file, trust }, verdict)).toBe(3)
    expect(verdict.out()).toContain('SIMULATED: NOT HARDWARE')

    // The sentence is in the answer alone: the receipt that anyone may be shown commits to it and does not hold it (I10).
    const receipt = await readFile(file, 'utf8')
    expect(receipt).not.toContain('country can do')
    expect(receipt).not.toContain(Buffer.from(sentence).toString('base64').slice(4, 40))
  }, 180_000)

  test('a file that is no recording ends with a failure and prints no card', async () => {
    const io = testIo()
    const audio = join(import.meta.dirname, 'demo.test.ts')
    await expect(demo.run({ folder: join(folder, 'no-audio'), audio }, io)).rejects.toMatchObject({
      code: 'demo/answer',
    })
    expect(io.out()).toBe('')
  }, 180_000)
})
