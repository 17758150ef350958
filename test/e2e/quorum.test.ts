import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { servicePlaces } from '#cli/service-state.js'
import type { SimulatedAttester } from '#cli/simulated-attester.js'
import { openBrokers } from '#cli/start-brokers.js'
import { openSealed } from '#cli/start-node.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { judged } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { loadModelKey, loadShares } from '#convert/keys/owner-keys.js'
import { recordAt } from '#convert/seal/split.js'
import { fromBase64, fromUtf8, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { combineShares, splitSecret } from '#core/crypto/shamir.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { manifestDigest, parseManifest } from '#core/sealed/manifest.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { hostDeclarationShape, type ReleaseRequest, releaseAad, releaseInfo } from '#core/wire/release.js'
import { openDatabase, rowsOf } from '#host/database.js'
import { createSecretFile } from '#host/files.js'
import { openBrokerKeys } from '#keybroker/service/keys.js'
import { loadWrapped } from '#keybroker/store/wrapped.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { inferRequest, testIo } from '#test/e2e/fixtures.js'
import {
  type Answering,
  type OneBroker,
  openBroker,
  openSimulatedAttester,
  places,
  prepareOwner,
  registerWords,
  relayTo,
  runNode,
  type,
} from '#test/e2e/quorum-fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'

let folder: string
let attester: SimulatedAttester
let brokers: readonly OneBroker[]
let width: number
let host: ReturnType<typeof hostDeclarationShape>
const urls = () => brokers.map(({ stack }) => stack.url)
const start = (model: string, at = urls(), events: Parameters<typeof runNode>[5] = []) =>
  runNode(folder, model, at, attester, host, events)
const troubles = (events: Awaited<ReturnType<typeof start>>['events']) =>
  events.flatMap((one) => (one.kind === 'trouble' ? [`${one.failure.code} ${one.failure.message}`] : []))

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-quorum-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  process.env.XDG_STATE_HOME = join(folder, 'state')
  const io = testIo()
  await mkdir(join(folder, 'model'))
  width = writeModelFolder(join(folder, 'model'), 'external').width
  const machine = join(folder, 'platform.json')
  await createSecretFile(machine, exportPlatform(await testPlatform({ at: io.now() })))
  attester = await openSimulatedAttester(machine, io.now())
  brokers = await Promise.all(['berlin', 'paris', 'helsinki'].map((name) => openBroker(folder, name)))
  await prepareOwner(folder, join(folder, 'model'), brokers, attester)
  const place = ['--name', 'node-1', '--country', 'DE', '--operator', 'Example GmbH', '--operator-country', 'DE']
  await type('host', 'statement', ...place, '--out', places(folder).host)
  host = hostDeclarationShape(parseJson(await readFile(places(folder).host)), 'host statement')
}, 180_000)
afterAll(async () => {
  for (const { stack } of brokers ?? []) await stack.close()
}, 60_000)

const manifestOf = async (model: string) => parseManifest(await readFile(join(folder, model, 'manifest.json')))

describe('registering among three brokers', () => {
  test('a dry run signs nothing that stays', async () => {
    const before = await readFile(join(folder, 'one', 'manifest.json'))
    const io = await type(...registerWords(folder, 'one', brokers), '--dry-run')
    expect(io.code()).toBe(0)
    expect(io.out()).toContain('would register one version 1 at 3 of 3 brokers')
    expect(await readFile(join(folder, 'one', 'manifest.json'))).toEqual(before)
  })

  test('one that is down keeps nobody from the rest, and the same command ends what it began', async () => {
    await brokers[1]!.stack.close()
    // Before the key is split every broker has to say who it is: nothing was signed.
    expect(await codeOfPromise(type(...registerWords(folder, 'one', brokers)))).toBe('owner/unreachable')
    expect((await manifestOf('one')).quorum).toBe(undefined)
    await brokers[1]!.open()
    const bad = join(folder, 'no-token')
    await createSecretFile(bad, utf8(`${'x'.repeat(43)}\n`))
    const words = registerWords(folder, 'one', brokers).map((word) =>
      word.includes('admin-token')
        ? word
            .split(',')
            .map((path, at) => (at === 1 ? bad : path))
            .join(',')
        : word,
    )
    const half = await type(...words, '--json')
    expect(half.code()).toBe(1)
    const said = JSON.parse(half.out()) as { registered: number; brokers: { name: string; failure: unknown }[] }
    expect(said.registered).toBe(2)
    expect(said.brokers.map(({ name, failure }) => [name, failure === null])).toEqual([
      ['berlin', true],
      ['paris', false],
      ['helsinki', true],
    ])
    const digest = manifestDigest(await readFile(join(folder, 'one', 'manifest.json')))
    const whole = await type(...registerWords(folder, 'one', brokers))
    expect(whole.code()).toBe(0)
    expect(whole.out()).toContain('registered one version 1 at 3 of 3 brokers, any 2 of which release it')
    expect(manifestDigest(await readFile(join(folder, 'one', 'manifest.json')))).toBe(digest)
    expect((await type(...registerWords(folder, 'two', brokers))).code()).toBe(0)
  }, 120_000)

  test('the signed manifest names brokers, controllers, threshold and a commitment to each share', async () => {
    const { quorum } = await manifestOf('one')
    expect(quorum?.threshold).toBe(2)
    expect(quorum?.shares.map(({ broker, name, controller }) => [broker, name, controller])).toEqual([
      [brokers[0]!.stack.broker, 'berlin', 'Alpha GmbH'],
      [brokers[1]!.stack.broker, 'paris', 'Beta SAS'],
      [brokers[2]!.stack.broker, 'helsinki', 'Gamma Oy'],
    ])
  })

  test.each([
    ['one controller twice', 'sealed/quorum', ['--controllers', 'Alpha GmbH,alpha gmbh,Gamma Oy']],
    ['a threshold that cannot be reached', 'register/quorum', ['--threshold', '4']],
    ['one place for a node among three', 'register/quorum', ['--nodes', '1']],
    ['the route without leases', 'register/quorum', ['--delivery', 'v1,kbs']],
    ['another threshold of a key that is split', 'register/quorum', ['--threshold', '3']],
  ])('is refused: %s', async (what, code, more) => {
    const model = what === 'one controller twice' ? 'three' : 'one'
    if (model === 'three') {
      const sealed = [
        '--out',
        join(folder, 'three'),
        '--keys',
        places(folder).keys,
        '--name',
        'three',
        '--version',
        '1',
      ]
      await type('seal', join(folder, 'model'), ...sealed)
    }
    expect(await codeOfPromise(type(...registerWords(folder, model, brokers), ...more))).toBe(code)
  })
})

describe('a node of a key that three brokers hold', () => {
  test('gets two of three shares, or all, answers, and its client verifies every grant', async () => {
    const { node, events } = await start('one')
    try {
      expect(troubles(events)).toEqual([])
      expect(node.session.grants.map(({ grant }) => grant.lease.broker).sort()).toEqual(
        brokers.map(({ stack }) => stack.broker).sort(),
      )
      // floor(limit * 2 / 3) at each
      expect(node.session.grant.lease.budget.requests).toBe(66_666)
      const { trust } = await loadTrust(places(folder).trust, testIo().now())
      const policy = clientPolicy({ model: 'acme/one', dangerousAllowSimulated: true }, trust)
      const client = new NodeClient(nodeClientOptions(node.url, trust, policy, null, testIo()))
      const answer = await client.request({ ...inferRequest(width), path: '/v2/models/one/infer' })
      expect(answer.status).toBe(200)
      const receipt = join(folder, 'receipt.json')
      await writeFile(receipt, canonicalJson(answer.file))
      const io = await type(
        'receipt',
        'verify',
        receipt,
        '--trust',
        places(folder).trust,
        '--dangerous-allow-simulated',
      )
      expect(io.code(), io.err()).toBe(0)
      expect(io.out()).toContain('3 of 3 brokers granted, any 2 have to: berlin')
      expect(io.out()).toContain('Gamma Oy')
      // What a host or relay could leave out of the document, or put in twice.
      const whole = JSON.parse(fromUtf8(canonicalJson(answer.file.node))) as Record<string, unknown> & {
        others: object[]
      }
      const judge = async (document: object) => {
        const input = { trust, policy, nonce: null, at: testIo().now() }
        const verdict = await judged(nodeSteps, (steps) => verifyNode(document as Json, input, steps))
        return verdict.ok ? 'ok' : verdict.failure.code
      }
      const [one, two] = whole.others
      const { others: _, ...alone } = whole
      const { trust: t, release, ear, leaf, openings, decision, proof, lease, beat } = whole
      const first = { trust: t, release, ear, leaf, openings, decision, proof, lease, beat }
      expect(await judge({ ...whole, fresh: null })).toBe('ok')
      expect(await judge({ ...whole, fresh: null, others: [one] })).toBe('ok')
      expect(await judge({ ...whole, fresh: null, others: [] })).toBe('client/quorum')
      expect(await judge({ ...alone, fresh: null })).toBe('client/quorum')
      expect(await judge({ ...whole, fresh: null, others: [first] })).toBe('client/quorum')
      expect(await judge({ ...whole, fresh: null, others: [{ ...one, leaf: (two as typeof first).leaf }] })).toMatch(
        /^leaf\//,
      )
      expect(await judge({ ...whole, fresh: null, others: [{ ...one, lease }] })).toBe('dsse/signer')
      expect(await judge({ ...whole, fresh: null, others: [{ ...one, beat }] })).toBe('dsse/signer')
      const paid = node.session.grants.map(({ grant }) => grant.lease.budget.requests)
      expect(paid).toEqual([66_666, 66_666, 66_666])
    } finally {
      await node.close()
    }
  }, 120_000)

  test.each([0, 1, 2])(
    'starts without broker %i, and says which is missing',
    async (down) => {
      const at = urls().map((url, i) => (i === down ? 'http://127.0.0.1:9' : url))
      const { node, events } = await start('one', at)
      expect(node.session.grants.length).toBe(2)
      expect(troubles(events).join('\n')).toContain(brokers[down]!.name)
      await node.close()
    },
    60_000,
  )

  test('finds one that was away at its start once it answers', async () => {
    const last = brokers[2]!
    await last.stack.close()
    const { manifest } = await openSealed({ model: null, sealed: join(folder, 'one') })
    const troubled: string[] = []
    const opened = await openBrokers(urls(), manifest, null, (event) => {
      if (event.kind === 'trouble') troubled.push(event.failure.code)
    })
    const ids = async () => (await opened.findBrokers!()).map(({ id }) => id).sort()
    const first = brokers.slice(0, 2).map(({ stack }) => stack.broker)
    expect([...opened.brokers!.keys()].sort()).toEqual([...first].sort())
    expect(await ids()).toEqual([...first].sort())
    expect(troubled).toEqual(['broker/unreachable', 'broker/unreachable'])
    await last.open()
    expect(await ids()).toEqual([...first, last.stack.broker].sort())
    expect(troubled.length).toBe(2)
  }, 60_000)

  test('does not start with one broker of three', async () => {
    expect(await codeOfPromise(start('one', ['http://127.0.0.1:9', 'http://127.0.0.1:10', urls()[2]!]))).toBe(
      'node/brokers',
    )
    expect(await codeOfPromise(start('one', [urls()[0]!]))).toBe('node/brokers')
  })

  /** The record that a hostile broker sends in place of its share. */
  const sending =
    (record: () => Promise<Uint8Array>): Answering =>
    async (asked, answer) => {
      const { keyset, manifestDigest: digest } = asked as ReleaseRequest
      const info = releaseInfo(hashLeaf(fromBase64(answer.leaf as string)))
      return { ...answer, wrapped: toBase64(await hpkeSeal(keyset.release, info, releaseAad(digest), await record())) }
    }

  test('a wrong share is caught and its broker named; two right ones are enough', async () => {
    const relay = await relayTo(
      () => urls()[0]!,
      sending(async () => randomBytes(64)),
    )
    const { node, events } = await start('one', [relay.url, ...urls().slice(1)])
    expect(troubles(events)).toEqual([
      expect.stringMatching(`session/share the share of broker berlin .${brokers[0]!.stack.broker}.`),
    ])
    expect(node.session.grants.length).toBe(2)
    await node.close()
    const events2: Parameters<typeof runNode>[5] = []
    const failed = await start('one', [relay.url, urls()[1]!, 'http://127.0.0.1:9'], events2).catch(
      (error: Error) => error,
    )
    expect(failed).toMatchObject({ code: 'engine/share', message: expect.stringContaining('berlin') })
    await relay.close()
  }, 60_000)

  test('the share of another model of the same owner, at the same broker, is a wrong one', async () => {
    const bytes = await readFile(join(folder, 'two', 'manifest.json'))
    const records = await loadShares(places(folder).keys, manifestDigest(bytes), 192)
    const relay = await relayTo(
      () => urls()[2]!,
      sending(async () => recordAt(records, 3)),
    )
    const failed = await start('one', [urls()[0]!, relay.url, 'http://127.0.0.1:9']).catch((error: Error) => error)
    expect(failed).toMatchObject({ code: 'engine/share', message: expect.stringContaining('helsinki') })
    await relay.close()
  }, 60_000)

  test('one broker’s grant does not stand in for another’s, nor an old one for a new one', async () => {
    let first: Record<string, unknown> | undefined
    const keeping = await relayTo(
      () => urls()[0]!,
      async (_, answer) => (first ??= answer),
    )
    await (await start('one', [keeping.url, ...urls().slice(1)])).node.close()
    const stapled = await relayTo(
      () => urls()[1]!,
      async () => first!,
    )
    const one = await start('one', [urls()[0]!, stapled.url, urls()[2]!])
    expect(troubles(one.events)).toEqual([expect.stringMatching(/^dsse\/signer paris/)])
    await one.node.close()
    const old = await start('one', [keeping.url, ...urls().slice(1)])
    expect(troubles(old.events)).toEqual([expect.stringMatching(/^grant\/lease-keyset berlin/)])
    await old.node.close()
    await Promise.all([keeping.close(), stapled.close()])
  }, 90_000)

  test('is told of by each of its brokers, and taken back at the one that has the lease', async () => {
    const { node } = await start('one')
    const owner = ['--trust', places(folder).trust, '--keys', places(folder).keys]
    const all = ['--broker', urls().join(','), ...owner]
    type Told<T> = {
      readonly brokers: readonly { url: string; exit: number; answer: T; error: { code: string } | null }[]
    }
    const used = await type('usage', 'one', ...all, '--json')
    const usage = JSON.parse(used.out()) as Told<{ usage: readonly { model: string }[] }>
    expect(usage.brokers.map(({ url, answer }) => [url, answer.usage.length])).toEqual(urls().map((url) => [url, 1]))
    expect(used.err()).not.toContain('split among')
    const alone = await type('lease', 'list', '--model', 'one', '--broker', urls()[1]!, ...owner)
    expect(alone.err()).toContain('the key of one is split among berlin, paris, helsinki: this is about 1 of them')
    const report = await type('policy', 'report', 'one', ...all)
    expect([report.code(), report.out().match(/^## Decisions of the period \\\(broker \d\\\)$/gm)?.length]).toEqual([
      0, 3,
    ])
    expect(report.out()).not.toContain('Not the whole')
    const part = await type('policy', 'report', 'one', '--broker', urls()[1]!, ...owner)
    expect(part.out()).toContain('the key is split among berlin, helsinki, paris, and this report is about 1 of them')
    // One that is down keeps nobody from the others.
    const half = [urls()[0]!, 'http://127.0.0.1:9', urls()[2]!]
    const words = ['lease', 'revoke', '--model', 'one', '--chip', 'ab'.repeat(64), '--dry-run']
    const partly = await type(...words, '--broker', half.join(','), ...owner, '--json')
    expect(partly.code()).toBe(1)
    const told = JSON.parse(partly.out()) as Told<{ taken: readonly { dryRun: boolean }[] } | null>
    expect(told.brokers.map(({ exit, answer, error }) => [exit, answer?.taken.length, error?.code])).toEqual([
      [0, 1, undefined],
      [1, undefined, 'owner/unreachable'],
      [0, 1, undefined],
    ])
    expect(await codeOfPromise(type(...words, '--broker', `${urls()[0]},${urls()[0]}`, ...owner))).toBe('usage/brokers')
    // A lease is one broker's: the others have nothing to take back, which is no failure.
    expect((await type('lease', 'revoke', '0'.repeat(32), ...all)).code()).toBe(1)
    const { lease } = node.session.grants[1]!.grant
    const taken = await type('lease', 'revoke', lease.id, ...all)
    expect([taken.code(), taken.err()]).toEqual([0, expect.not.stringContaining('error:')])
    expect((await node.ended).code).toBe('broker/denied')
  }, 90_000)

  test('what its owner takes back at one broker alone ends it, and it does not start again', async () => {
    const { node } = await start('two')
    const owner = ['--trust', places(folder).trust, '--keys', places(folder).keys]
    const words = [
      'lease',
      'revoke',
      '--model',
      'acme/two',
      '--all',
      '--broker',
      urls()[2]!,
      ...owner,
      '--reason',
      'test',
    ]
    expect((await type(...words)).code()).toBe(0)
    const reason = await node.ended
    expect(reason.code).toBe('broker/denied')
    expect(await codeOfPromise(start('two'))).toBe('broker/denied')
  }, 90_000)
})

describe('one broker’s database with its key-encryption key', () => {
  test('holds one share, under which every key is equally possible, and nothing of the others', async () => {
    const { keys } = places(folder)
    const manifest = await readFile(join(folder, 'one', 'manifest.json'))
    const dek = await loadModelKey(keys, manifestDigest(manifest))
    const records = await loadShares(keys, manifestDigest(manifest), 192)
    const one = brokers[0]!
    await one.stack.close()
    const database = await openDatabase({ folder: servicePlaces(one.folder).database })
    try {
      // All of it, as whoever took it away would read it.
      const tables = await rowsOf(
        database.db,
        sql`select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables
          where table_schema not in ('pg_catalog', 'information_schema')`,
      )
      let dump = ''
      for (const { name } of tables) {
        const all = await rowsOf(database.db, sql`select row_to_json(t)::text as row from ${sql.raw(String(name))} t`)
        dump += all.map(({ row }) => String(row)).join('\n')
      }
      expect(dump.length).toBeGreaterThan(10_000)
      const texts = (bytes: Uint8Array) => [toHex(bytes), toBase64(bytes), Buffer.from(bytes).toString('base64url')]
      // Documents lie in the database as bytes, which are shown in hex.
      const spelled = (bytes: Uint8Array) => texts(bytes).flatMap((text) => [text, toHex(utf8(text))])
      const secrets = [dek, ...[1, 2, 3].map((index) => recordAt(records, index).subarray(32))]
      const openings = [2, 3].map((index) => recordAt(records, index).subarray(0, 32))
      for (const text of [...secrets, ...openings].flatMap(spelled)) expect(dump.includes(text)).toBe(false)

      const opened = await openBrokerKeys(servicePlaces(one.folder).broker)
      const { id, version } = parseManifest(manifest).model
      const name = { kind: 'model', tenant: id.slice(0, 43), model: id, version } as const
      const row = await loadWrapped(database.db, name)
      const share = await opened.kek.unwrapDek(row!.wrapped, row!.aad, row!.keyId)
      expect(toHex(share)).toBe(toHex(recordAt(records, 1).subarray(32)))
      expect(toHex(share)).not.toBe(toHex(dek))
      // Any key whatever has exactly one second share beside this one, so the share excludes none.
      for (const candidate of [dek, randomBytes(32), new Uint8Array(32)]) {
        const coefficient = new Uint8Array(32).map((_, at) => share[at]! ^ candidate[at]!)
        const shares = splitSecret(candidate, { threshold: 2, count: 3 }, coefficient)
        expect(toHex(shares[0]!.value)).toBe(toHex(share))
        expect(toHex(combineShares([{ index: 1, value: share }, shares[2]!]))).toBe(toHex(candidate))
      }
      await opened.close()
    } finally {
      await database.close()
      await one.open()
    }
  }, 60_000)
})
