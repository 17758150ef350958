import { describe, expect, test } from 'vitest'
import { Auditor, nobody } from '#client/audit/rules.js'
import { newState } from '#client/audit/state.js'
import { utf8 } from '#core/bytes/bytes.js'
import { type Entry, encodeEntry } from '#core/wire/entries.js'
import { begin, convicted, denied, digest, granted, judged, registered, restored, state, used } from './fixtures.js'

const whole: readonly Entry[] = [
  ...registered,
  denied(4, { nonce: 'a' }),
  granted('release', 4, { nonce: 'b' }),
  state('policy', 2), // 7
  granted('renewal', 7, { nonce: 'c', at: begin + 300 }),
  state('tenant', 1, { tenant: 'other' }), // 9
  state('registration', 1), // 10: of another model
  state('trust', 2), // 11
  granted('release', 11, { nonce: 'd', lease: 'second', node: 'second' }),
  used('second'),
  granted('release', 11, { nonce: 'e', at: begin + 310, expiresAt: begin + 900 }), // asked for again
  used(),
]

describe('what honest brokers write', () => {
  test('convicts nobody', () => {
    expect(convicted(whole)).toEqual([])
    expect(judged(whole)).toEqual(['notice/tenant 0', 'notice/tenant 9'])
  })

  test('a restored database, whose lost changes are said again before anything is decided', () => {
    const lost = [...registered, state('policy', 2), denied(5, { nonce: 'a' })]
    const again = [restored(7, 5, 2, 1), state('policy', 2), granted('release', 8, { nonce: 'b' }), state('policy', 3)]
    expect(convicted([...lost, ...again])).toEqual([])
    // Where it does not say all that is missing, what is said again may be, and nothing has to.
    const some = [restored(7, 4, 2, 1), granted('release', 5, { nonce: 'b' }), state('policy', 2), state('policy', 3)]
    expect(convicted([...lost, ...some])).toEqual([])
  })
})

describe('what no honest broker writes', () => {
  const cases: readonly (readonly [string, string, readonly (Entry | Uint8Array)[]])[] = [
    ['a leaf that is no entry', 'audit/entry 5', [...registered, utf8('{"kind":"release"}')]],
    ['an entry from the future', 'audit/time 5', [...registered, state('policy', 2, { at: begin + 2000 })]],
    ['a decision for an owner that nobody knows', 'audit/tenant 0', [denied(4)]],
    ['an owner that begins with a policy', 'audit/tenant 0', [state('policy', 1)]],
    ['a change left out', 'audit/sequence 5', [...registered, state('policy', 3)]],
    ['a change twice', 'audit/sequence 5', [...registered, state('trust', 1)]],
    [
      'more models at a version than were at the one before',
      'audit/sequence 6',
      [...registered, state('policy', 2), state('policy', 2)],
    ],
    [
      'a decision that did not hear of the last change',
      'audit/state-index 6',
      [...registered, state('policy', 2), granted('release', 4)],
    ],
    [
      'a decision by a change that is another owner’s',
      'audit/state-index 6',
      [...registered, state('tenant', 1, { tenant: 'other' }), granted('release', 5)],
    ],
    ['a denial that became a release', 'audit/nonce-twice 6', [...registered, denied(4), granted('release', 4)]],
    [
      'a lease of two nodes',
      'audit/lease-twice 6',
      [...registered, granted('release', 4), granted('release', 4, { nonce: 'b', node: 'b' })],
    ],
    [
      'a lease that is renewed for another node',
      'audit/lease-twice 6',
      [...registered, granted('release', 4), granted('renewal', 4, { nonce: 'b', node: 'b' })],
    ],
    [
      'a release again, for longer',
      'audit/lease-twice 6',
      [...registered, granted('release', 4), granted('release', 4, { nonce: 'b', expiresAt: begin + 601 })],
    ],
    [
      'a release again, of another version',
      'audit/lease-twice 6',
      [...registered, granted('release', 4), granted('release', 4, { nonce: 'b', version: 2 })],
    ],
    ['a renewal of a lease that nobody released', 'audit/lease-unknown 5', [...registered, granted('renewal', 4)]],
    ['a last word on a lease that nobody released', 'audit/lease-unknown 5', [...registered, used()]],
    [
      'a last word on another owner’s lease',
      'audit/lease-unknown 7',
      [
        ...registered,
        granted('release', 4),
        state('tenant', 1, { tenant: 'other' }),
        used('lease', { tenant: 'other' }),
      ],
    ],
    ['a second last word', 'audit/lease-over 7', [...registered, granted('release', 4), used(), used()]],
    [
      'a renewal behind the last word',
      'audit/lease-over 7',
      [...registered, granted('release', 4), used(), granted('renewal', 4, { nonce: 'b' })],
    ],
    [
      'a renewal behind the end',
      'audit/lease-over 6',
      [...registered, granted('release', 4), granted('renewal', 4, { nonce: 'b', at: begin + 661 })],
    ],
    [
      'a lease that ends before it begins',
      'audit/lease-over 5',
      [...registered, granted('release', 4, { expiresAt: begin })],
    ],
    ['more entries lost than there were', 'audit/rollback 5', [...registered, restored(5, 3, 3, 1)]],
    ['entries lost that come later', 'audit/rollback 5', [...registered, restored(6, 5, 1, 0)]],
    [
      'a decision before what was lost came again',
      'audit/decided-behind 7',
      [...registered, state('policy', 2), restored(6, 5, 1, 1), granted('release', 4)],
    ],
  ]
  test.each(cases)('%s', (_, code, entries) => {
    expect(convicted(entries)).toEqual([code])
  })

  test('the control: without its last entry each of them convicts nobody', () => {
    for (const [name, , entries] of cases) expect([name, convicted(entries.slice(0, -1))]).toEqual([name, []])
  })
})

test('its owner is told what happens to its keys, and nobody else', () => {
  const own = { tenants: new Set([digest('acme')]), policies: new Set([digest('other policy')]) }
  const found = judged(whole, own)
  expect(found.filter((one) => one.startsWith('notice/change'))).toHaveLength(8)
  expect(found.filter((one) => /notice\/(denial|new-node)/.test(one))).toEqual([
    'notice/denial 5',
    'notice/new-node 6',
    'notice/new-node 12',
  ])
  expect(found.filter((one) => one.startsWith('notice/policy'))).toHaveLength(4)
  expect(found.filter((one) => one.startsWith('notice/simulated'))).toHaveLength(4)
  const named = judged(whole, { ...own, policies: new Set([digest('policy')]) })
  expect(named.filter((one) => one.startsWith('notice/policy'))).toEqual([])
  const others = judged(whole, { tenants: new Set([digest('other')]), policies: null })
  expect(others).toEqual(['notice/tenant 0', 'notice/tenant 9', 'notice/change 9'])
})

test('a denial that happens to no honest machine is an alarm to every reader, and convicts nobody', () => {
  const reasons = ['broker/device-leased', 'eu-only', 'broker/place-contradicted', 'claviger/place-contradicted']
  const entries = [...registered, denied(4, { reasons }), denied(4, { nonce: 'b', reasons: ['broker/node-limit'] })]
  expect(judged(entries)).toEqual(['notice/tenant 0', ...Array.from({ length: 3 }, () => 'notice/alarm 5')])
  const auditor = new Auditor(newState('log.example/audit'), nobody, begin)
  const found = entries.flatMap((entry, index) => auditor.judge(index, encodeEntry(entry)))
  const [, device, before, now] = found.map(({ message }) => message)
  expect(device).toContain('by broker/device-leased: evidence of one device was presented by two nodes')
  expect([before, now].map((one) => one?.split(': ')[0])).toEqual([
    expect.stringMatching(/denied by broker\/place-contradicted$/),
    expect.stringMatching(/denied by claviger\/place-contradicted$/),
  ])
})
