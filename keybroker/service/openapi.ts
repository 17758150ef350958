import { apiVersion } from '#core/wire/release.js'
import { kbsVersion, teeNames } from '#keybroker/kbs/messages.js'

/** A schema of JSON Schema 2020-12. */
export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly string[]
  readonly pattern?: string
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>
interface Response {
  readonly description: string
  readonly content?: Content
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: Schema }>>
}
export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: 'path'
    readonly required: true
    readonly schema: Schema
  }[]
  readonly requestBody?: { readonly required: true; readonly content: Content }
  readonly responses: Readonly<Record<string, Response>>
}
type Method = 'get' | 'post' | 'delete'

/** An OpenAPI 3.1 document, as far as this one goes. */
export interface OpenApi {
  readonly openapi: '3.1.0'
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<Method, Operation>>>>>
  readonly components: {
    readonly securitySchemes: Readonly<Record<string, Readonly<Record<string, string>>>>
    readonly schemas: Readonly<Record<string, Schema>>
  }
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const text = (description: string, more: Schema = {}): Schema => ({ type: 'string', description, ...more })
/** Every member but those that are optional must be there, and no other may be. */
const exactly = (properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
})
const json = (schema: Schema): Content => ({ 'application/json': { schema } })

/** Who may ask: anybody, whoever has the admin token, an attested guest, or an identity of an owner's list. */
const security = {
  anybody: [],
  admin: [{ admin: [] }],
  guest: [{ session: [] }, { passport: [] }],
  identity: [{ identity: [] }],
  identityOrAdmin: [{ identity: [] }, { admin: [] }],
  identityOrQuery: [{}, { identity: [] }],
} as const

type Row = readonly [
  method: Method,
  path: string,
  operationId: string,
  summary: string,
  who: keyof typeof security,
  members: readonly string[] | null,
]

/** The broker's own API: each body has `version` and these members, in the forms of docs/spec. */
const rows: readonly Row[] = [
  ['get', '/v1/broker', 'broker', 'the broker’s signed document', 'anybody', null],
  [
    'post',
    '/v1/broker/evidence',
    'brokerEvidence',
    'the document with evidence that answers a nonce',
    'anybody',
    ['nonce'],
  ],
  ['get', '/v1/broker/openapi.json', 'openapi', 'this document', 'anybody', null],
  ['get', '/v1/owners/{owner}/trust', 'trust', 'an owner’s trust statement', 'anybody', null],
  ['post', '/v1/challenges', 'challenge', 'a nonce to answer with evidence', 'anybody', ['model', 'renewal']],
  ['post', '/v1/releases', 'release', 'evidence to a key, its lease and log proof', 'anybody', release()],
  ['post', '/v1/renewals', 'renew', 'fresh evidence to a longer lease', 'anybody', release()],
  ['post', '/v1/beats', 'beat', 'whether a lease still stands', 'anybody', ['lease', 'nonce']],
  ['post', '/v1/finals', 'final', 'the last word of a counter', 'anybody', ['keyset', 'counter']],
  ['post', '/v1/tenants', 'tenant', 'takes an owner in', 'admin', ['tenant']],
  ['post', '/v1/statements', 'statement', 'a statement that its owner signed', 'anybody', ['kind', 'statement']],
  [
    'post',
    '/v1/models',
    'register',
    'a model, by what its owner signed',
    'anybody',
    ['trust', 'registration', 'policy', 'referenceValues', 'wrapped'],
  ],
  ['post', '/v1/queries', 'query', 'a question that its owner signed', 'anybody', ['query']],
  ['get', '/v1/bundles/{entry}', 'bundle', 'an entry with what it was made of', 'admin', null],
  ['post', '/v1/approvals', 'approve', 'agrees to a proposal', 'anybody', ['approval']],
  ['post', '/v1/cancellations', 'cancel', 'calls a proposal off', 'anybody', ['cancellation']],
  ['post', '/v1/qualify', 'qualify', 'whether a node would get a key', 'identityOrQuery', ['request', 'query']],
  ['get', '/v1/tenants/{tenant}/access', 'access', 'who one is', 'identity', null],
  ['get', '/v1/tenants/{tenant}/statements', 'statements', 'the statements in force', 'identity', null],
  ['get', '/v1/tenants/{tenant}/leases', 'leases', 'the leases that run', 'identityOrAdmin', null],
  ['get', '/v1/tenants/{tenant}/usage', 'usage', 'inferences used and allowed', 'identity', null],
  ['get', '/v1/tenants/{tenant}/bundles/{entry}', 'tenantBundle', 'an entry of one’s own tenant', 'identity', null],
]

function release(): readonly string[] {
  return 'requestId binding evidence keyset config modelVersion manifestDigest host lease'.split(' ')
}

const parametersOf = (path: string) => {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1]!)
  const schema: Schema = { type: 'string' }
  return names.length === 0
    ? {}
    : { parameters: names.map((name) => ({ name, in: 'path', required: true, schema }) as const) }
}

function refusals(kind: 'Problem' | 'KbsError', statuses: readonly number[]): Readonly<Record<string, Response>> {
  const type = kind === 'Problem' ? 'application/problem+json' : 'application/json'
  return Object.fromEntries(
    statuses.map((status) => [
      String(status),
      { description: 'refused, with a code', content: { [type]: { schema: ref(kind) } } },
    ]),
  )
}

function brokerOperation([method, path, operationId, summary, who, members]: Row): Operation {
  const schema = exactly({ version: ref('Version'), ...Object.fromEntries((members ?? []).map((name) => [name, {}])) })
  const page = { type: 'object', description: 'as docs/spec/broker-api.md has it' } as const
  return {
    operationId,
    summary,
    security: security[who],
    ...parametersOf(path),
    ...(method === 'post' ? { requestBody: { required: true, content: json(schema) } } : {}),
    responses: {
      '200': { description: summary, content: json(page) },
      ...refusals('Problem', [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]),
    },
  }
}

const cookie = {
  'set-cookie': { description: 'kbs-session-id, until the session ends', schema: text('RFC 6265') },
}
const empty: Response = { description: 'done', content: { 'text/xml': { schema: { type: 'string' } } } }
const resourcePath = '/kbs/v0/resource/{repository}/{type}/{tag}'
const kbsRefusals = refusals('KbsError', [400, 401, 403, 404, 413, 422, 429, 503])

function kbs(operationId: string, summary: string, who: keyof typeof security, of: { in?: Content; out: Response }) {
  return {
    operationId,
    summary,
    security: security[who],
    ...(of.in === undefined ? {} : { requestBody: { required: true as const, content: of.in } }),
    responses: { '200': of.out, ...kbsRefusals },
  }
}
const answered = (schema: Schema, headers?: Response['headers']): Response => ({
  description: 'answered',
  content: json(schema),
  ...(headers === undefined ? {} : { headers }),
})

/** The protocol of Confidential Containers, 0.4.0. */
const kbsPaths: OpenApi['paths'] = {
  '/kbs/v0/auth': {
    post: kbs('kbsAuth', 'opens a session', 'anybody', {
      in: json(ref('KbsRequest')),
      out: answered(ref('KbsChallenge'), cookie),
    }),
  },
  '/kbs/v0/attest': {
    post: kbs('kbsAttest', 'evidence to a token', 'anybody', {
      in: json(ref('KbsAttestation')),
      out: answered(ref('KbsToken'), cookie),
    }),
  },
  [resourcePath]: {
    get: {
      ...kbs('kbsResource', 'a resource, encrypted', 'guest', { out: answered(ref('Jwe')) }),
      ...parametersOf(resourcePath),
    },
    post: {
      ...kbs('kbsPut', 'stores a resource of the operator', 'admin', {
        in: { 'application/octet-stream': { schema: {} } },
        out: empty,
      }),
      ...parametersOf(resourcePath),
    },
    delete: { ...kbs('kbsDelete', 'takes one away', 'admin', { out: empty }), ...parametersOf(resourcePath) },
  },
  '/kbs/v0/resource-policy': {
    get: kbs('kbsPolicies', 'names of the policies', 'admin', {
      out: answered({ type: 'array', items: { type: 'string' } }),
    }),
    post: kbs('kbsPolicy', 'a policy for resources', 'admin', { in: json(ref('KbsResourcePolicy')), out: empty }),
  },
  '/kbs/v0/attestation-policy': {
    post: kbs('kbsAttestationPolicy', 'which guests are affirmed', 'admin', {
      in: json(ref('KbsAttestationPolicy')),
      out: empty,
    }),
  },
  '/kbs/v0/reference-value': {
    post: {
      ...kbs('kbsReferenceValues', 'always refused: owners sign reference values', 'admin', {
        in: json(ref('KbsReferenceValues')),
        out: empty,
      }),
      responses: kbsRefusals,
    },
  },
  '/kbs/v0/reference-value/{id}': {
    get: {
      ...kbs('kbsReferenceValue', 'null: none is stored', 'admin', { out: answered({ type: 'null' }) }),
      ...parametersOf('/kbs/v0/reference-value/{id}'),
    },
  },
}

const base64Url = (description: string) => text(description, { pattern: '^[A-Za-z0-9_-]*$' })
const policy = base64Url('the text, base64url without padding')
const schemas: Readonly<Record<string, Schema>> = {
  Version: text('of the API', { enum: [apiVersion] }),
  Problem: {
    type: 'object',
    description: 'RFC 9457, with the code of the failure',
    properties: { status: { type: 'integer' }, code: text('area/reason'), detail: text('words') },
    required: ['status', 'code'],
  },
  KbsError: {
    type: 'object',
    description: 'type and detail as clients of the protocol read them, and the members of a problem document',
    properties: { type: text('a URI'), detail: text('words'), status: { type: 'integer' }, code: text('area/reason') },
    required: ['type', 'detail', 'status', 'code'],
  },
  KbsRequest: exactly({
    version: text('of the protocol', { enum: [kbsVersion] }),
    tee: text('what evidence comes', { enum: teeNames }),
    'extra-params': { description: 'any value' },
  }),
  KbsChallenge: exactly({ nonce: text('base64', { pattern: '^[A-Za-z0-9+/]{43}=$' }), 'extra-params': text('empty') }),
  KbsAttestation: exactly(
    {
      'init-data': { type: ['object', 'null'], description: 'format and body of the document' },
      'runtime-data': exactly({ nonce: text('of the challenge'), 'tee-pubkey': { type: 'object' } }),
      'tee-evidence': exactly({ primary_evidence: {}, additional_evidence: text('empty, or an empty object') }),
    },
    ['init-data'],
  ),
  KbsToken: exactly({ token: text('compact JWS') }),
  Jwe: exactly(
    Object.fromEntries(
      ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'].map((name) => [name, base64Url(name)]),
    ),
  ),
  KbsResourcePolicy: exactly({ policy, type: text('cedar or rego'), policy_id: text('which resources') }, [
    'type',
    'policy_id',
  ]),
  KbsAttestationPolicy: exactly({ policy, type: text('cedar or rego'), policy_id: text('default_cpu') }),
  KbsReferenceValues: exactly({ version: text('0.1.0'), type: text('kind'), payload: text('base64') }),
}

/** The document of the broker's routes, `/v1` and `/kbs/v0`. A test compares it with the routes and with what they answer. */
export function brokerOpenApi(build: string): OpenApi {
  const paths: Record<string, Partial<Record<Method, Operation>>> = { ...kbsPaths }
  for (const row of rows) paths[row[1]] = { ...paths[row[1]], [row[0]]: brokerOperation(row) }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Claviger key broker',
      version: build,
      description: 'Model keys for attested nodes, and the KBS protocol of Confidential Containers.',
    },
    paths,
    components: {
      securitySchemes: {
        admin: { type: 'http', scheme: 'bearer' },
        identity: { type: 'http', scheme: 'bearer' },
        passport: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        session: { type: 'apiKey', in: 'cookie', name: 'kbs-session-id' },
      },
      schemas,
    },
  }
}
