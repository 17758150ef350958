import { beforeAll, describe, expect, test } from 'vitest'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { type Statement, signStatement, verifyTenantStatement } from '#core/wire/statements.js'
import { verifyBrokerTrusted, verifyOne, verifyTenant } from '#policies/release/statements.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

// Statements that an owner did sign, each in a place that is not its own: a database can put any of them anywhere (I18).
let key: SigningKey
let other: SigningKey
const chain = { sequence: 1, previous: null, issuedAt: 1_700_000_000 }

beforeAll(async () => {
  key = (await generateSigningKey('ES256')).key
  other = (await generateSigningKey('ES256')).key
})

/** A tenant whose first key is `first`; `also` may sign for it too. */
function tenantOf(first: SigningKey, also: readonly SigningKey[] = []): Promise<Envelope> {
  const keys = [first, ...also].map((one) => one.publicKey)
  const type = 'claviger/statement/tenant/v1'
  return signStatement('tenant', { type, tenant: first.id, ...chain, name: 'acme', class: 'development', keys }, first)
}
function policyOf(model: string, by: SigningKey): Promise<Envelope> {
  const body = { name: 'open', language: 'cedar', text: 'permit (principal, action, resource);' } as const
  const tenant = model.slice(0, 43)
  return signStatement('policy', { type: 'claviger/statement/policy/v1', tenant, ...chain, model, ...body }, by)
}
async function trustOf(tenant: string, by: SigningKey, changes: Partial<Statement<'trust'>> = {}): Promise<Envelope> {
  const { key: broker } = await generateSigningKey('Ed25519')
  const body = {
    class: 'development',
    brokers: [broker.publicKey as Statement<'trust'>['brokers'][number]],
    verifiers: [broker.publicKey],
    logs: ['log'],
    witnessPolicy: 'quorum none\n',
    simulatedRoots: [],
    independentWitnesses: [],
  } as const
  return signStatement('trust', { type: 'claviger/statement/trust/v1', tenant, ...chain, ...body, ...changes }, by)
}

describe('what an owner signed', () => {
  test('as another tenant makes not this one', async () => {
    const envelope = await tenantOf(other)
    expect(await codeOfPromise(verifyTenant(envelope, other.id))).toBe('ok')
    expect(await codeOfPromise(verifyTenant(envelope, key.id))).toBe('judge/statement-false')
  })

  test('for another tenant, with a key that signs for both, is not said for this one', async () => {
    const made = await verifyTenantStatement(await tenantOf(key, [other]))
    expect(await codeOfPromise(verifyOne('trust', await trustOf(key.id, other), made, null))).toBe('ok')
    expect(await codeOfPromise(verifyOne('trust', await trustOf(other.id, other), made, null))).toBe(
      'judge/statement-false',
    )
  })

  test('of another class is not said of this tenant', async () => {
    const made = await verifyTenantStatement(await tenantOf(key))
    const production = await trustOf(key.id, key, { class: 'production' })
    expect(await codeOfPromise(verifyOne('trust', production, made, null))).toBe('judge/statement-false')
  })

  test('about another model is not said of this one, nor about a model of another owner', async () => {
    const made = await verifyTenantStatement(await tenantOf(key))
    const model = `${key.id}/one`
    expect(await codeOfPromise(verifyOne('policy', await policyOf(model, key), made, model))).toBe('ok')
    const next = await policyOf(`${key.id}/two`, key)
    expect(await codeOfPromise(verifyOne('policy', next, made, model))).toBe('judge/statement-false')
    const foreign = await policyOf(`${other.id}/one`, key)
    expect(await codeOfPromise(verifyOne('policy', foreign, made, null))).toBe('judge/statement-false')
  })

  test('of one kind is not one of another kind', async () => {
    const made = await verifyTenantStatement(await tenantOf(key))
    const policy = await policyOf(`${key.id}/one`, key)
    expect(await codeOfPromise(verifyOne('reference-values', policy, made, null))).toBe('judge/statement-false')
  })

  test('without this broker lets it decide nothing', async () => {
    const made = await verifyTenantStatement(await tenantOf(key))
    const trust = await verifyOne('trust', await trustOf(key.id, key), made, null)
    expect(codeOf(() => verifyBrokerTrusted(trust, key.id))).toBe('judge/broker-not-trusted')
  })
})
