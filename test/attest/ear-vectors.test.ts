import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import { verifyEar } from '#core/wire/ear.js'
import { type EarVector, mintEarVectors } from '../fakes/ear-vectors.js'

const path = join(import.meta.dirname, '../vectors/ear/cases.json')

async function outcomeOf(vector: EarVector): Promise<string> {
  try {
    const keys = vector.keys as unknown as readonly SignatureJwk[]
    const ear = await verifyEar(vector.token, keys, { audience: vector.audience, at: vector.at })
    expect(ear.status).toBe('contraindicated')
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

// With CLAVIGER_MINT_VECTORS set, vectors minted in this run take the place of the ones in the repository.
test('freshly minted EARs agree', async () => {
  const vectors = await mintEarVectors()
  for (const vector of vectors) expect(await outcomeOf(vector), vector.name).toBe(vector.expect)
  if (process.env.CLAVIGER_MINT_VECTORS !== undefined) writeFileSync(path, `${JSON.stringify(vectors, null, 1)}\n`)
})

describe('EAR vectors', () => {
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as readonly EarVector[]
  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s', async (_, vector) => {
    expect(await outcomeOf(vector)).toBe(vector.expect)
  })
  test('cover every failure code', () => {
    expect([...new Set(vectors.map((vector) => vector.expect))].sort()).toEqual([
      'ear/algorithm',
      'ear/audience',
      'ear/claims',
      'ear/expired',
      'ear/form',
      'ear/key',
      'ear/lifetime',
      'ear/names-differ',
      'ear/not-yet-valid',
      'ear/signature',
      'ear/status',
      'ok',
    ])
  })
})
