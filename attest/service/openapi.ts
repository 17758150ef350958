import { forms } from '#attest/recognise.js'
import { catalogue } from '#attest/steps.js'
import { tiers, vectorNames } from '#core/wire/trust-vector.js'

/** The part of JSON Schema 2020-12 that this document uses. */
export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly (string | null)[]
  readonly const?: string
  readonly pattern?: string
  readonly maxLength?: number
  readonly minimum?: number
  readonly items?: Schema
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
  readonly requestBody?: { readonly required: true; readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>

/** An OpenAPI 3.1 document, as far as this one goes. */
export interface OpenApi {
  readonly openapi: '3.1.0'
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<'get' | 'post', Operation>>>>>
  readonly components: {
    readonly securitySchemes: Readonly<Record<string, Readonly<Record<string, string>>>>
    readonly schemas: Readonly<Record<string, Schema>>
  }
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const text = (description: string, more: Schema = {}): Schema => ({ type: 'string', description, ...more })
const hexOf = (bytes: number, description: string): Schema => text(description, { pattern: `^[0-9a-f]{${2 * bytes}}$` })
const oneOf = (values: readonly string[], description: string): Schema => ({
  type: 'string',
  enum: values,
  description,
})
/** Every member must be there, and no other may be. */
const exactly = (properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
})
const listOf = (items: Schema, description: string, maxItems?: number): Schema => ({
  type: 'array',
  items,
  description,
  ...(maxItems === undefined ? {} : { maxItems }),
})

const evidence: Schema = {
  type: 'object',
  description: 'evidence of one machine, of devices, or of both; docs/spec/evidence.md has the members of each kind',
  properties: { kind: oneOf([...Object.keys(catalogue), 'composite'].sort(), 'which kind it is') },
  required: ['kind'],
}
const document = (page: string): Schema => ({ type: 'object', description: `as docs/spec/${page} has it` })
const tenantClass = oneOf(['production', 'development'], 'simulated evidence never satisfies a production tenant')

const step: Schema = exactly({
  id: text('stable; docs/spec/checks.md lists all'),
  document: text('the specification, with its revision'),
  section: text('the title of its section'),
  expected: text('what has to be true'),
  found: text('what was found, what the failure says, or why the step was skipped'),
  verdict: oneOf(['pass', 'fail', 'skip'], 'a skip is never a pass'),
  warning: { type: 'boolean', description: 'passed, with something known to be weak' },
  code: { type: ['string', 'null'], description: 'of the failure that ended the verification here' },
  hint: text('what can be done about it; empty where nothing is wrong'),
})

const verifyRequest: Schema = exactly(
  {
    evidence: ref('Evidence'),
    raw: exactly({
      evidence: text('bytes as a device gave them out, base64'),
      collateral: listOf(
        exactly({ name: text('of the file', { maxLength: 200 }), content: text('base64') }),
        'what lies beside it: certificates, CRLs, documents of the vendor, told apart by content',
        64,
      ),
    }),
    binding: document('node-document.md'),
    keyset: document('node-document.md'),
    reportData: hexOf(64, 'the 64 bytes that the evidence has to carry'),
    nonce: text('the nonce that a vTPM, GPU or Nitro enclave took as it is, hex', { pattern: '^([0-9a-f]{2})*$' }),
    referenceValues: document('evidence.md'),
    tenantClass,
  },
  ['evidence', 'raw', 'binding', 'keyset', 'reportData', 'nonce', 'referenceValues'],
)

const verifyAnswer: Schema = exactly({
  accepted: { type: 'boolean', description: 'every step passed, on hardware' },
  complete: { type: 'boolean', description: 'every step passed: no failure and no skip' },
  ear: { type: ['string', 'null'], description: 'the signed attestation result, compact JWS; docs/spec/ear.md' },
  earWithheld: { type: ['string', 'null'], description: 'why there is none' },
  form: oneOf(Object.keys(forms), 'what the evidence was recognised as'),
  notes: listOf({ type: 'string' }, 'what was cut away or decoded'),
  collateral: {
    type: ['object', 'null'],
    description: 'what of its collateral did not come along, as docs/spec/collateral.md has it; null without a store',
  },
  kind: oneOf([...Object.keys(catalogue), 'composite'].sort(), 'of the evidence'),
  platform: oneOf(['hardware', 'NOT HARDWARE', 'unverified'], 'unverified when verification failed'),
  status: oneOf([...tiers], 'the worst tier of the vector; release nothing on none and contraindicated'),
  vector: exactly(Object.fromEntries(vectorNames.map((name) => [name, { type: 'integer' }]))),
  failure: { type: ['string', 'null'], description: 'code of the failure that ended the verification' },
  skipped: listOf({ type: 'string' }, 'steps that were left out because nothing was sent to compare with'),
  at: { type: 'integer', minimum: 0, description: 'the time of the appraisal, Unix seconds' },
  policy: text('the appraisal policy'),
  digests: exactly({
    policy: hexOf(32, 'SHA-256 of its canonical JSON'),
    referenceValues: hexOf(32, 'the same of what was compared with'),
    collateral: hexOf(32, 'the same of what the vendor signed'),
    evidence: hexOf(32, 'the same of the evidence'),
  }),
  signatures: exactly({
    evidence: {
      type: 'integer',
      minimum: 0,
      description: 'of the machine and its devices: verified for every request',
    },
    vendor: {
      type: 'integer',
      minimum: 0,
      description: 'of certificates, lists and collateral that were not known yet',
    },
  }),
  steps: listOf(ref('Step'), 'the trace: steps of the verification, then comparisons, in order'),
  claims: { type: ['object', 'null'], description: 'what the evidence says; null when verification failed' },
})

const problem: Schema = {
  type: 'object',
  description: 'RFC 9457, with the code of the failure',
  properties: {
    type: text('URI'),
    title: text('title'),
    status: { type: 'integer' },
    code: text('area/reason'),
    detail: text('words'),
  },
  required: ['code', 'status'],
}

const jwks: Schema = exactly({
  keys: listOf({ type: 'object', required: ['kty', 'kid', 'alg', 'use'] }, 'keys whose signatures count, newest first'),
})

const json = (schema: Schema): Content => ({ 'application/json': { schema } })
const problems = (...statuses: readonly number[]) =>
  Object.fromEntries(
    statuses.map((status) => [
      String(status),
      { description: 'refused, with a code', content: { 'application/problem+json': { schema: ref('Problem') } } },
    ]),
  )

const writing = (operationId: string, summary: string, request: string, answer: Schema): Operation => ({
  operationId,
  summary,
  security: [{ token: [] }],
  requestBody: { required: true, content: json(ref(request)) },
  responses: {
    '200': {
      description: 'a verdict, whatever it is: evidence that is bad is a normal outcome',
      content: json(answer),
    },
    ...problems(400, 401, 413, 415, 422, 429, 503),
  },
})
const reading = (operationId: string, summary: string, answer: Schema): { readonly get: Operation } => ({
  get: {
    operationId,
    summary,
    security: [],
    responses: { '200': { description: summary, content: json(answer) }, ...problems(429, 503) },
  },
})

/** The document of the verifier's routes. A test compares it with the routes themselves and with what they answer. */
export function openApi(build: string): OpenApi {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Claviger verifier',
      version: build,
      description: 'Evidence of TEEs to signed attestation results (RFC 9334, EAR), with the trace of every step.',
    },
    paths: {
      '/v1/attest': {
        post: writing(
          'attest',
          'evidence that answers a challenge of ours, to an EAR',
          'AttestRequest',
          exactly({ ear: text('compact JWS') }),
        ),
      },
      '/v1/verify': {
        post: writing(
          'verify',
          'evidence in any form, to verdict, trace and EAR',
          'VerifyRequest',
          ref('VerifyAnswer'),
        ),
      },
      '/.well-known/jwks.json': reading('keys', 'the keys that sign results', ref('Keys')),
      '/v1/.well-known/jwks.json': reading('keysV1', 'the same', ref('Keys')),
      '/v1/openapi.json': reading('openapi', 'this document', { type: 'object' }),
    },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Evidence: evidence,
        AttestRequest: exactly({
          evidence: ref('Evidence'),
          binding: document('node-document.md'),
          keyset: document('node-document.md'),
          referenceValues: document('evidence.md'),
          tenantClass,
        }),
        VerifyRequest: verifyRequest,
        VerifyAnswer: verifyAnswer,
        Step: step,
        Keys: jwks,
        Problem: problem,
      },
    },
  }
}
