import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Collection } from '#attest/collateral/collect.js'
import { parseBundle } from '#attest/endorsements/bundle.js'
import { utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { type CollateralVector, mintCollateralVectors } from '#test/fakes/collateral-vectors.js'

const path = new URL('../../vectors/collateral/cases.json', import.meta.url)
const stored = JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly CollateralVector[] }

async function judged({
  bundle,
  at,
  simulatedRoots,
}: CollateralVector): Promise<Pick<CollateralVector, 'expect' | 'documents'>> {
  try {
    const found = await Collection.open(parseBundle(utf8(bundle)), { at, simulatedRoots, fetchItem: null })
    const good = found.items().map(({ label }) => [label, 'ok'])
    const bad = found.refused.map(({ name, failure }) => [name, failure.code])
    return { expect: 'ok', documents: Object.fromEntries([...good, ...bad]) as Record<string, string> }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { expect: error.code, documents: {} }
  }
}

describe('collateral bundles', () => {
  test.each(stored.cases.map((one) => [one.name, one] as const))('%s is judged as it says', async (_name, one) => {
    expect(await judged(one)).toEqual({ expect: one.expect, documents: one.documents })
  })

  test('minted anew are judged the same', async () => {
    const minted = await mintCollateralVectors()
    // With CLAVIGER_MINT_COLLATERAL_VECTORS cases that are not in the file are written into it: signatures are random, and
    // those that are there stay as they are.
    if (process.env.CLAVIGER_MINT_COLLATERAL_VECTORS !== undefined) {
      const cases = minted.map((one) => stored.cases.find(({ name }) => name === one.name) ?? one)
      writeFileSync(path, `${JSON.stringify({ cases }, null, 2)}\n`)
    }
    expect(minted.map(({ name }) => name)).toEqual(stored.cases.map(({ name }) => name))
    for (const one of minted)
      expect(await judged(one), one.name).toEqual({ expect: one.expect, documents: one.documents })
  })

  test('the example of the page has the form of a bundle', () => {
    const page = readFileSync(new URL('../../../docs/spec/collateral.md', import.meta.url), 'utf8')
    const example = JSON.parse(page.split('```json\n')[1]!.split('```')[0]!) as object
    expect(Object.keys(example).sort()).toEqual(['format', 'items'])
  })
})
