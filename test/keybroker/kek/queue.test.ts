import { expect, test } from 'vitest'
import { createQueue } from '#keybroker/kek/queue.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

/** A job that ends when it is told to. */
function held<T>(value: T) {
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  return { end, job: () => ended.then(() => value) }
}
const nothing = () => undefined

test('jobs run one after another, and a failure of one is its own', async () => {
  const queue = createQueue({ timeoutMs: 60_000, waitingMax: 8 })
  let running = 0
  const job = async () => {
    expect(++running).toBe(1)
    await new Promise(setImmediate)
    running--
  }
  const failing = queue.run(() => Promise.reject(new Error('mine')), nothing)
  const others = [queue.run(job, nothing), queue.run(job, nothing), queue.run(job, nothing)]
  await expect(failing).rejects.toThrow('mine')
  await Promise.all(others)
})

test('a job that does not return is given up, keeps its place, and what it brings too late is discarded', async () => {
  const queue = createQueue({ timeoutMs: 20, waitingMax: 8 })
  const stuck = held('late')
  const discarded: string[] = []
  const first = queue.run(stuck.job, (late) => void discarded.push(late))
  let began = false
  const second = queue.run(async () => {
    began = true
  }, nothing)
  expect(await codeOfPromise(first)).toBe('kek/pkcs11-timeout')
  expect(await codeOfPromise(second)).toBe('kek/pkcs11-timeout')
  expect(discarded).toEqual([])
  stuck.end()
  await queue.idle()
  expect(discarded).toEqual(['late'])
  expect(began).toBe(false)
  expect(await queue.run(async () => 'next', nothing)).toBe('next')
})

test('more than may wait are refused at once', async () => {
  const queue = createQueue({ timeoutMs: 60_000, waitingMax: 2 })
  const stuck = held(1)
  const first = queue.run(stuck.job, nothing)
  await new Promise(setImmediate) // it began, and waits no more
  const waiting = [queue.run(async () => 2, nothing), queue.run(async () => 3, nothing)]
  expect(await codeOfPromise(queue.run(async () => 4, nothing))).toBe('kek/pkcs11-busy')
  stuck.end()
  expect(await first).toBe(1)
  expect(await Promise.all(waiting)).toEqual([2, 3])
})
