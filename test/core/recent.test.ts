import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Recent } from '#core/recent.js'

test('those that were asked for least recently make room, by number and by cost', () => {
  const dropped: string[] = []
  const few = new Recent<string>({ countMax: 2, costMax: 100 }, (one) => dropped.push(one))
  few.set('a', 'A', 1)
  few.set('b', 'B', 1)
  expect(few.get('a')).toBe('A')
  few.set('c', 'C', 1)
  expect([few.size, dropped, few.get('b'), few.get('a')]).toEqual([2, ['B'], undefined, 'A'])
  few.set('d', 'D', 100)
  expect([few.size, dropped]).toEqual([1, ['B', 'C', 'A']])
})

test('one that costs too much alone is the only one, until the next', () => {
  const one = new Recent<string>({ costMax: 10 })
  one.set('a', 'A', 5)
  one.set('b', 'B', 11)
  expect([one.size, one.get('b')]).toEqual([1, 'B'])
  one.set('c', 'C', 1)
  expect([one.size, one.get('b'), one.get('c')]).toEqual([1, undefined, 'C'])
})

test('whatever is put in: the cost is bounded, each value is held or was dropped, once, and the newest is there', () => {
  const puts = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.nat(12)), { minLength: 1 })
  fc.assert(
    fc.property(puts, (all) => {
      const held = new Map<number, number>()
      const recent = new Recent<number>({ countMax: 3, costMax: 10 }, (n) => expect(held.delete(n)).toBe(true))
      for (const [n, [key, cost]] of all.entries()) {
        held.set(n, cost)
        recent.set(key, n, cost)
        expect(recent.get(key)).toBe(n)
        expect(recent.size).toBe(held.size)
        const sum = [...held.values()].reduce((one, other) => one + other, 0)
        expect(held.size <= 3 && (sum <= 10 || held.size === 1)).toBe(true)
      }
    }),
  )
})
