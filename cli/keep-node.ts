import type { RunningNode } from '#cli/start-node.js'

/** A node starts again when keys or engine came to their end, and the broker is asked anew; never after a refusal. */
const restartable = ['session/keyset-expired', 'session/engine']
const restartsMax = 3
const restartWindowMs = 10 * 60_000

/**
 * Keeps a node running at its address, at most three times again within ten minutes.
 *
 * startAgain  another node at this port
 * started     told of each node after the first
 * returns     why it runs no more: the reason of the last node, or what kept another from starting
 */
export async function keepNode(
  first: RunningNode,
  startAgain: (port: number) => Promise<RunningNode>,
  started: (node: RunningNode) => void,
): Promise<unknown> {
  let node = first
  const restarts: number[] = []
  for (;;) {
    const reason = await node.ended
    const now = performance.now()
    const recent = restarts.filter((at) => now - at < restartWindowMs)
    if (!restartable.includes(reason.code) || recent.length >= restartsMax) return reason
    restarts.push(now)
    try {
      node = await startAgain(Number(new URL(node.url).port))
    } catch (error) {
      return error
    }
    started(node)
  }
}
