import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { judgeBundle } from '#client/any-bundle.js'
import { bundleSteps } from '#client/verify-bundle.js'
import { kbsBundleSteps } from '#client/verify-kbs-bundle.js'
import { stateBundleSteps } from '#client/verify-state-bundle.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { type Trust, trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

interface Case {
  readonly name: string
  readonly expected: string
  readonly change?: { readonly in: string; readonly path: readonly string[]; readonly value: Json }
}
interface TrustCase extends Case {
  readonly at: number
  readonly known: { readonly author?: string; readonly version: number; readonly digest: string } | null
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../vectors/${name}/cases.json`, import.meta.url), 'utf8'))

const isAbsent = (value: Json) => value !== null && typeof value === 'object' && '$absent' in value

/** The file `name` after the case's change, when it is in that file. */
function changed<T>(file: T, name: string, { change }: Case): T {
  if (change?.in !== name) return file
  const copy = structuredClone(file)
  let holder = copy as unknown as Record<string, Json>
  for (const member of change.path.slice(0, -1)) holder = holder[member] as unknown as Record<string, Json>
  const last = change.path.at(-1)!
  if (isAbsent(change.value)) delete holder[last]
  else holder[last] = change.value
  return copy
}

describe.each(['bundle', 'state-bundle', 'kbs-bundle'])('vectors of the %s', (format) => {
  const { trust, bundle, cases } = read(format) as { trust: Trust; bundle: Json; cases: Case[] }
  test.each(cases)('$name: $expected', async (one) => {
    const verdict = await judgeBundle(changed(bundle, 'bundle', one), changed(trust, 'trust', one))
    expect(verdict.ok ? 'ok' : verdict.failure.code).toBe(one.expected)
  })

  test('the page shows the bundle of the vectors, and every step in its order', () => {
    const page = readFileSync(`docs/spec/${format}.md`, 'utf8')
    expect(JSON.parse(/^```json\n([\s\S]*?)^```/m.exec(page)![1]!)).toEqual(bundle)
    const named = [...page.matchAll(/^\d\. `([a-z]+\/[a-z]+)`/gm)].map((found) => found[1])
    expect(named).toEqual(plans[format as keyof typeof plans].map(([id]) => id))
  })
})
const plans = { bundle: bundleSteps, 'state-bundle': stateBundleSteps, 'kbs-bundle': kbsBundleSteps } as const

describe('vectors of the trust file', () => {
  const { file, cases } = read('trust-file') as { file: Json; cases: TrustCase[] }
  test.each(cases)('$name: $expected', async (one) => {
    const author = thumbprint(trustFileShape(file, '').author)
    const load = async () =>
      verifyTrustFile(
        trustFileShape(changed(file, 'file', one), 'trust file'),
        one.known && { author, ...one.known },
        one.at,
      )
    expect(await codeOfPromise(load())).toBe(one.expected)
  })
})
