import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { Finder } from '#test/fakes/finder.js'
import { scanFiles, scanMemory } from '#test/fakes/scan.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-scan-'))
afterAll(() => rmSync(work, { recursive: true }))

/** Its base64 differs between the alphabets in each of the three places, and its hex between the cases. */
const needle = new Uint8Array(32).map((_, i) => [0xfb, 0xef, 0xbe][i % 3]! ^ (i % 5))

describe('the scanner', () => {
  test('finds a key in a living process, raw and spelled', async () => {
    const script = `const b=Buffer.from(process.argv[1].split(','));
      const t=[b.toString('base64url'),b.toString('hex')];process.send('up');setInterval(()=>b[0]+t,1e6)`
    // Handed over in a spelling that nobody looks for, so that its command line is not what is found.
    const given = needle.join(',')
    const child = spawn(process.execPath, ['-e', script, given], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    try {
      await new Promise((resolve) => child.once('message', resolve))
      const found = new Set(scanMemory([child.pid!], { n: needle }).map((one) => one.needle))
      expect([...found].sort()).toEqual(['n base64url', 'n hex', 'n raw'])
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('finds each spelling, wherever the bytes stand in what was spelled', () => {
    const spelled = (before: number, spelling: BufferEncoding) =>
      Buffer.concat([Buffer.alloc(before, 7), needle, Buffer.alloc(5, 9)]).toString(spelling)
    const texts = ['base64', 'base64url'].flatMap((spelling) =>
      [0, 1, 2, 3, 4].map((before) => [spelling, spelled(before, spelling as BufferEncoding)] as const),
    )
    const path = join(work, 'spelled')
    for (const [spelling, text] of [
      ...texts,
      ['base64', Buffer.from(needle).toString('base64')],
      ['base64', Buffer.from(needle).toString('base64').replaceAll('=', '')],
      ['base64url', Buffer.from(needle).toString('base64url')],
      ['hex', Buffer.from(needle).toString('hex')],
      ['HEX', Buffer.from(needle).toString('hex').toUpperCase()],
    ] as const) {
      writeFileSync(path, `{"key":"${text}"}`)
      expect(scanFiles([path], { n: needle }), text).toEqual([{ needle: `n ${spelling}`, where: path, count: 1 }])
    }
    writeFileSync(path, Buffer.from(needle).subarray(1))
    expect(scanFiles([path], { n: needle })).toEqual([])
  })

  test('finds a needle across its windows, in each spelling, and counts it once', () => {
    const raw = Buffer.from(needle)
    const MiB = 1024 * 1024
    const bytes = Buffer.alloc(25 * MiB)
    raw.copy(bytes, 8 * MiB - 16)
    bytes.write(raw.toString('hex'), 16 * MiB - 1)
    bytes.write(raw.toString('base64url'), 24 * MiB - 42)
    const path = join(work, 'windows')
    writeFileSync(path, bytes)
    const spelled = (spelling: string) => ({ needle: `n ${spelling}`, where: path, count: 1 })
    expect(scanFiles([path], { n: needle })).toEqual(['raw', 'hex', 'base64url'].map(spelled))
  })

  test('one pass for many finds what a search for each finds', () => {
    // Few different bytes: patterns that nearly stand there, overlap, and end alike.
    const byte = fc.integer({ min: 0, max: 2 })
    const pattern = fc.array(byte, { minLength: 4, maxLength: 9 })
    fc.assert(
      fc.property(
        fc.array(pattern, { minLength: 1, maxLength: 12 }),
        fc.array(byte, { maxLength: 300 }),
        (all, text) => {
          const patterns = all.map((one) => Uint8Array.from(one))
          const bytes = Buffer.from(text)
          const found: string[] = []
          new Finder(patterns).find(bytes, (number, end) => found.push(`${number} ${end}`))
          const expected = patterns.flatMap((one, number) => {
            const ends: string[] = []
            for (let at = bytes.indexOf(one); at !== -1; at = bytes.indexOf(one, at + 1))
              ends.push(`${number} ${at + one.length}`)
            return ends
          })
          expect(found.sort()).toEqual(expected.sort())
        },
      ),
    )
  })
})
