/**
 * I19: a verdict uses the reader's own trust file.
 *
 * Further attacks: test/client/node.test.ts, test/client/receipt.test.ts, test/client/bundle.test.ts (each anchor alone),
 * test/cli (rollback and expiry of trust files), test/e2e/chain.test.ts (no trust file: exit 3).
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import * as bundleCommand from '#cli/bundle.js'
import * as bundleVerify from '#cli/bundle-verify.js'
import { chainPlaces } from '#cli/chain.js'
import * as receiptCommand from '#cli/receipt.js'
import * as verifyCommand from '#cli/verify.js'
import { canonicalJson } from '#core/encoding/json.js'
import { inferRequest, type TestChain, testChain, testClient, testIo } from '#test/e2e/fixtures.js'

const open: TestChain[] = []
afterAll(async () => {
  for (const one of open) await one.chain.close()
})

test('a whole chain of the adversary’s own proves itself and convinces no reader of another', async () => {
  const [own, adversary] = [await testChain(), await testChain()]
  open.push(own, adversary)
  const { client } = await testClient(adversary.chain)
  const answer = await client.request(inferRequest(adversary.width))
  const receipt = join(adversary.folder, 'receipt.json')
  await writeFile(receipt, canonicalJson(answer.file))
  const bundle = join(adversary.folder, 'bundle.json')
  const { keys } = chainPlaces(adversary.options.folder)
  const entry = adversary.chain.node.session.grant.index
  expect(await bundleCommand.run({ entry, broker: adversary.chain.stack.url, keys, out: bundle }, testIo())).toBe(0)

  const exits = async (trust: string | undefined, model: string) => {
    const rest = { trust, dangerousAllowSimulated: true }
    return [
      await receiptCommand.run({ file: receipt, ...rest }, testIo()),
      await bundleVerify.run({ file: bundle, ...rest }, testIo()),
      trust === undefined
        ? 3
        : await verifyCommand.run(
            { target: adversary.chain.node.url, model, trust, dangerousAllowSimulated: true },
            testIo(),
          ),
    ]
  }
  // The control: under the adversary's own file all of it is green.
  expect(await exits(adversary.chain.trustPath, adversary.chain.model)).toEqual([0, 0, 0])
  expect(await exits(own.chain.trustPath, own.chain.model)).toEqual([3, 3, 3])
  expect(await exits(undefined, adversary.chain.model)).toEqual([3, 3, 3])
}, 120_000)
