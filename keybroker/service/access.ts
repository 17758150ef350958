import { createRateLimit } from '#host/rate-limit.js'
import type { Access, IssuerKeys } from '#keybroker/access/authorize.js'

/** Attempts a minute from one network: a person or a machine asks far less often, and each costs a look into the database. */
const attemptsPerMinute = 300

/** The bounds of a running broker beside the port that asks issuers. Each table of names has a bound of its own. */
export function openAccess(issuers: IssuerKeys, nowMs = () => performance.now()): Access {
  const attempts = createRateLimit({ perMinute: attemptsPerMinute, nowMs })
  const tenants = createRateLimit({ perMinute: 0, nowMs })
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
    waitForRequest: (tenant, perMinute) => tenants.wait(tenant, perMinute),
  }
}
