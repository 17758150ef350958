import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as bundleVerify from '#cli/bundle-verify.js'
import * as verify from '#cli/verify.js'
import { checkBundle, judgeBundle } from '#client/any-bundle.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import type { AnyBundle, KbsBundle, StateBundle } from '#core/wire/bundle.js'
import { signTrust, type Trust } from '#core/wire/trust-file.js'
import { bundleAt } from '#keybroker/queries.js'
import { testIo } from '#test/e2e/fixtures.js'
import { openJwe } from '#test/fakes/kbs-client.js'
import { another, memberAt, replaced, scalars } from '#test/fakes/members.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  ask,
  change,
  permitAll,
  type Registered,
  registered,
  sign,
  startTime,
  testNode,
  trustBody,
} from '#test/keybroker/fixtures.js'
import { adminToken, guest, pathOf, route } from '#test/keybroker/kbs/fixtures.js'
import { asJson } from './fixtures.js'

const { open } = anyDatabase()

let chain: Registered
let trust: Trust
const files: Record<string, AnyBundle> = {}

function readersTrust({ test: { broker, testLog }, owner, platform }: Registered): Trust {
  return {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: startTime,
    expiresAt: startTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [],
    logs: [testLog.vkey],
    witnessPolicy: testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [platform.rootDigest],
  }
}

/** Every kind of entry that has a bundle, once. Entries 0 to 4 are those of the registration. */
beforeAll(async () => {
  chain = await registered(await open(), { registration: { delivery: ['v1', 'kbs'] } })
  trust = readersTrust(chain)
  await change(chain, 'policy', { name: 'test', language: 'cedar', text: `${permitAll} // again` }) // 5
  await ask(chain, await testNode(chain)) // 6
  const kbs = route(chain, ['simulated'])
  await kbs.ask('POST', '/kbs/v0/resource/a/b/c', { body: 'x', headers: { authorization: `Bearer ${adminToken}` } })
  const { get, key } = await guest(chain, kbs)
  const answer = await get(pathOf(chain)) // 7
  expect(openJwe(key, await answer.text())).toHaveLength(32)
  expect((await get('/kbs/v0/resource/a/b/c')).status).toBe(200) // 8
  await change(chain, 'reference-values', { values: testReferenceValues({ guestSvnMin: 9 }) }) // 9
  expect((await get(pathOf(chain))).status).toBe(403) // 10
  const at = (index: number) => bundleAt(chain.test.broker, index, null)
  const kinds = ['tenant', 'trust', 'registration', 'policy', 'values'] as const
  for (const [index, name] of kinds.entries()) files[name] = await at(index)
  files.policy2 = await at(5)
  files.release = await at(6)
  files.kbs = await at(7)
  files.resource = await at(8)
  files.denied = await at(10)
})
afterAll(() => chain.test.log.close()) // forged entries stand in it

const codeOf = async (bundle: unknown, given = trust) => {
  const verdict = await judgeBundle(asJson(bundle), given)
  return verdict.ok ? 'ok' : verdict.failure.code
}
const checkOf = async (bundle: unknown) => {
  const verdict = await checkBundle(asJson(bundle))
  return verdict.ok ? 'ok' : verdict.failure.code
}
const stepsOf = async (name: string) => {
  const { steps } = await judgeBundle(asJson(files[name]!), trust)
  return steps.filter((step) => step.status !== 'ok').map((step) => `${step.id} ${step.status}`)
}

describe('every kind of bundle', () => {
  test('of changes: signed by the owner, in their order, in the log', async () => {
    for (const name of ['tenant', 'trust', 'registration', 'policy', 'values', 'policy2']) {
      expect(await codeOf(files[name]), name).toBe('ok')
      expect(await stepsOf(name)).toEqual([])
    }
    expect((files.policy2 as StateBundle).previous).toEqual((files.policy as StateBundle).statement)
  })

  test('of the KBS route: a model key is judged again, allowed and denied', async () => {
    for (const name of ['kbs', 'denied']) {
      const verdict = await judgeBundle(asJson(files[name]!), trust)
      if (!verdict.ok) throw verdict.failure
      expect(verdict.value).toMatchObject({ kind: 'kbs', verdict: { allow: name === 'kbs' } })
      expect(await stepsOf(name)).toEqual([])
    }
  })

  test('of the KBS route: a resource of the operator is not judged again, and that is said', async () => {
    expect(await codeOf(files.resource)).toBe('ok')
    expect(await stepsOf('resource')).toEqual(['kbs/replay not checked', 'kbs/verdict not checked'])
  })

  test('of a release: as before, by the same door', async () => {
    expect(await codeOf(files.release)).toBe('ok')
  })
})

describe('one changed member, anywhere', () => {
  test.each(['tenant', 'policy2', 'kbs', 'denied', 'resource'])('of %s', async (name) => {
    const bundle = asJson(files[name]!)
    const passed: string[] = []
    for (const path of scalars(bundle)) {
      if ((await codeOf(replaced(bundle, path, another(memberAt(bundle, path))))) === 'ok') passed.push(path.join('.'))
    }
    expect(passed).toEqual([])
  })
})

describe('what belongs to another entry', () => {
  test('a change without, with another or with an older predecessor', async () => {
    const { policy, policy2 } = files as { policy: StateBundle; policy2: StateBundle }
    expect(await checkOf({ ...policy2, previous: null })).toBe('statement/chain')
    expect(await checkOf({ ...policy2, previous: policy2.statement })).toBe('statement/chain')
    expect(await checkOf({ ...policy, previous: policy.statement })).toBe('statement/chain')
    expect(await checkOf({ ...policy2, statement: policy.statement, previous: null })).toBe('commitment/mismatch')
    expect(await checkOf({ ...policy2, leaf: policy.leaf })).toBe('commitment/mismatch')
    expect(await codeOf({ ...policy2, proof: policy.proof })).toMatch(/^tlog\//)
  })

  test('a change of another tenant', async () => {
    const other = await registered(await open())
    const { tenant } = (await bundleAt(other.test.broker, 0, null)) as StateBundle
    await other.test.close()
    expect(await checkOf({ ...files.policy, tenant })).toBe('dsse/signer')
  })

  test('a decision of the KBS route with another token, key or evidence', async () => {
    const { kbs, denied, resource } = files as { kbs: KbsBundle; denied: KbsBundle; resource: KbsBundle }
    for (const name of ['token', 'decision', 'evidence', 'statements', 'leaf', 'resource'] as const) {
      for (const other of [denied, resource]) {
        const same = canonicalJson(other[name] as Json).join() === canonicalJson(kbs[name] as Json).join()
        if (!same) expect(await codeOf({ ...kbs, [name]: other[name] }), name).not.toBe('ok')
      }
    }
  })
})

describe('anchors of the reader (I19)', () => {
  test.each<[string, string, Partial<Trust>, string]>([
    ['policy', 'owner', { owners: [] }, 'client/owner-unknown'],
    ['policy', 'log', { logs: [] }, 'tlog/unknown-log'],
    ['kbs', 'owner', { owners: [] }, 'client/owner-unknown'],
    ['kbs', 'broker', { brokers: [] }, 'client/broker-unknown'],
    ['kbs', 'log', { logs: [] }, 'tlog/unknown-log'],
    ['kbs', 'root', { simulatedRoots: [] }, 'client/bundle-verdict'],
    ['resource', 'broker', { brokers: [] }, 'client/broker-unknown'],
  ])('%s: another %s', async (name, _, changes, code) => {
    expect(await codeOf(files[name], { ...trust, ...changes })).toBe(code)
    expect(await checkOf(files[name])).toBe('ok') // and without any, it is consistent and no more
  })

  test('a broker whom the owner does not name', async () => {
    const { key } = await generateSigningKey('Ed25519')
    const body = { ...trustBody(chain.test, chain.platform), brokers: [key.publicKey as Ed25519Jwk] }
    const { kbs } = files as { kbs: KbsBundle }
    const heads = new Map(chain.owner.heads)
    const envelope = await sign({ ...chain.owner, heads }, 'trust', body)
    expect(await codeOf({ ...kbs, statements: { ...kbs.statements, trust: envelope } })).toBe(
      'judge/broker-not-trusted',
    )
  })
})

describe('claviger verify and bundle verify', () => {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-bundles-'))
  const trustPath = join(folder, 'trust.json')
  afterAll(() => rmSync(folder, { recursive: true }))
  beforeAll(async () => {
    process.env.XDG_STATE_HOME = folder
    const far = { ...trust, expiresAt: 4_000_000_000 }
    writeFileSync(trustPath, JSON.stringify(await signTrust(far, (await generateSigningKey('ES256')).key)))
  })
  async function run(bundle: unknown, args: object, by: 'bundle' | 'any' = 'bundle') {
    const file = join(folder, 'bundle.json')
    writeFileSync(file, JSON.stringify(bundle))
    const io = testIo()
    const code =
      by === 'any' ? await verify.run({ target: file, ...args }, io) : await bundleVerify.run({ file, ...args }, io)
    return { code, out: io.out() }
  }
  const simulated = { dangerousAllowSimulated: true }

  test('a change is verified, in words that name it', async () => {
    for (const by of ['bundle', 'any'] as const) {
      const { code, out } = await run(files.policy2, { trust: trustPath }, by)
      expect([code, out.includes('VERIFIED')]).toEqual([0, true])
      expect(out).toContain(`policy statement 2 of ${chain.owner.model} took effect as log entry #5`)
    }
  })

  test('a model key by KBS says that nobody is bound by a lease', async () => {
    const refused = await run(files.kbs, { trust: trustPath }, 'any')
    expect([refused.code, refused.out.includes('SIMULATED: NOT HARDWARE')]).toEqual([3, true])
    const { code, out } = await run(files.kbs, { trust: trustPath, ...simulated }, 'any')
    expect(code).toBe(0)
    expect(out).toContain('RELEASED to an unleased, unproven client by KBS as log entry #7')
    expect((await run(files.denied, { trust: trustPath, ...simulated })).out).toContain('DENIED (attest/guest-svn, ')
  })

  test('what no step could judge is no success', async () => {
    const { code, out } = await run(files.resource, { trust: trustPath, ...simulated })
    expect([code, out.includes('LOGGED, NOT JUDGED AGAIN')]).toEqual([3, true])
  })

  test('without a trust file: consistent, or not even that', async () => {
    for (const name of ['policy2', 'release', 'kbs', 'resource']) {
      const { code, out } = await run(files[name], {})
      expect([code, out.includes('consistent, not verified')]).toEqual([3, true])
      const json = JSON.parse((await run({ ...files[name], at: startTime - 5 }, { json: true })).out)
      expect(json).toMatchObject({
        verdict: 'NOT VERIFIED',
        accepted: false,
        failure: { code: 'client/bundle-splice' },
      })
    }
  })
})
