import { Hono } from 'hono'
import { appraiseEvidence } from '#attest/appraise.js'
import type { AssembleCode } from '#attest/assemble/wanted.js'
import { makeCaches } from '#attest/caches.js'
import { issueEar } from '#attest/ear/issue.js'
import type { RecogniseCode } from '#attest/recognise.js'
import { makeCollateralRoutes } from '#attest/service/collateral-routes.js'
import type { AttestServiceCode } from '#attest/service/failures.js'
import { openApi } from '#attest/service/openapi.js'
import type { AttestRoutesOptions } from '#attest/service/options.js'
import { suppliedEvidence } from '#attest/service/supplied.js'
import {
  answerVerify,
  earInput,
  verifyKeyset,
  verifyRequestShape,
  verifyStatuses,
} from '#attest/service/verify-route.js'
import type { BytesCode } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { JsonCode } from '#core/encoding/json.js'
import { json, object, oneOf, type ShapeCode } from '#core/encoding/shape.js'
import { joseAlgorithm } from '#core/jws.js'
import { KiB, MiB } from '#core/limits.js'
import { bindingShape, reportDataOf } from '#core/wire/binding.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { keysetShape } from '#core/wire/keyset.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { type App, createApp, type Env, limitBody, readJsonBody } from '#host/http.js'
import { inputStatuses } from '#host/http-failures.js'
import type { Log } from '#host/log.js'

/** What is asked of the verifier: evidence, what it must bind, and what the owner accepts. */
const requestShape = object({
  /** where the service has a store of collateral, without it too: see docs/spec/collateral.md */
  evidence: json,
  binding: bindingShape,
  keyset: keysetShape,
  referenceValues: referenceValuesShape,
  tenantClass: oneOf('production', 'development'),
})

/** Failures of the verifier as HTTP statuses, for the application that the routes are mounted in. */
export const attestStatuses: Readonly<
  Record<AttestServiceCode | RecogniseCode | AssembleCode | BytesCode | JsonCode | ShapeCode, number>
> = {
  'attest/unauthorized': 401,
  'attest/keyset': 422,
  'attest/request': 422,
  'attest/evidence': 422,
  'attest/collateral': 422,
  ...verifyStatuses,
  ...inputStatuses,
}

const bodySizeMax = 512 * KiB
/** Evidence of a board of devices, with RIMs and answers on their certificates, is some 700 KiB. */
const verifyBodySizeMax = MiB

/**
 * `POST /v1/attest` (evidence and what it must bind to EAR), `POST /v1/verify` (evidence in any form to EAR and trace),
 * the keys that sign, and `GET /v1/openapi.json`. The caller says what the owner accepts; what the evidence has to carry is rebuilt here from binding and keyset, so that no caller can have an
 * EAR name a key, nonce or audience that the evidence does not bind.
 *
 * Mount them in an application that bounds rate, time and concurrency, and whose table of statuses holds `attestStatuses`.
 */
export function makeAttestRoutes(options: AttestRoutesOptions): Hono<Env> {
  const routes = new Hono<Env>()
  const caches = makeCaches()
  routes.post('/v1/attest', limitBody(bodySizeMax), async (c) => {
    options.authorize(c.req.header('authorization'))
    const request = await readJsonBody(c, requestShape)
    const { binding, keyset } = request
    verifyKeyset(binding, keyset)
    const appraisal = {
      expectedReportData: reportDataOf(binding),
      binding,
      referenceValues: request.referenceValues,
      tenantClass: request.tenantClass,
      at: options.now(),
    }
    const { evidence, anchors, collateral } = await suppliedEvidence(options, request.evidence, evidenceShape)
    const result = await appraiseEvidence(evidence, anchors, appraisal, caches)
    const input = earInput(binding, keyset, options.issuer, options.build)
    const ear = await issueEar(result, input, (await options.keys()).current)
    return c.json({ ear, ...(collateral && { collateral }) }, 200, { 'cache-control': 'no-store' })
  })
  if (options.collateral) routes.route('/', makeCollateralRoutes({ ...options, collateral: options.collateral }))

  routes.post('/v1/verify', limitBody(verifyBodySizeMax), async (c) => {
    options.authorize(c.req.header('authorization'))
    const answer = await answerVerify(await readJsonBody(c, verifyRequestShape), options, caches)
    return c.json(answer, 200, { 'cache-control': 'no-store' })
  })

  for (const path of ['/.well-known/jwks.json', '/v1/.well-known/jwks.json']) {
    routes.get(path, async (c) => {
      const keys = (await options.keys()).publicKeys.map((key) => ({
        ...key,
        kid: thumbprint(key),
        alg: joseAlgorithm(key),
        use: 'sig',
      }))
      return c.json({ keys }, 200, { 'cache-control': 'max-age=300' })
    })
  }

  routes.get('/v1/openapi.json', (c) => c.json(openApi(options.build), 200, { 'cache-control': 'max-age=300' }))
  return routes
}

/** The verifier as an application of its own. */
export function createAttestApp(options: AttestRoutesOptions & { readonly log: Log }): App {
  const limits = { bodySizeMax: verifyBodySizeMax, timeoutMs: 10_000 }
  const app = createApp({ log: options.log, statuses: attestStatuses, limits })
  app.hono.route('/', makeAttestRoutes(options))
  return app
}
