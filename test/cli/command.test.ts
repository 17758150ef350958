import { describe, expect, test } from 'vitest'
import { IdCommand } from '#cli/command.js'

const id = '-pdRQJJEyrsqPSQmtO8DZmAmqo5byB0iH0konh7kE2g'
const longer = `-${id.slice(0, -1)}`

/** What a command below two others is called with. */
async function called(words: readonly string[]) {
  const seen: unknown[] = []
  const program = new IdCommand('claviger')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined })
    .enablePositionalOptions()
    .option('-p, --plain')
  program
    .command('keys')
    .command('retire')
    .argument('<key>')
    .argument('[more...]')
    .option('-p, --plain')
    .option('--state <folder>')
    .option('--not <key...>')
    .action((...args: unknown[]) => {
      seen.push(...args.slice(0, 3))
    })
  await program.parseAsync(words, { from: 'user' })
  return seen
}

describe('an id that begins as an option does', () => {
  test.each([id, longer, `${id}/whisper`])('%s is taken as it is, before options and behind them', async (one) => {
    expect(one.split('/')[0]).toHaveLength(43)
    expect(await called(['keys', 'retire', one, '--state', 's'])).toEqual([one, [], { state: 's' }])
    expect(await called(['keys', 'retire', '--state', 's', '--plain', one])).toEqual([
      one,
      [],
      { state: 's', plain: true },
    ])
    expect(await called(['keys', 'retire', '--', one])).toEqual([one, [], {}])
  })

  test('is taken as the value of an option, of one with many too', async () => {
    expect(await called(['keys', 'retire', 'k', '--state', id])).toEqual(['k', [], { state: id }])
    expect(await called(['keys', 'retire', 'k', '--not', id, longer, '--state', 's'])).toEqual([
      'k',
      [],
      { not: [id, longer], state: 's' },
    ])
  })

  test('what is no id stays an option', async () => {
    for (const word of ['-x', '--unknown', id.slice(0, -1), `${id}A`, `--${'a'.repeat(60)}`])
      await expect(called(['keys', 'retire', word])).rejects.toThrow('unknown option')
    expect(await called(['keys', 'retire', 'k', '-p'])).toEqual(['k', [], { plain: true }])
  })
})
