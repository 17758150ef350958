import type { Context, Hono } from 'hono'
import { fromBase64Url } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { literal, object, optional, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB, MiB, policySizeMax } from '#core/limits.js'
import { type Env, readBody } from '#host/http.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import {
  attestationPolicyId,
  type OperatorPolicies,
  type UploadedPolicy,
  wholePolicyId,
  withAttestationPolicy,
  withResourcePolicy,
} from '#keybroker/kbs/policies.js'
import type { KbsPorts } from '#keybroker/kbs/ports.js'
import { isOwnersPath, parseResourcePath, type ResourcePath } from '#keybroker/kbs/resource.js'

const resourceSizeMax = MiB
const done = () => new Response('', { headers: { 'content-type': 'text/xml', 'cache-control': 'no-store' } })
const answer = (value: unknown) =>
  new Response(JSON.stringify(value), {
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  })

const policyText = string({ max: Math.ceil((policySizeMax * 4) / 3), form: /^[A-Za-z0-9_-]*$/ })
const resourcePolicyShape = object({
  policy: policyText,
  // What clients of the protocol do not send: without it the text is Rego, and is for all resources.
  type: optional(string({ max: 20 })),
  policy_id: optional(string({ max: 400 })),
})
const attestationPolicyShape = object({
  policy: policyText,
  type: string({ max: 20 }),
  policy_id: string({ max: 100 }),
})
const referenceValueShape = object({
  version: literal('0.1.0'),
  type: string({ max: 100 }),
  payload: string({ max: 2 * MiB }),
})

async function readMessage<T>(c: Context<Env>, shape: Shape<T>, code: KbsCode, sizeMax: number): Promise<T> {
  try {
    return shape(parseJson(await readBody(c), sizeMax), '')
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('http/')) throw error
    throw new Failure<KbsCode>(code, error.message, { cause: error })
  }
}

function readUploaded(
  sent: Shaped<typeof resourcePolicyShape> | Shaped<typeof attestationPolicyShape>,
  wholeId: string,
): UploadedPolicy {
  const { policy, type = 'rego', policy_id: id = wholeId } = sent
  try {
    return { type, id, bytes: fromBase64Url(policy) }
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/policy-language', `policy: ${error.message}`, { cause: error })
  }
}

/** Where an administrator may write: not into an owner's space, whose keys come with the owner's signature. */
function writablePath(path: ResourcePath): ResourcePath {
  if (isOwnersPath(path)) throw new Failure<KbsCode>('kbs/policy-deny', 'this path belongs to an owner of models')
  return path
}

/** What an administrator of the operator's own resources may do; nothing of it touches a model or an owner. */
export function addKbsAdminRoutes(app: Hono<Env>, prefix: string, ports: KbsPorts): void {
  const admin = (c: Context<Env>) => ports.authoriseAdmin(c.req.header('authorization'))
  const pathOf = (c: Context<Env>) =>
    writablePath(parseResourcePath(new URL(c.req.url).pathname.slice(`${prefix}/resource/`.length)))
  const bodyMax = 2 * policySizeMax + KiB

  app.post('/resource/*', async (c) => {
    await admin(c)
    const path = pathOf(c)
    const resource = await readBody(c)
    if (resource.length === 0 || resource.length > resourceSizeMax) {
      const message = `resource has ${resource.length} bytes, expected 1 to ${resourceSizeMax}`
      throw new Failure<KbsCode>('kbs/resource-size', message)
    }
    await ports.resources.store(path, resource)
    return done()
  })
  app.delete('/resource/*', async (c) => {
    await admin(c)
    await ports.resources.remove(pathOf(c))
    return done()
  })
  app.get('/resource-policy', async (c) => {
    await admin(c)
    const ids = (await ports.policies.load()).resource.map((one) => one.id)
    // The rule that is built in goes by the name that clients know.
    return answer(ids.includes(wholePolicyId) ? ids : [...ids, wholePolicyId])
  })
  const upload = (
    route: string,
    shape: typeof resourcePolicyShape | typeof attestationPolicyShape,
    wholeId: string,
    put: (now: OperatorPolicies, sent: UploadedPolicy, kbsClass: KbsPorts['kbsClass']) => OperatorPolicies,
  ) =>
    app.post(route, async (c) => {
      await admin(c)
      const sent = readUploaded(await readMessage(c, shape, 'kbs/policy-language', bodyMax), wholeId)
      await ports.policies.change((now) => put(now, sent, ports.kbsClass))
      return done()
    })
  upload('/resource-policy', resourcePolicyShape, wholePolicyId, withResourcePolicy)
  upload('/attestation-policy', attestationPolicyShape, attestationPolicyId, withAttestationPolicy)
  app.post('/reference-value', async (c) => {
    await admin(c)
    await readMessage(c, referenceValueShape, 'kbs/reference-values', 2 * MiB)
    throw new Failure<KbsCode>(
      'kbs/reference-values',
      'reference values come in statements that their owner signed; hint: name measurements in an attestation policy, or register a model',
    )
  })
  app.get('/reference-value/:id', async (c) => {
    await admin(c)
    // None was ever stored; for what it does not know the reference server answers this.
    return answer(null)
  })
}
