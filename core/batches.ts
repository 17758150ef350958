/** What became of one item of a batch. */
export type Done<R> = { readonly value: R } | { readonly error: unknown }

interface Waiting<T, R> {
  readonly item: T
  resolve(value: R): void
  reject(error: unknown): void
}

/**
 * A function that does together what comes for one key at the same time: what comes while a batch of its key is under way waits for
 * the next one, and whoever comes alone waits for nobody.
 *
 * work     what becomes of each item of a batch, in their order; when it throws, every item of the batch gets that error
 * sizeMax  items of a batch; those that came first go first
 */
export function inBatches<T, R>(
  work: (key: string, items: readonly T[]) => Promise<readonly Done<R>[]>,
  sizeMax: number,
): (key: string, item: T) => Promise<R> {
  /** by key, as long as a batch of it is under way */
  const waiting = new Map<string, Waiting<T, R>[]>()
  async function run(key: string, queue: Waiting<T, R>[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, sizeMax)
      try {
        const done = await work(
          key,
          batch.map((one) => one.item),
        )
        for (const [i, one] of batch.entries()) settle(one, done[i])
      } catch (error) {
        for (const one of batch) one.reject(error)
      }
    }
    waiting.delete(key)
  }
  return (key, item) =>
    new Promise((resolve, reject) => {
      const one = { item, resolve, reject }
      const queue = waiting.get(key)
      if (queue !== undefined) {
        queue.push(one)
        return
      }
      const started = [one]
      waiting.set(key, started)
      void run(key, started)
    })
}

function settle<T, R>(one: Waiting<T, R>, done: Done<R> | undefined): void {
  if (done !== undefined && 'value' in done) one.resolve(done.value)
  else one.reject(done?.error ?? new Error('an item of a batch was forgotten'))
}
