/** A promise that others settle. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(reason: unknown): void
}

/** A new one; a rejection that nobody waits for is no unhandled one. */
export function defer<T>(): Deferred<T> {
  const parts: Partial<Deferred<T>> = {}
  const promise = new Promise<T>((resolve, reject) => Object.assign(parts, { resolve, reject }))
  promise.catch(() => undefined) // whoever waits for it hears of it; nobody has to
  return Object.assign(parts as Deferred<T>, { promise })
}
