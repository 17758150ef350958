import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fromHex, fromUtf8 } from '#core/bytes/bytes.js'
import type { LogTrust } from '#core/tlog/verify.js'

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')

test('docs/spec/log.md opens with the valid proof of the vectors and the trust it needs', () => {
  const page = read('docs/spec/log.md')
  const [valid] = (
    JSON.parse(read('test/vectors/tlog/proof.json')) as { cases: { proof: string; leaf: string; trust: LogTrust }[] }
  ).cases
  const blocks = [...page.matchAll(/^```\n(.*?)^```$/gms)].map((found) => found[1])
  expect(blocks.slice(0, 3)).toEqual([valid!.proof, `${valid!.trust.logVkeys[0]}\n`, valid!.trust.policy])
  expect(page).toContain(`the entry \`${fromUtf8(fromHex(valid!.leaf))}\``)
})
