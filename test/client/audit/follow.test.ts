import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findingsMax } from '#client/audit/findings.js'
import { type FollowOptions, follow } from '#client/audit/follow.js'
import { nobody } from '#client/audit/rules.js'
import { type AuditState, decodeState, encodeState } from '#client/audit/state.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { encodeEntry } from '#core/wire/entries.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { begin, denied, granted, registered, StaticLog, state } from './fixtures.js'

const { key } = await generateSigningKey('Ed25519')
const origin = 'log.example/audit'
const options = (changes: Partial<FollowOptions> = {}): FollowOptions => ({
  trust: { logVkeys: [encodeVkey(makeNoteSigner(origin, 'log', key).verifier)], policy: 'quorum none\n' },
  own: nobody,
  at: begin + 1000,
  stalledAfter: null,
  ...changes,
})
const logOf = (...entries: ConstructorParameters<typeof StaticLog>[2]) => new StaticLog(key, origin, entries)
const codes = ({ findings }: { findings: readonly { code: string }[] }) => findings.map(({ code }) => code)

describe('a log that is followed', () => {
  test('is read from where it was read last, and judged by all that stands before', async () => {
    const log = logOf(...registered, granted('release', 4))
    const first = await follow(log, null, options())
    expect([first.judged, first.tree.treeSize, codes(first)]).toEqual([6, 6, ['notice/tenant']])
    log.leaves.push(encodeEntry(granted('release', 4, { lease: 'other', node: 'other' })))
    const second = await follow(log, decodeState(encodeState(first.state)), options())
    expect([second.judged, codes(second), second.state.convictions]).toEqual([
      1,
      ['audit/nonce-twice'],
      [expect.objectContaining({ code: 'audit/nonce-twice', index: 6 })],
    ])
    const third = await follow(log, second.state, options())
    expect([third.judged, codes(third), third.state.convictions.length]).toEqual([0, [], 1])
  })

  test('over many bundles, in any steps, comes to the same', async () => {
    const entries = Array.from({ length: 700 }, (_, i) => denied(4, { nonce: `n${i}` }))
    const all = logOf(...registered, ...entries)
    const atOnce = await follow(all, null, options())
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 4 }), async (steps) => {
        const log = logOf()
        let state: AuditState | null = null
        for (const step of [...steps, 705]) {
          log.leaves = all.leaves.slice(0, Math.min(705, log.leaves.length + step))
          const run: { state: AuditState } = await follow(log, state, options())
          state = run.state
        }
        expect(fromUtf8(encodeState(state!))).toBe(fromUtf8(encodeState(atOnce.state)))
      }),
      { numRuns: 20 },
    )
  })

  test('a reading that was stopped goes on from there, and forgets nothing that it found', async () => {
    const entries = Array.from({ length: 600 }, (_, i) => denied(4, { nonce: i === 300 ? 'n7' : `n${i}` }))
    const log = logOf(...registered, ...entries)
    const parts: Uint8Array[] = []
    const whole = await follow(log, null, options({ progress: ({ part }) => parts.push(encodeState(part())) }))
    expect(parts).toHaveLength(2)
    log.asked = 0
    const rest = await follow(log, null, options({ part: decodeState(parts[1]!) }))
    expect(log.asked).toBe(1)
    expect([codes(rest), rest.state.convictions]).toEqual([codes(whole), whole.state.convictions])
    // What was read then is not what the tree is made of: all is read again.
    log.leaves[0] = encodeEntry(state('tenant', 1, { at: begin - 1 }))
    const again = await follow(log, null, options({ part: decodeState(parts[1]!) }))
    expect([again.judged, codes(again)]).toEqual([605, codes(whole)])
  })

  test('of nothing but faults, no more is kept than the bound', async () => {
    const log = logOf()
    log.leaves = Array.from({ length: findingsMax.convicting + 100 }, () => utf8('no entry'))
    const run = await follow(log, null, options())
    expect(run.state.convictions).toHaveLength(findingsMax.convicting)
    expect(run.findings.at(-1)).toMatchObject({ code: 'notice/more', message: '100 more findings are not kept' })
  })
})

describe('a log that contradicts itself', () => {
  test('another past under the same size, and under a larger one, is a split view; nothing is learnt of it', async () => {
    const log = logOf(...registered)
    const { state: seen } = await follow(log, null, options())
    log.leaves[3] = encodeEntry(state('policy', 1, { at: begin + 1 }))
    const same = await follow(log, seen, options())
    expect([codes(same), same.judged, same.state.frontier]).toEqual([['audit/split-view'], 0, seen.frontier])
    log.leaves.push(encodeEntry(denied(4)))
    const larger = await follow(log, same.state, options())
    expect([codes(larger), larger.state.convictions.length]).toEqual([['audit/split-view'], 2])
    expect(larger.findings[0]!.message).toContain('5 entries with root')
  })

  test('entries that are not those of its tree', async () => {
    const log = logOf(...registered, denied(4))
    log.signedLeaves = [...log.leaves]
    log.leaves[5] = encodeEntry(granted('release', 4))
    expect(codes(await follow(log, null, options()))).toEqual(['audit/tiles'])
    log.leaves = [...log.signedLeaves]
    const { state: seen } = await follow(log, null, options())
    log.signedLeaves = [...log.leaves, encodeEntry(denied(4, { nonce: 'b' }))]
    log.leaves = [...log.leaves, encodeEntry(denied(4, { nonce: 'c' }))]
    expect(codes(await follow(log, seen, options()))).toEqual(['audit/tiles'])
  })

  test('a tree that is older than one that was seen', async () => {
    const log = logOf(...registered, denied(4))
    const { state: seen } = await follow(log, null, options())
    log.leaves = log.leaves.slice(0, 5)
    expect(codes(await follow(log, seen, options()))).toEqual(['audit/older'])
  })
})

describe('what is no log of the reader’s', () => {
  test('another key, another log than is remembered, a bundle that is too short', async () => {
    const { key: other } = await generateSigningKey('Ed25519')
    expect(await codeOfPromise(follow(new StaticLog(other, origin, registered), null, options()))).toBe(
      'tlog/unknown-log',
    )
    const { state: seen } = await follow(logOf(...registered), null, options())
    expect(await codeOfPromise(follow(logOf(...registered), { ...seen, origin: 'else' }, options()))).toBe(
      'audit-state/other-log',
    )
    const log = logOf(...registered)
    log.tile = async () => new Uint8Array(0)
    expect(await codeOfPromise(follow(log, null, options()))).toBe('audit-tile/width')
  })

  test('what is remembered is read strictly', () => {
    const code = (text: string) => codeOfPromise((async () => decodeState(utf8(text)))())
    return Promise.all([
      expect(code('')).resolves.toBe('audit-state/form'),
      expect(code('{}\n')).resolves.toBe('shape/missing'),
      expect(
        code(`{"type":"claviger/audit-state/v1","origin":"o","size":3,"frontier":[],"checkpoint":null}\n`),
      ).resolves.toBe('tlog/range'),
    ])
  })
})
