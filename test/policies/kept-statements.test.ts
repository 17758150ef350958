import { beforeAll, describe, expect, test } from 'vitest'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { signStatement, verifyStatement } from '#core/wire/statements.js'
import { KeptStatements } from '#policies/release/kept.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

let key: SigningKey
let other: SigningKey
let policy: Envelope
let foreign: Envelope

beforeAll(async () => {
  key = (await generateSigningKey('ES256')).key
  other = (await generateSigningKey('ES256')).key
  policy = await policyBy(key)
  foreign = await policyBy(other)
})

function policyBy(by: SigningKey, name = 'open'): Promise<Envelope> {
  const type = 'claviger/statement/policy/v1'
  const chain = { tenant: key.id, model: `${key.id}/m`, sequence: 1, previous: null, issuedAt: 1_700_000_000 }
  const body = { name, language: 'cedar', text: 'permit (principal, action, resource);' } as const
  return signStatement('policy', { type, ...chain, ...body }, by)
}

describe('statements that were verified before', () => {
  test('are found by the same bytes alone, in whatever object they come', async () => {
    const kept = new KeptStatements()
    const first = await kept.verify('policy', policy, [key.publicKey])
    expect(await kept.verify('policy', structuredClone(policy), [structuredClone(key.publicKey)])).toBe(first)
    expect(first).toEqual(await verifyStatement('policy', policy, [key.publicKey]))
  })

  test('do not vouch for another signature, payload, kind or key', async () => {
    const kept = new KeptStatements()
    await kept.verify('policy', policy, [key.publicKey])
    const [signature] = policy.signatures
    const [stranger] = foreign.signatures
    const asOwner = [{ keyid: signature!.keyid, sig: stranger!.sig }]
    const named = await policyBy(key, 'other')
    const cases: readonly (readonly [Envelope, SigningKey, string])[] = [
      [{ ...policy, signatures: asOwner }, key, 'crypto/signature'],
      [{ ...policy, signatures: stranger ? [stranger] : [] }, key, 'dsse/signer'],
      [{ ...policy, payload: named.payload }, key, 'crypto/signature'],
      [{ ...policy, payloadType: `${policy.payloadType}x` }, key, 'dsse/type'],
      [policy, other, 'dsse/signer'],
    ]
    for (const [envelope, by, code] of cases) {
      // Asked twice: what failed is not kept either.
      for (let i = 0; i < 2; i++)
        expect(await codeOfPromise(kept.verify('policy', envelope, [by.publicKey]))).toBe(code)
    }
    expect(await codeOfPromise(kept.verify('revocation', policy, [key.publicKey]))).toBe('dsse/type')
    expect(kept.count).toBe(1)
  })

  test('a statement that makes a tenant is none of its other statements', async () => {
    const kept = new KeptStatements()
    const body = { name: 'acme', class: 'development', keys: [key.publicKey, other.publicKey] } as const
    const chain = { tenant: key.id, sequence: 1, previous: null, issuedAt: 1_700_000_000 }
    const made = await signStatement('tenant', { type: 'claviger/statement/tenant/v1', ...chain, ...body }, other)
    // Its second key signs for the tenant, and does not make it.
    await kept.verify('tenant', made, body.keys)
    expect(await codeOfPromise(kept.verifyTenant(made))).toBe('dsse/signer')
  })

  test('nobody changes what others are given', async () => {
    const kept = new KeptStatements()
    const { value } = await kept.verify('policy', policy, [key.publicKey])
    expect(() => Object.assign(value, { text: 'forbid (principal, action, resource);' })).toThrow(TypeError)
  })

  test('the least recently used make room, by their number and by their text', async () => {
    const some = await Promise.all(['a', 'b', 'c'].map((name) => policyBy(key, name)))
    const few = new KeptStatements({ keptMax: 2, textMax: 1_000_000 })
    const keys = [key.publicKey]
    const [a, b, c] = some as [Envelope, Envelope, Envelope]
    const first = await few.verify('policy', a, keys)
    await few.verify('policy', b, keys)
    expect(await few.verify('policy', a, keys)).toBe(first)
    await few.verify('policy', c, keys)
    expect(few.count).toBe(2)
    expect(await few.verify('policy', a, keys)).toBe(first)
    const small = new KeptStatements({ keptMax: 100, textMax: 10 })
    for (const one of some) await small.verify('policy', one, keys)
    expect(small.count).toBe(1)
  })
})
