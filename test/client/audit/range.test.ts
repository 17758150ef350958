import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RangeOptions, readSince } from '#client/audit/range.js'
import { utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { encodeEntry } from '#core/wire/entries.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { begin, denied, registered, StaticLog } from './fixtures.js'

const { key } = await generateSigningKey('Ed25519')
const origin = 'log.example/range'
const day = 86_400
const options = (changes: Partial<RangeOptions> = {}): RangeOptions => ({
  trust: { logVkeys: [encodeVkey(makeNoteSigner(origin, 'log', key).verifier)], policy: 'quorum none\n' },
  at: begin + 10_000 * day,
  since: 0,
  entriesMax: 1_000_000,
  keep: () => true,
  ...changes,
})
/** One entry an hour, after those of a registration. */
const hourly = (count: number) =>
  Array.from({ length: count }, (_, i) => denied(4, { nonce: `n${i}`, at: begin + (i + 1) * 3600 }))
const logOf = (count: number) => new StaticLog(key, origin, [...registered, ...hourly(count)])

describe('the end of a log', () => {
  test('of any length is read back to any time, and is that of its tree', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1100 }), fc.integer({ min: 0, max: 1200 }), async (count, hours) => {
        const log = logOf(count)
        const since = begin + hours * 3600
        const { tree, from, isWhole, entries, unreadable } = await readSince(log, options({ since }))
        expect([tree.treeSize, isWhole, unreadable]).toEqual([count + 5, true, 0])
        expect(from % 256).toBe(0)
        expect(entries.map(({ index }) => index)).toEqual(Array.from({ length: count + 5 - from }, (_, i) => from + i))
        const wanted = Math.max(0, count - Math.max(0, hours - 1))
        expect(entries.filter(({ entry }) => entry.kind === 'denial' && entry.at >= since)).toHaveLength(wanted)
      }),
      { numRuns: 25 },
    )
  })

  test('is not read further back than it has to be, and says where its bound ended it', async () => {
    const log = logOf(2000)
    const back = await readSince(log, options({ since: begin + 1990 * 3600 }))
    expect([back.from, back.isWhole]).toEqual([1536, true])
    const bound = await readSince(log, options({ entriesMax: 300, keep: ({ kind }) => kind === 'state' }))
    expect([bound.from, bound.isWhole, bound.entries]).toEqual([1536, false, []])
    expect((await readSince(logOf(0), options())).entries.map(({ entry }) => entry.kind)).toContain('state')
  })

  test('with one entry changed, left out, put in or of another order is refused, wherever it stands', async () => {
    const whole = logOf(700)
    const since = begin + 600 * 3600
    for (const change of [
      (leaves: Uint8Array[]) => leaves.splice(600, 1, encodeEntry(denied(4, { nonce: 'other' }))),
      (leaves: Uint8Array[]) => leaves.splice(704, 1, encodeEntry(denied(4, { nonce: 'last' }))),
      (leaves: Uint8Array[]) => leaves.splice(520, 2, leaves[521]!, leaves[520]!),
    ]) {
      const log = logOf(0)
      log.signedLeaves = whole.leaves
      log.leaves = [...whole.leaves]
      change(log.leaves)
      expect(await codeOfPromise(readSince(log, options({ since })))).toBe('audit-range/tiles')
    }
    const short = logOf(0)
    short.signedLeaves = whole.leaves
    short.leaves = whole.leaves.slice(0, -1)
    expect(await codeOfPromise(readSince(short, options({ since })))).toBe('audit-range/width')
    const foreign = { ...options().trust, logVkeys: [] }
    expect(await codeOfPromise(readSince(whole, options({ trust: foreign })))).toBe('tlog/unknown-log')
  })

  test('a leaf that is no entry is counted, and hides nothing', async () => {
    const log = logOf(3)
    log.leaves.push(utf8('no entry'))
    const { entries, unreadable } = await readSince(log, options())
    expect([entries.length, unreadable]).toEqual([8, 1])
  })
})
