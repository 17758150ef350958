import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { loadTrust } from '#cli/trust-store.js'
import { NodeClient } from '#client/node-client.js'
import { loadModelKey, loadShares } from '#convert/keys/owner-keys.js'
import { recordAt } from '#convert/seal/split.js'
import { parseJson } from '#core/encoding/json.js'
import { manifestDigest } from '#core/sealed/manifest.js'
import { hostDeclarationShape } from '#core/wire/release.js'
import { rowsOf } from '#host/database.js'
import { createSecretFile } from '#host/files.js'
import { exportPlatform } from '#runtime/attester/simulated/platform.js'
import { inferRequest, testIo } from '#test/e2e/fixtures.js'
import {
  openBroker,
  openSimulatedAttester,
  places,
  prepareOwner,
  registerWords,
  runNode,
  type,
} from '#test/e2e/quorum-fixtures.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testPlatform } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const postgres = databasesUnderTest().filter((one) => one.openWithUrl !== undefined)

// What test/e2e/quorum.test.ts does on PGlite, from end to end on three databases of Postgres.
describe.each(postgres)('two of three brokers on $name', ({ openWithUrl }) => {
  test('release to one node, which answers a client that verifies every grant; no database holds more than its share', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'claviger-quorum-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    process.env.XDG_STATE_HOME = join(folder, 'state')
    const at = places(folder)
    await mkdir(join(folder, 'model'))
    const { width } = writeModelFolder(join(folder, 'model'), 'external')
    const machine = join(folder, 'platform.json')
    await createSecretFile(machine, exportPlatform(await testPlatform({ at: testIo().now() })))
    const attester = await openSimulatedAttester(machine, testIo().now())
    const databases = await Promise.all(['berlin', 'paris', 'helsinki'].map(() => openWithUrl!()))
    const brokers = await Promise.all(
      ['berlin', 'paris', 'helsinki'].map((name, i) => openBroker(folder, name, databases[i]!.url)),
    )
    try {
      await prepareOwner(folder, join(folder, 'model'), brokers, attester)
      const place = ['--name', 'node-1', '--country', 'DE', '--operator', 'Example GmbH', '--operator-country', 'DE']
      await type('host', 'statement', ...place, '--out', at.host)
      expect((await type(...registerWords(folder, 'one', brokers))).code()).toBe(0)
      const host = hostDeclarationShape(parseJson(await readFile(at.host)), 'host statement')
      // One of them is away: the two others are enough.
      await brokers[1]!.stack.close()
      const urls = brokers.map(({ stack }) => stack.url)
      const { node } = await runNode(folder, 'one', urls, attester, host)
      try {
        expect(node.session.grants.map(({ grant }) => grant.lease.broker).sort()).toEqual(
          [brokers[0]!, brokers[2]!].map(({ stack }) => stack.broker).sort(),
        )
        const { trust } = await loadTrust(at.trust, testIo().now())
        const policy = clientPolicy({ model: 'acme/one', dangerousAllowSimulated: true }, trust)
        const client = new NodeClient(nodeClientOptions(node.url, trust, policy, null, testIo()))
        const answer = await client.request({ ...inferRequest(width), path: '/v2/models/one/infer' })
        expect(answer.status).toBe(200)
      } finally {
        await node.close()
      }
      const digest = manifestDigest(await readFile(join(folder, 'one', 'manifest.json')))
      const records = await loadShares(at.keys, digest, 192)
      const secrets = [await loadModelKey(at.keys, digest), ...[1, 2, 3].map((i) => recordAt(records, i).subarray(32))]
      for (const { database } of databases) {
        const rows = await rowsOf(database.db, sql`select row_to_json(w)::text as row from keybroker.model_keys w`)
        expect(rows.length).toBe(1)
        // A share lies wrapped; what is readable beside it says nothing of any share, its own among them.
        for (const secret of secrets) expect(String(rows[0]!.row)).not.toContain(Buffer.from(secret).toString('hex'))
      }
    } finally {
      for (const [i, { stack }] of brokers.entries()) if (i !== 1) await stack.close()
    }
  }, 120_000)
})
