import { createRateLimit } from '#host/rate-limit.js'
import type { Access, IssuerKeys } from '#keybroker/access/authorize.js'

/** Attempts a minute from one network: a person or a machine asks far less often, and each costs a look into the database. */
const attemptsPerMinute = 300

/** The bound of a running process on networks beside the port that asks issuers; that of a tenant is kept by all processes together. */
export function openAccess(issuers: IssuerKeys, nowMs = () => performance.now()): Access {
  const attempts = createRateLimit({ perMinute: attemptsPerMinute, nowMs })
  let counted = new Map<string, number>()
  return {
    issuers,
    refused(code) {
      counted.set(code, (counted.get(code) ?? 0) + 1)
    },
    takeRefused() {
      const taken = counted
      counted = new Map()
      return taken
    },
    admitAttempt: (network) => attempts.allow(network),
  }
}
