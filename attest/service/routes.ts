import { Hono } from 'hono'
import type { Anchors } from '#attest/anchors.js'
import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import type { Authorize } from '#attest/service/authorize.js'
import type { AttestServiceCode } from '#attest/service/failures.js'
import type { KeySet } from '#attest/service/keys.js'
import type { BytesCode } from '#core/bytes/bytes.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { JsonCode } from '#core/encoding/json.js'
import { object, oneOf, type ShapeCode } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { joseAlgorithm } from '#core/jws.js'
import { KiB } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { bindingShape, reportDataOf } from '#core/wire/binding.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { keysetDigest, keysetShape, releaseKeyThumbprint } from '#core/wire/keyset.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { type App, createApp, type Env, limitBody, readJsonBody } from '#host/http.js'
import { inputStatuses } from '#host/http-failures.js'
import type { Log } from '#host/log.js'

/** What is asked of the verifier: evidence, what it must bind, and what the owner accepts. */
const requestShape = object({
  evidence: evidenceShape,
  binding: bindingShape,
  keyset: keysetShape,
  referenceValues: referenceValuesShape,
  tenantClass: oneOf('production', 'development'),
})

/** Failures of the verifier as HTTP statuses, for the application that the routes are mounted in. */
export const attestStatuses: Readonly<Record<AttestServiceCode | BytesCode | JsonCode | ShapeCode, number>> = {
  'attest/unauthorized': 401,
  'attest/keyset': 422,
  ...inputStatuses,
}

export interface AttestRoutesOptions {
  readonly issuer: string
  readonly build: string
  /** asked for each time, so that a key that was rolled or retired counts from the next request on */
  readonly keys: () => Promise<KeySet>
  /** asked for each time: owners of development tenants may name roots while the service runs */
  readonly anchors: () => Promise<Anchors>
  readonly authorize: Authorize
  readonly now: () => UnixSeconds
}

const bodySizeMax = 512 * KiB

/**
 * `POST /v1/attest` (evidence and what it must bind to EAR) and `GET /.well-known/jwks.json`. The caller says what the
 * owner accepts; what the evidence has to carry is rebuilt here from binding and keyset, so that no caller can have an
 * EAR name a key, nonce or audience that the evidence does not bind.
 *
 * Mount them in an application that bounds rate, time and concurrency, and whose table of statuses holds `attestStatuses`.
 */
export function makeAttestRoutes(options: AttestRoutesOptions): Hono<Env> {
  const routes = new Hono<Env>()
  routes.post('/v1/attest', limitBody(bodySizeMax), async (c) => {
    options.authorize(c.req.header('authorization'))
    const request = await readJsonBody(c, requestShape)
    const { binding, keyset } = request
    const digest = keysetDigest(keyset)
    if (digest !== binding.keyset_digest)
      throw new Failure<AttestServiceCode>(
        'attest/keyset',
        `keyset is ${digest}, binding names ${binding.keyset_digest}`,
      )
    const result = await appraiseEvidence(request.evidence, await options.anchors(), {
      expectedReportData: reportDataOf(binding),
      binding,
      referenceValues: request.referenceValues,
      tenantClass: request.tenantClass,
      at: options.now(),
    })
    const input = {
      issuer: options.issuer,
      audience: binding.audience,
      nonce: binding.nonce,
      id: toBase64Url(randomBytes(16)),
      keyThumbprint: releaseKeyThumbprint(keyset),
      keysetDigest: digest,
      build: options.build,
    }
    const ear = await issueEar(result, input, (await options.keys()).current)
    return c.json({ ear }, 200, { 'cache-control': 'no-store' })
  })

  routes.get('/.well-known/jwks.json', async (c) => {
    const keys = (await options.keys()).publicKeys.map((key) => ({
      ...key,
      kid: thumbprint(key),
      alg: joseAlgorithm(key),
      use: 'sig',
    }))
    return c.json({ keys }, 200, { 'cache-control': 'max-age=300' })
  })
  return routes
}

/** The verifier as an application of its own. */
export function createAttestApp(options: AttestRoutesOptions & { readonly log: Log }): App {
  const limits = { bodySizeMax, timeoutMs: 10_000 }
  const app = createApp({ log: options.log, statuses: attestStatuses, limits })
  app.hono.route('/', makeAttestRoutes(options))
  return app
}
