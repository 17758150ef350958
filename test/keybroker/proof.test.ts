import { beforeAll, describe, expect, test } from 'vitest'
import { brokerAppraiser } from '#client/broker-proof.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { brokerProofAnswerShape, verifyBrokerProof } from '#core/wire/broker-proof.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import { parseEntry } from '#core/wire/entries.js'
import { apiVersion } from '#core/wire/release.js'
import { createTenant } from '#keybroker/changes.js'
import type { BrokerAttester } from '#keybroker/ports.js'
import { registerModel } from '#keybroker/register.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  granted,
  registered,
  registration,
  sign,
  startTime,
  tenantStatement,
  testBroker,
  testNode,
  testOwner,
  trustBody,
} from './fixtures.js'
import { application } from './served.js'

const { open } = anyDatabase()
const demand = { values: testReferenceValues(), allowOperatorKek: true, keks: undefined }
let attester: BrokerAttester
beforeAll(async () => {
  const { attest } = await testPlatform({ at: startTime })
  attester = { platform: 'simulated', attest }
})

describe('the route at which a broker proves itself', () => {
  const post = async (app: Awaited<ReturnType<typeof application>>['app'], body: unknown) => {
    const headers = { 'content-type': 'application/json' }
    const answer = await app.hono.request('/v1/broker/evidence', {
      method: 'POST',
      body: JSON.stringify(body),
      headers,
    })
    return { status: answer.status, body: parseJson(new Uint8Array(await answer.arrayBuffer())) }
  }

  test('gives evidence for the asker’s nonce, which binds the document that stands beside it', async () => {
    const made = await testBroker(await open())
    const { app } = await application(made, undefined, attester)
    const nonce = toBase64Url(randomBytes(32))
    const { status, body } = await post(app, { version: apiVersion, nonce })
    expect(status).toBe(200)
    const { proof } = brokerProofAnswerShape(body, '')
    const { rootDigest } = await testPlatform({ at: startTime })
    const proven = await verifyBrokerProof(
      proof,
      {
        broker: made.broker.signer.id,
        nonce,
        demand,
        simulatedRoots: [rootDigest],
        tenantClass: 'development',
        at: startTime,
      },
      brokerAppraiser(),
    )
    expect(proven.document).toMatchObject({
      wrapping: made.broker.wrapping.publicKey,
      standing: 'SIMULATED BROKER (NOT HARDWARE)',
    })
    await made.close()
  })

  test('has none outside a TEE, and takes no nonce of another length', async () => {
    const made = await testBroker(await open())
    const { app } = await application(made)
    const nonce = toBase64Url(randomBytes(32))
    const { status, body } = await post(app, { version: apiVersion, nonce })
    expect([status, (body as { readonly code?: Json }).code]).toEqual([409, 'broker/unattested'])
    expect((await post(app, { version: apiVersion, nonce: nonce.slice(2) })).status).toBe(400)
    await made.close()
  })
})

describe('an owner who demands evidence of its broker', () => {
  async function registering(standing: BrokerStanding, tenantClass: 'production' | 'development' = 'development') {
    const made = await testBroker(await open())
    const test = { ...made, broker: { ...made.broker, standing } }
    const platform = await testPlatform({ at: startTime })
    const owner = await testOwner()
    await createTenant(test.broker, await tenantStatement(owner, tenantClass))
    const attestedBrokers = [{ broker: made.broker.signer.id, demand }]
    await sign(owner, 'trust', { ...trustBody(test, platform, tenantClass), attestedBrokers })
    return { test, owner, platform, request: await registration(test, owner, platform, { class: tenantClass }) }
  }

  test('is taken by one that has it, whose leases and entries say so', async () => {
    const chain = await registering('SIMULATED BROKER (NOT HARDWARE)')
    await registerModel(chain.test.broker, chain.request)
    const answer = granted(await ask(chain, await testNode(chain)))
    const said = JSON.parse(Buffer.from(answer.lease.payload, 'base64').toString()) as { standing: string }
    expect(said.standing).toBe('SIMULATED BROKER (NOT HARDWARE)')
    expect(parseEntry(Buffer.from(answer.leaf, 'base64'))).toMatchObject({ broker: 'SIMULATED BROKER (NOT HARDWARE)' })
    await chain.test.close()
  })

  test('is refused by one that has none, and in production by one whose evidence is simulated', async () => {
    const unattested = await registering('UNATTESTED BROKER')
    expect(await codeOfPromise(registerModel(unattested.test.broker, unattested.request))).toBe('broker/unattested')
    const simulated = await registering('SIMULATED BROKER (NOT HARDWARE)', 'production')
    expect(await codeOfPromise(registerModel(simulated.test.broker, simulated.request))).toBe('broker/simulated')
    await unattested.test.close()
    await simulated.test.close()
  })

  test('gets no release of one that was started again outside its TEE, over the same database', async () => {
    const chain = await registering('SIMULATED BROKER (NOT HARDWARE)')
    await registerModel(chain.test.broker, chain.request)
    const node = await testNode(chain)
    granted(await ask(chain, node))
    const outside = {
      ...chain,
      test: { ...chain.test, broker: { ...chain.test.broker, standing: 'UNATTESTED BROKER' } },
    }
    expect(await codeOfPromise(ask(outside as typeof chain, await testNode(chain)))).toBe('broker/unattested')
    await chain.test.close()
  })
})

test('an owner who demands nothing is served as before, and the lease says UNATTESTED BROKER', async () => {
  const chain = await registered(await open())
  const answer = granted(await ask(chain, await testNode(chain)))
  const said = JSON.parse(Buffer.from(answer.lease.payload, 'base64').toString()) as { standing: string }
  expect(said.standing).toBe('UNATTESTED BROKER')
  await chain.test.close()
})
