import { createSocket, type Socket } from 'node:dgram'

/** How a relay treats datagrams of one direction. */
export interface Way {
  readonly delayMs: number
  readonly jitterMs?: number
  /** of a hundred, in a fixed pattern */
  readonly lost?: number
}
export interface Relay {
  readonly port: number
  /** datagrams that passed, node to landmark and back */
  readonly seen: { readonly kind: number; readonly bytes: Uint8Array; readonly toLandmark: boolean }[]
  close(): void
}

/**
 * A relay before a landmark that holds each datagram for a set time. `onPass` may keep one back or send something instead, and
 * `inject` sends something of its own to the landmark at once: an accomplice who stands beside it.
 */
export async function relayTo(
  landmarkPort: number,
  ways: { readonly there: Way; readonly back: Way },
  onPass: (bytes: Uint8Array, toLandmark: boolean, inject: (bytes: Uint8Array) => void) => readonly Uint8Array[] = (
    bytes,
  ) => [bytes],
): Promise<Relay> {
  const front = createSocket('udp4')
  const behind = createSocket('udp4')
  const seen: Relay['seen'] = []
  let node: { readonly port: number; readonly address: string } | undefined
  let passed = 0
  let isOpen = true
  const pass = (socket: Socket, bytes: Uint8Array, port: number, { delayMs, jitterMs = 0, lost = 0 }: Way): void => {
    passed = (passed + 37) % 100
    if (passed < lost) return
    const wait = delayMs + (jitterMs * passed) / 100
    const go = () => isOpen && socket.send(bytes, port, '127.0.0.1', () => undefined)
    if (wait === 0) go()
    else setTimeout(go, wait)
  }
  const inject = (bytes: Uint8Array) => void behind.send(bytes, landmarkPort, '127.0.0.1', () => undefined)
  front.on('message', (bytes, from) => {
    node = from
    seen.push({ kind: bytes[4]!, bytes, toLandmark: true })
    for (const one of onPass(bytes, true, inject)) pass(behind, one, landmarkPort, ways.there)
  })
  behind.on('message', (bytes) => {
    seen.push({ kind: bytes[4]!, bytes, toLandmark: false })
    if (node !== undefined) for (const one of onPass(bytes, false, inject)) pass(front, one, node.port, ways.back)
  })
  await Promise.all([front, behind].map((one) => new Promise<void>((done) => one.bind(0, '127.0.0.1', done))))
  return {
    port: front.address().port,
    seen,
    close() {
      isOpen = false
      front.close()
      behind.close()
    },
  }
}
