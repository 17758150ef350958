/**
 * I10: no prompt or output in any log, error, database row or leaf, and no digest that a dictionary finds (TRUST 6).
 *
 * Further attacks: test/keybroker/bundles.test.ts (names, chips, statements and decisions against every leaf),
 * test/runtime/service/app.test.ts (a node's log lines, a bug in a handler), i01-plaintext.test.ts (files).
 */
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'
import type { CommitmentLabel } from '#core/wire/commitment.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { openDatabase } from '#host/database.js'
import { inferRequest } from '#test/e2e/fixtures.js'
import { clientOf, openOwner, post, prepareChain, spawnChain } from '#test/invariants/fixtures.js'

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

/** All that anybody wrote into any table, as text: bytes as they are, and in hex. */
async function rowsOf(folder: string): Promise<string> {
  const database = await openDatabase({ folder })
  try {
    const run = async (query: ReturnType<typeof sql>) =>
      ((await database.db.execute(query)) as unknown as { rows: Record<string, unknown>[] }).rows
    const tables = await run(sql`select table_schema s, table_name t from information_schema.tables
      where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`)
    expect(tables.length).toBeGreaterThan(10)
    let all = ''
    for (const { s, t } of tables) {
      for (const row of await run(sql`select * from ${sql.identifier(String(s))}.${sql.identifier(String(t))}`)) {
        for (const value of Object.values(row)) {
          const bytes = value instanceof Uint8Array ? Buffer.from(value) : undefined
          all += bytes ? `${bytes.toString('latin1')}\n${bytes.toString('hex')}\n` : `${JSON.stringify(value)}\n`
        }
      }
    }
    return all
  } finally {
    await database.close()
  }
}

/**
 * Each digest that a stranger would try for a word, in each spelling: of the word as it is, as our own documents spell it
 * (JSON), and under the labels of our commitments, as if the opening had been left out.
 */
function digestsOf(word: string | Uint8Array): readonly string[] {
  const spelled = typeof word === 'string' ? [word, JSON.stringify(word), JSON.stringify([word])] : [word]
  const labelled = labels.flatMap((label) =>
    spelled.map((one) => Buffer.concat([Buffer.from(`claviger/commitment/v1/${label}\0`), Buffer.from(one)])),
  )
  const hashes = [...spelled, ...labelled].map((one) => ['sha256', one] as const)
  const others = ['sha384', 'sha512', 'sha1', 'md5'].flatMap((name) => spelled.map((one) => [name, one] as const))
  return [...hashes, ...others].flatMap(([name, one]) => {
    const digest = createHash(name).update(one).digest()
    return [digest.toString('hex'), digest.toString('base64url'), digest.toString('base64')]
  })
}
const labels: readonly CommitmentLabel[] = ['tenant', 'model', 'evidence', 'request', 'response', 'caller']

test('prompts, outputs, chips and names: nowhere in what is logged, stored or published, not as digests either', async () => {
  const { folder, options, width } = await prepareChain()
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const chain = await spawnChain(folder, options)
  cleanups.push(() => chain.service.kill())
  const owner = await openOwner(options.folder, chain.at.brokerUrl)
  const { client } = await clientOf(chain.at)

  const canary = 'Bewahre-die-Eingabe-4711-canary'
  const prompts: Uint8Array[] = []
  const outputs: Uint8Array[] = []
  const receipts: string[] = []
  const ask = async (request: ReturnType<typeof inferRequest>) => {
    prompts.push(request.body)
    const answer = await client.request(request)
    outputs.push(answer.body)
    receipts.push(fromUtf8(canonicalJson(answer.file)))
    return answer.status
  }
  expect(await ask(inferRequest(width, 0.123_456_789))).toBe(200)
  // Errors on the way: words of the caller's in every place where a refusal could repeat them to the operator.
  const bad = (text: string) => ({ ...inferRequest(width), body: Buffer.from(text) })
  expect(await ask(bad(`{"inputs":[{"name":"${canary}"}]}`))).toBe(400)
  expect(await ask(bad(canary))).toBe(400)
  expect(await ask({ ...inferRequest(width), path: `/v2/models/${canary}/infer` })).toBe(404)
  const plain = await post(chain.at.nodeUrl, '/v1/chat/completions', { prompt: canary })
  expect(JSON.stringify(plain.body)).not.toContain(canary)

  const document = (await client.node()).document
  const published: string[] = []
  for (let index = 0; index <= (await client.node()).inclusion.index; index++) {
    const bundle = await fetch(new URL(`/v1/log/proofs/${index}`, chain.at.brokerUrl))
    expect(bundle.status).toBe(200)
    published.push(await bundle.text())
  }
  const tile = await (await fetch(new URL(`/tile/entries/000.p/${published.length}`, chain.at.brokerUrl))).arrayBuffer()
  const leaves = Buffer.from(tile).toString('latin1')
  expect(leaves).toContain('claviger') // the control: these are our leaves

  await chain.service.stop()
  const rows = await rowsOf(join(chainPlaces(options.folder).services, 'database'))
  expect(rows).toContain(owner.model) // the control: these are our rows
  const lines = chain.lines.join('\n')

  const spoken = [canary, '0.123456789', fromUtf8(outputs[0]!)]
  for (const word of spoken) {
    const spellings = [word, Buffer.from(word).toString('hex'), Buffer.from(word).toString('base64').slice(0, -4)]
    for (const spelled of spellings) {
      for (const place of [lines, rows, leaves, ...published]) expect(place.includes(spelled), spelled).toBe(false)
    }
  }

  const report = Buffer.from((document.release.evidence as SnpEvidence).report, 'base64')
  const chip = report.subarray(0x1a0, 0x1e0)
  expect(toHex(chip)).not.toMatch(/^0*$/)
  const names = ['acme', 'matmul', owner.model, owner.key.id, 'DE', 'Example Hosting GmbH', 'demo-node']
  const dictionary = [...prompts, ...outputs, ...names, ...spoken, chip, toHex(chip), 'true', 'false', 'yes', 'no']
  const publicText = leaves + published.join('\n')
  for (const word of dictionary) {
    for (const digest of digestsOf(word)) expect(publicText.includes(digest)).toBe(false)
  }
  for (const name of [toHex(chip), ...names.filter((one) => one.length > 4)])
    expect(leaves.includes(name), name).toBe(false)
  // A receipt goes to the caller and may go further: bodies are in it as commitments alone.
  for (const word of [...prompts, ...outputs, ...spoken]) {
    const text = typeof word === 'string' ? word : Buffer.from(word).toString()
    for (const receipt of receipts) {
      expect(receipt.includes(text)).toBe(false)
      for (const digest of digestsOf(word)) expect(receipt.includes(digest)).toBe(false)
    }
  }
}, 120_000)
