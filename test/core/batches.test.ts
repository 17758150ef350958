import { describe, expect, test } from 'vitest'
import { inBatches } from '#core/batches.js'

const tick = () => new Promise((resolve) => setImmediate(resolve))

/** Batches that are done one at a time, when they are let through. */
function held(sizeMax = 3) {
  const seen: string[] = []
  const open: (() => void)[] = []
  const take = inBatches<number, number>(async (key, items) => {
    seen.push(`${key} ${items.join(',')}`)
    await new Promise<void>((resolve) => open.push(resolve))
    if (items.includes(13)) throw new Error('all of it')
    return items.map((one) => (one < 0 ? { error: new Error(`not ${one}`) } : { value: one * 2 }))
  }, sizeMax)
  return { take, seen, next: () => open.shift()!() }
}

describe('what comes at the same time is done together', () => {
  test('whoever comes alone waits for nobody, and those who come meanwhile are one batch', async () => {
    const { take, seen, next } = held()
    const first = take('a', 1)
    expect(seen).toEqual(['a 1'])
    const others = [take('a', 2), take('a', 3), take('a', 4), take('a', 5)]
    next()
    expect(await first).toBe(2)
    expect(seen).toEqual(['a 1', 'a 2,3,4'])
    next()
    expect(await Promise.all(others.slice(0, 3))).toEqual([4, 6, 8])
    next()
    expect(await others[3]).toBe(10)
    expect(seen.at(-1)).toBe('a 5')
    // The key is free again.
    const again = take('a', 6)
    expect(seen.at(-1)).toBe('a 6')
    next()
    expect(await again).toBe(12)
  })

  test('keys do not wait for each other', async () => {
    const { take, seen, next } = held()
    const some = [take('a', 1), take('b', 1)]
    expect(seen).toEqual(['a 1', 'b 1'])
    next()
    next()
    expect(await Promise.all(some)).toEqual([2, 2])
  })

  test('an item fails alone, a batch as a whole, and the next one goes on', async () => {
    const { take, next } = held()
    const first = take('a', 1)
    const batch = [take('a', -2), take('a', 3)]
    next()
    await first
    const whole = [take('a', 13)]
    next()
    await expect(batch[0]).rejects.toThrow('not -2')
    expect(await batch[1]).toBe(6)
    await tick()
    const beside = take('a', 4)
    next()
    await expect(whole[0]).rejects.toThrow('all of it')
    next()
    expect(await beside).toBe(8)
  })

  test('an item that the work forgets is told so', async () => {
    const take = inBatches<number, number>(async () => [], 3)
    await expect(take('a', 1)).rejects.toThrow('forgotten')
  })
})
