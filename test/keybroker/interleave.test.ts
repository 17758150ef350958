/** TRUST 10: what comes at once is as if it came one after the other. Many more rounds: interleave.slow.test.ts. */
import { describe, expect, test } from 'vitest'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { interleave } from './interleave.js'

describe.each(databasesUnderTest())('three brokers on $name', ({ open, name }) => {
  test('renewals, releases, retries and last words against a revocation: no grant behind it, no node or inference too many', async () => {
    for (let i = 0; i < (name === 'postgres' ? 3 : 1); i++) {
      const round = await interleave(await open(), 16, 120)
      expect(round).toMatchObject({ afterRevocation: 0, overtaken: 0 })
      expect(round.nodes).toBeLessThanOrEqual(round.allowedNodes)
      expect(round.usable).toBeLessThanOrEqual(round.counted)
      expect(round.counted).toBeLessThanOrEqual(round.allowance)
      expect(round.outcomes.some((one) => one.startsWith('renew') && one.includes('granted'))).toBe(true)
    }
  }, 120_000)
})
