import type { Hono } from 'hono'
import { approvalRequestShape, cancellationRequestShape } from '#core/wire/owner-query.js'
import { apiVersion } from '#core/wire/release.js'
import type { Env } from '#host/http.js'
import { acceptApproval, cancelProposal } from '#keybroker/approvals/settle.js'
import type { Broker } from '#keybroker/broker.js'
import { json, readRequest } from '#keybroker/service/requests.js'

/** Agreeing to what an owner proposed, and calling it off. Who signed is what counts; whoever carries it does not. */
export function mountApprovals(routes: Hono<Env>, broker: Broker): void {
  routes.post('/v1/approvals', async (c) => {
    const { approval } = await readRequest(c, approvalRequestShape)
    return json(c, { version: apiVersion, ...(await acceptApproval(broker, approval)) })
  })
  routes.post('/v1/cancellations', async (c) => {
    const { cancellation } = await readRequest(c, cancellationRequestShape)
    await cancelProposal(broker, cancellation)
    return json(c, { version: apiVersion })
  })
}
