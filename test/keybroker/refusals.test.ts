import { describe, expect, test } from 'vitest'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Binding } from '#core/wire/binding.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { beat } from '#keybroker/beat.js'
import { challenge } from '#keybroker/challenge.js'
import { release } from '#keybroker/release.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { type Ask, ask, change, gist, granted, registered, registrationBody, request, testNode } from './fixtures.js'

const { open } = anyDatabase()

describe('one thing wrong in a request', () => {
  const other = '0'.repeat(64)
  const binds = (binding: Partial<Binding>): Ask => ({ binding })
  const wrong: readonly (readonly [string, string, Ask])[] = [
    ['another purpose', 'judge/purpose', binds({ purpose: 'claviger.node.v1' })],
    ['the purpose of a renewal', 'judge/purpose', binds({ purpose: 'claviger.renew.v1' })],
    ['another broker as audience', 'judge/audience', binds({ audience: 'A'.repeat(43) })],
    ['another keyset in the binding', 'judge/keyset-digest', binds({ keyset_digest: other })],
    ['other settings in the binding', 'judge/config-digest', binds({ config_digest: other })],
    ['another trust statement in the binding', 'judge/trust-digest', binds({ trust_digest: other })],
    ['devices in the binding', 'judge/devices-digest', binds({ devices_digest: other })],
    [
      'a binding that the evidence does not carry',
      'judge/report-data',
      {
        change: (one) => {
          const keyset = { ...one.keyset, notAfter: one.keyset.notAfter + 1 }
          return { ...one, keyset, binding: { ...one.binding, keyset_digest: keysetDigest(keyset) } }
        },
      },
    ],
    ['another manifest', 'judge/manifest', { change: (one) => ({ ...one, manifestDigest: other }) }],
    ['another version', 'judge/version', { change: (one) => ({ ...one, modelVersion: 7 }) }],
    [
      'a host statement that the settings do not name',
      'judge/host-missing',
      {
        change: (one) =>
          ({
            ...one,
            host: { statement: { payloadType: 'x', payload: '', signatures: [] }, key: one.keyset.receipt },
          }) as unknown as ReleaseRequest,
      },
    ],
  ]

  test('is refused, or denied, under a code of its own', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    for (const [name, code, options] of wrong) expect(await codeOfOutcome(ask(chain, node, options)), name).toBe(code)
    // The request without the one thing is granted: none of them had another ground.
    expect(gist(await ask(chain, node))).toBe('granted')
    await chain.test.close()
  })

  test('a node whose keys or settings are wrong is denied', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const twice = { ...node.keyset, receipt: { ...node.keyset.receipt, x: node.keyset.request.x } }
    expect(gist(await ask(chain, { ...node, keyset: twice }))).toBe('judge/keyset-role')
    expect(gist(await ask(chain, { ...node, keyset: { ...node.keyset, notAfter: 1 } }))).toBe('judge/keyset-expired')
    const config = async (part: Partial<typeof node.config>) =>
      gist(await ask(chain, await testNode(chain, { config: part })))
    expect(await config({ model: `${chain.owner.id}/other` })).toBe('judge/config-model')
    expect(await config({ broker: 'B'.repeat(43) })).toBe('judge/config-broker')
    const host = await testNode(chain, { host: { country: 'DE' } })
    const forged = await testNode(chain, { host: { country: 'FR' } })
    expect(gist(await ask(chain, { ...host, host: forged.host }))).toBe('judge/host-statement')
    const unassigned = await testNode(chain, { host: { country: 'ZZ' } })
    expect(gist(await ask(chain, unassigned))).toBe('judge/facts')
    await chain.test.close()
  })
})

/** `granted`, reasons, the code that refused, or the code that was thrown. */
async function codeOfOutcome(outcome: ReturnType<typeof ask>): Promise<string> {
  const code = await codeOfPromise(outcome)
  return code === 'ok' ? gist(await outcome) : code
}

describe('a nonce is used once (I12)', () => {
  test('not again after a success, a denial or a refusal', async () => {
    const chain = await registered(await open())
    const { broker } = chain.test
    const node = await testNode(chain)
    for (const options of [
      {},
      { change: (one: ReleaseRequest) => ({ ...one, modelVersion: 9 }) },
      { binding: { audience: 'A'.repeat(43) } },
    ]) {
      const { nonce } = await challenge(broker, chain.owner.model, null)
      await codeOfPromise(ask(chain, node, { ...options, nonce }))
      expect(await codeOfPromise(ask(chain, node, { nonce }))).toBe('store/nonce-unknown')
    }
    await chain.test.close()
  })

  test('by one of many at the same time', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const asked = await request(chain, node)
    const codes = await Promise.all(Array.from({ length: 8 }, () => codeOfPromise(release(chain.test.broker, asked))))
    expect(codes.toSorted()).toEqual(['ok', ...Array(7).fill('store/nonce-unknown')].toSorted())
    await chain.test.close()
  })

  test('for the model that it was asked for, in time, and only when it was given out', async () => {
    const chain = await registered(await open())
    const { broker, clock } = chain.test
    const node = await testNode(chain)
    const elsewhere = await challenge(broker, `${chain.owner.id}/other`, null)
    expect(await codeOfPromise(ask(chain, node, { nonce: elsewhere.nonce }))).toBe('store/nonce-unknown')
    const late = await challenge(broker, chain.owner.model, null)
    clock.now = late.expiresAt
    expect(await codeOfPromise(ask(chain, node, { nonce: late.nonce }))).toBe('store/nonce-unknown')
    const invented = toBase64Url(randomBytes(32))
    expect(await codeOfPromise(ask(chain, node, { nonce: invented }))).toBe('store/nonce-unknown')
    await chain.test.close()
  })
})

describe('absence is never success (I4)', () => {
  const country = '@id("eu") permit (principal, action, resource) when { context.place.country == "DE" };'
  const forbid = `@id("all") permit (principal, action, resource);
    @id("not-here") forbid (principal, action, resource) when { context.place.country == "US" };`

  test('a policy that permits nothing, and one that asks for what nobody says', async () => {
    const chain = await registered(await open(), { policy: country })
    expect(gist(await ask(chain, await testNode(chain)))).toBe('eu')
    expect(gist(await ask(chain, await testNode(chain, { host: { country: 'FR' } })))).toBe('eu')
    expect(gist(await ask(chain, await testNode(chain, { host: { country: 'DE' } })))).toBe('granted')
    await chain.test.close()
  })

  test('a forbid that cannot be evaluated', async () => {
    const chain = await registered(await open(), { policy: forbid })
    expect(gist(await ask(chain, await testNode(chain)))).toBe('not-here')
    await chain.test.close()
  })

  test('no reference values for the kind of evidence, and no CRL', async () => {
    const chain = await registered(await open(), { values: { snp: undefined } })
    const node = await testNode(chain)
    expect(gist(await ask(chain, node))).toContain('attest/reference-values')
    await change(chain, 'reference-values', { values: testReferenceValues() })
    const without = { change: (one: ReleaseRequest) => ({ ...one, evidence: { ...one.evidence, crl: null } }) }
    expect(gist(await ask(chain, node, without))).toContain('attest/crl')
    await chain.test.close()
  })
})

describe('what is true now (I5)', () => {
  const deny = { name: 'none', language: 'cedar', text: '@id("never") forbid (principal, action, resource);' } as const

  test('a policy that changed after the challenge', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    const asked = await request(chain, node)
    await change(chain, 'policy', deny)
    expect(gist(await release(chain.test.broker, asked))).toContain('never')
    await chain.test.close()
  })

  test('reference values that changed after the challenge', async () => {
    const chain = await registered(await open())
    const asked = await request(chain, await testNode(chain))
    await change(chain, 'reference-values', { values: testReferenceValues({ measurements: ['cd'.repeat(48)] }) })
    const outcome = await release(chain.test.broker, asked)
    expect(gist(outcome)).toContain('attest/measurement')
    // The host reads what refused, and not what the owner accepts (TRUST 14).
    expect(JSON.stringify(outcome)).not.toContain('cdcdcd')
    await chain.test.close()
  })

  test('a policy that changes between judging and recording is judged again', async () => {
    const chain = await registered(await open())
    const { faults, broker } = chain.test
    const asked = await request(chain, await testNode(chain))
    let reads = 0
    const changed = new Promise<void>((resolve) => {
      faults.after = (step) => {
        if (step !== 'store.read' || reads++ > 0) return
        faults.after = () => undefined
        resolve()
      }
    })
    const racing = changed.then(() => change(chain, 'policy', deny))
    // The release waits at its verification until the change has been stored.
    const appraise = broker.appraise
    const waiting = {
      ...broker,
      appraise: async (...given: Parameters<typeof appraise>) => {
        await racing
        return appraise(...given)
      },
    }
    expect(gist(await release(waiting, asked))).toContain('never')
    await chain.test.close()
  })

  test('a revocation, of each kind, at once for releases, renewals and beats', async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 300, budget: budgetOf(5), nodes: 9 } },
    })
    const { broker } = chain.test
    const { payload } = { payload: (one: { payload: string }) => JSON.parse(atob(one.payload)) as { id: string } }
    const node = await testNode(chain)
    const lease = payload(granted(await ask(chain, node)).lease).id
    const nonce = toBase64Url(randomBytes(32))
    await beat(broker, { lease, nonce })
    const chip = Buffer.from(chain.platform.chipId).toString('hex')
    const kinds = [
      ['measurement', 'ab'.repeat(48)],
      ['platform', chip],
      ['keyset', keysetDigest(node.keyset)],
      ['version', '1'],
      ['lease', lease],
    ] as const
    for (const [kind, value] of kinds) {
      await change(chain, 'revocation', { revoked: [{ kind, value }], reason: 'lost' })
      const wanted = kind === 'lease' ? { lease } : {}
      if (kind !== 'lease') expect(gist(await ask(chain, node, wanted))).toBe(`judge/revoked-${kind}`)
      expect(await codeOfPromise(beat(broker, { lease, nonce }))).toBe('broker/lease-over')
      expect(gist(await ask(chain, node, { lease }))).toContain(`judge/revoked-${kind}`)
    }
    await change(chain, 'revocation', { revoked: [], reason: 'found again' })
    // What ended does not come back: the node asks for a new release.
    expect(gist(await ask(chain, node, { lease }))).toBe('broker/lease-ended')
    expect(gist(await ask(chain, node))).toBe('granted')
    await chain.test.close()
  })

  test('a version below the floor', async () => {
    const chain = await registered(await open())
    const node = await testNode(chain)
    await change(chain, 'registration', registrationBody(chain.owner, { delivery: ['kbs'] }))
    expect(gist(await ask(chain, node))).toBe('judge/delivery')
    await change(chain, 'registration', registrationBody(chain.owner, { versionFloor: 2 }))
    expect(gist(await ask(chain, node))).toBe('judge/version-floor')
    await chain.test.close()
  })
})
