/** TRUST 10, in more than a thousand interleavings: each act of each round comes at a random moment. */
import { describe, expect, test } from 'vitest'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { interleave } from './interleave.js'

const batches = Array.from({ length: Number(process.env.CLAVIGER_TEST_BATCHES ?? 8) }, (_, i) => i)
const roundsOfBatch = 5

describe.each(databasesUnderTest())('three brokers on $name', ({ open, name }) => {
  if (name !== 'postgres') return // one connection: there is one order
  test.each(batches)('no grant behind a revocation, never a node or an inference too many: batch %i', async (batch) => {
    let acts = 0
    for (let i = 0; i < roundsOfBatch; i++) {
      const round = await interleave(await open(), 30, 40 + 40 * batch + 8 * i)
      acts += round.outcomes.length
      expect(round, JSON.stringify(round.outcomes)).toMatchObject({ afterRevocation: 0, overtaken: 0 })
      expect(round.nodes).toBeLessThanOrEqual(round.allowedNodes)
      expect(round.usable).toBeLessThanOrEqual(round.counted)
      expect(round.counted).toBeLessThanOrEqual(round.allowance)
    }
    expect(acts).toBeGreaterThan(roundsOfBatch * 10)
  })
})
